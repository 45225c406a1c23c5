"""A launch as it stands in the database, put together by hand, for tests of what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LANE = "aiida.workflows:pet.lane"


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

    def finish_job(
        self,
        ids: list[str],
        warnings: list[str] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> Any:
        """Add a lane with a job that finished all its rows, with what stands in `warnings` and in further columns."""
        from aiida import orm
        from aiida.common import LinkType

        from aiida_pet.data.structures import StructureSetData
        from aiida_pet.testing.results import finish_rows

        job = self.add_job(ids)
        rows = finish_rows(self.structures.select(ids))
        if warnings is not None:
            rows.set_column("warnings", warnings)
        for name, values in (columns or {}).items():
            rows.set_column(name, values)
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
