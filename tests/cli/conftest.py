"""The command line over the test profile: the engine is the one that stands in, and submitting runs at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner, Result

from aiida_pet.cli import main


@pytest.fixture
def invoke(aiida_profile: Any) -> Callable[..., Result]:
    """Run `aiida-pet` with arguments; faults of the program are raised, and the exit status must be as expected."""

    def run(*arguments: Any, status: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def read(invoke: Callable[..., Result]) -> Callable[..., Any]:
    """Run `aiida-pet ... --json` and return the document."""

    def run(*arguments: Any, status: int = 0) -> Any:
        return json.loads(invoke(*arguments, "--json", status=status).stdout)

    return run


@pytest.fixture
def alloys_file(tmp_path: Path) -> Path:
    """An extxyz file of six alloys: alloy-0 ... alloy-5, of 2 to 12 atoms, with a column `series`."""
    path = tmp_path / "alloys.xyz"
    crystals = []
    for index in range(6):
        cell = bulk("W", "bcc", a=3.16 + 0.01 * index, cubic=True).repeat((index + 1, 1, 1))
        cell.numbers[0] = 42
        cell.info |= {"id": f"alloy-{index}", "series": "even" if index % 2 == 0 else "odd"}
        crystals.append(cell)
    write(path, crystals, format="extxyz")
    return path


@pytest.fixture
def own_model(aiida_profile: Any, tmp_path: Path) -> Any:
    """A stored model that no other test has, so that no job with it is past."""
    from aiida_pet.data.model import PetModelData

    path = tmp_path / "own.ckpt"
    path.write_bytes(f"not a checkpoint, but the content of {tmp_path}".encode())
    card = {"name": f"own-{tmp_path.name}", "elements": ["Nb", "Mo", "Ta", "W"], "outputs": ["energy"]}
    return PetModelData.get_or_create(path, card)


@pytest.fixture
def site(pet_code: Any, own_model: Any) -> list[Any]:
    """The options of a launch that name the code and the model that stand in."""
    return ["--code", pet_code.pk, "--model", own_model.pk]


@pytest.fixture
def cluster(aiida_profile: Any, build_cluster: Callable[..., Any], tmp_path: Path) -> Any:
    """A SLURM cluster with an account and a partition by default."""
    return build_cluster(tmp_path, account="mat", partition="gpu")


class Launcher:
    """Runs `aiida-pet launch`.

    :ivar result: of the last command.
    :ivar builders: of what was launched, the last one last.
    :ivar node: what was launched last; None if nothing was.
    """

    def __init__(self, invoke: Callable[..., Result], site: list[Any], run: bool) -> None:
        self._invoke, self._site, self._run = invoke, site, run
        self.result: Any = None
        self.builders: list[Any] = []
        self.node: Any = None

    def submit(self, builder: Any) -> Any:
        from aiida.engine import run_get_node
        from aiida.orm import WorkChainNode

        self.builders.append(builder)
        self.node = run_get_node(builder).node if self._run else WorkChainNode().store()
        return self.node

    def __call__(self, task: str, *arguments: Any, status: int = 0) -> Any:
        self.result = self._invoke("launch", task, *arguments, *self._site, status=status)
        return self.node if self._run else (self.builders[-1] if self.builders else None)


def _launcher(monkeypatch: pytest.MonkeyPatch, launcher: Launcher) -> Launcher:
    monkeypatch.setattr("aiida.engine.submit", launcher.submit)
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    return launcher


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result], site: list[Any]) -> Launcher:
    """Run `aiida-pet launch` with the code and model that stand in, to its end; return the process."""
    return _launcher(monkeypatch, Launcher(invoke, site, run=True))


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result], site: list[Any]) -> Launcher:
    """Run `aiida-pet launch`, but start nothing; return the builder of what would have been started."""
    return _launcher(monkeypatch, Launcher(invoke, site, run=False))


class Campaign:
    """A launch as it stands in the database, put together by hand: one lane per entry of `jobs`.

    :ivar node: the WorkChain.
    :ivar lanes: the lanes, each with one job at most.
    :ivar jobs: the jobs.
    """

    def __init__(self, structures: Any, code: Any, model: Any) -> None:
        self.structures, self.code, self.model = structures, code, model
        self.node = self._process("WorkChainNode", "aiida.workflows:pet.relax", {"structures": structures})
        self.lanes: list[Any] = []
        self.jobs: list[Any] = []

    def _process(self, kind: str, process_type: str, inputs: dict[str, Any], caller: Any = None) -> Any:
        from aiida import orm
        from aiida.common import LinkType

        is_job = kind == "CalcJobNode"
        keywords = {"computer": self.code.computer} if is_job else {}
        node = getattr(orm, kind)(process_type=process_type, **keywords)
        for name, value in inputs.items():
            node.base.links.add_incoming(value, LinkType.INPUT_CALC if is_job else LinkType.INPUT_WORK, name)
        if caller is not None:
            label = f"child_{len(caller.called)}"
            link = LinkType.CALL_CALC if is_job else LinkType.CALL_WORK
            node.base.links.add_incoming(caller, link, label)
        node.set_process_state("waiting")
        node.set_process_label(process_type.split(":")[1])
        return node.store()

    def add_lane(self, ids: list[str]) -> Any:
        """Add a lane of these rows, which waits."""
        from aiida_pet.data.table import TableData

        rows = TableData.from_ids(ids).store()
        self.lanes.append(self._process("WorkChainNode", LANE, {"rows": rows}, caller=self.node))
        return self.lanes[-1]

    def add_job(self, ids: list[str], heartbeat: Any = None, folder: Path | None = None) -> Any:
        """Add a lane with a job that runs, with its folder if it has one, and its heartbeat."""
        lane = self.add_lane(ids)
        inputs = {"structures": self.structures, "rows": lane.inputs.rows}
        inputs |= {"model": self.model, "code": self.code}
        job = self._process("CalcJobNode", "aiida.calculations:pet.relax", inputs, caller=lane)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            job.set_remote_workdir(str(folder))
        if heartbeat is not None and folder is not None:
            (folder / "progress.json").write_text(heartbeat.to_json())
        self.jobs.append(job)
        return job

    def finish_job(self, ids: list[str], warnings: list[str] | None = None) -> Any:
        """Add a lane with a job that finished all its rows, with what stands in their column `warnings`."""
        from aiida import orm
        from aiida.common import LinkType

        from aiida_pet.data.structures import StructureSetData
        from aiida_pet.testing.results import finish_rows

        job = self.add_job(ids)
        rows = finish_rows(self.structures.select(ids))
        if warnings is not None:
            rows.set_column("warnings", warnings)
        results = StructureSetData.from_table(rows)
        statuses = dict(results.base.attributes.get("counts")["status"])
        summary = orm.Dict(
            {"rows_total": len(ids), "rows_done": len(ids), "statuses": statuses, "engine_s": 60.0}
        )
        for name, output in (("results", results), ("summary", summary)):
            output.base.links.add_incoming(job, LinkType.CREATE, name)
            output.store()
        for process in (job, self.lanes[-1]):
            self.end(process)
        return job

    def end(self, node: Any, state: str = "finished", exit_status: int | None = 0, message: str = "") -> None:
        """Let a process have ended."""
        node.set_process_state(state)
        if exit_status is not None:
            node.set_exit_status(exit_status)
        if message:
            node.set_exit_message(message)

    def set_results(self, ids: list[str]) -> Any:
        """Give the launch the results of these rows; the others are left."""
        from aiida.common import LinkType

        from aiida_pet.data.merging import merged
        from aiida_pet.data.structures import StructureSetData

        tables = {
            f"job_{i}": job.outputs.results.to_table()
            for i, job in enumerate(self.jobs)
            if "results" in job.outputs
        }
        results = StructureSetData.from_table(merged(self.structures.select(ids), tables)).store()
        results.base.links.add_incoming(self.node, LinkType.RETURN, "results")
        return results


LANE = "aiida.workflows:pet.lane"


@pytest.fixture
def make_campaign(
    make_structures: Callable[..., Any], pet_code: Any, pet_model: Any
) -> Callable[..., Campaign]:
    """Return a factory of campaigns over crystals with these ids."""

    def make(ids: list[str]) -> Campaign:
        return Campaign(make_structures(ids), pet_code, pet_model)

    return make
