"""What a compute node has, asked by a job through the queue; for `aiida-pet doctor --job`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from aiida.engine import submit
from aiida.orm import InstalledCode, Log

from aiida_pet import __version__
from aiida_pet.calculations.probe import ProbeCalculation, read_answer
from aiida_pet.computers.checks import Check
from aiida_pet.computers.daemon import daemon_problem
from aiida_pet.computers.health import check_open_files
from aiida_pet.computers.resources import ResourceError, asked_resources, resource_options
from aiida_pet.words import plural

PROBE_WALLTIME_S = 600
POLL_S = 1.0


def check_job(code: InstalledCode, patience: float) -> Iterator[Check]:
    """Send a job through the queue and say what its node has."""
    problem = daemon_problem()
    if problem:
        yield Check("job", False, "not sent", problem)
        return
    try:
        options = resource_options(code.computer)
        gpus = asked_resources(code.computer).gpus or 0
    except ResourceError as error:
        yield Check("job", False, f"not sent: {error}", "set up the computer again with another label")
        return
    options["max_wallclock_seconds"] = min(
        options.get("max_wallclock_seconds", PROBE_WALLTIME_S), PROBE_WALLTIME_S
    )
    started = time.monotonic()
    node: Any = submit(ProbeCalculation, code=code, metadata={"options": options, "disable_cache": True})
    refused = ""
    while not node.is_terminated and not refused and time.monotonic() - started < patience:
        time.sleep(POLL_S)
        refused = "" if node.get_job_id() else _last_error(node)
    if not node.is_terminated:
        state = node.get_scheduler_state()
        if refused:
            what = f"the job of <{node.pk}> could not be submitted; AiiDA keeps trying: {refused}"
        else:
            queued = state.value if state else "not in the queue yet"
            what = f"<{node.pk}> has not ended after {patience:g} s ({queued})"
        remedy = f"look at the queue of the cluster; `verdi process report {node.pk}`, `verdi process kill {node.pk}`"
        yield Check("job", False, what, remedy)
        return
    answer = read_answer(node)
    if answer is None:
        reason = node.exit_message or node.exception or "it gave no answer"
        remedy = (
            f"`verdi calcjob outputcat {node.pk} _scheduler-stderr.txt`, `verdi process report {node.pk}`"
        )
        yield Check("job", False, f"<{node.pk}>: {reason}", remedy)
        return
    yield Check("job", True, f"<{node.pk}> ran on {answer['host']} with {plural(answer['cores'], 'core')}")
    yield from read_probe(answer, gpus)


def _last_error(node: Any) -> str:
    """Return the last line of what AiiDA logged of ``node`` as an error, empty if it logged none."""
    errors = [log for log in Log.collection.get_logs_for(node) if log.levelname == "ERROR"]
    lines = errors[-1].message.strip().splitlines() if errors else []
    return str(lines[-1]).strip() if lines else ""


def read_probe(answer: dict[str, Any], gpus: int) -> Iterator[Check]:
    """Say what is wrong with a compute node.

    :param answer: answer of :func:`aiida_pet.engine.probe.probe`.
    :param gpus: that the job asked for.
    """
    if answer["version"] != __version__:
        remedy = f"install aiida-pet {__version__} in the environment of the compute node"
        yield Check("node's engine", False, f"aiida-pet {answer['version']}, here {__version__}", remedy)
    else:
        packages = ", ".join(f"{name} {found}" for name, found in answer["packages"].items() if found)
        yield Check("node's engine", True, f"aiida-pet {answer['version']}, {packages}")
    devices, visible = answer["devices"], answer["visible_devices"]
    seen = f"CUDA_VISIBLE_DEVICES={visible}" if visible is not None else "CUDA_VISIBLE_DEVICES not set"
    if answer["problem"]:
        remedy = "repair the installation of torch there; `pet-engine --probe` on the node tells more"
        yield Check("node's GPU", False, f"{answer['problem']} ({seen})", remedy)
    elif devices:
        names = ", ".join(f"{device['name']} ({device['memory_mb'] / 1024:.0f} GB)" for device in devices)
        yield Check("node's GPU", True, f"{names}, CUDA {answer['cuda']}, {seen}")
    elif gpus:
        reason = (
            "torch was built without CUDA"
            if answer["cuda"] is None
            else f"torch for CUDA {answer['cuda']} sees none"
        )
        yield Check(
            "node's GPU",
            False,
            f"the job asked for {plural(gpus, 'GPU')}, but {reason} ({seen})",
            "install torch with CUDA there, load the driver's module, or correct the GPU syntax of the computer",
        )
    else:
        yield Check("node's GPU", True, "no GPU, and none was asked for: jobs run on the CPU")
    yield check_open_files("node's files", int(answer["open_files"]))
