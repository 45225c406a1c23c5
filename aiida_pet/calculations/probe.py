"""A job that says what the compute node has: ``pet-engine --probe`` through the queue, for `aiida-pet doctor --job`."""

from __future__ import annotations

import json
from typing import Any

from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.orm import CalcJobNode

ANSWER_FILE = "probe.json"


class ProbeCalculation(CalcJob):
    """``pet-engine --probe`` as a job; :func:`read_answer` reads what it said."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define no ports beside the ports of every job."""
        super().define(spec)
        options = spec.inputs["metadata"]["options"]  # type: ignore[index]
        options["resources"].default = lambda: {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        options["withmpi"].default = False

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Say what to run and retrieve."""
        code_info = CodeInfo()
        code_info.code_uuid = self.inputs.code.uuid
        code_info.cmdline_params = ["--probe"]
        code_info.stdout_name = ANSWER_FILE
        code_info.withmpi = False
        calc_info = CalcInfo()
        calc_info.codes_info = [code_info]
        calc_info.local_copy_list = []
        calc_info.retrieve_list = [ANSWER_FILE]
        return calc_info


def read_answer(job: CalcJobNode) -> dict[str, Any] | None:
    """Return what ``job`` said of its node, see :func:`aiida_pet.engine.probe.probe`; None if it said nothing."""
    if (
        "retrieved" not in job.outputs
        or ANSWER_FILE not in job.outputs.retrieved.base.repository.list_object_names()
    ):
        return None
    text = str(job.outputs.retrieved.base.repository.get_object_content(ANSWER_FILE))
    # modules and shells may print before it
    start = text.find("{")
    try:
        answer = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
