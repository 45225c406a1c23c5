"""Thermal conductivities of a set of crystals or a single one: forces by the engine, then the transport on cores.

The two kinds of jobs may run on different computers: jobs of forces want a GPU, jobs of the transport want cores and
phono3py. Rows that are left by a job of the transport go into another one, as long as each finishes some.
"""

from __future__ import annotations

from typing import Any, Unpack

from aiida import orm
from aiida.engine import ProcessBuilder, ToContext, append_, if_, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.functions import merge_tables
from aiida_pet.calculations.transport import TransportCalculation
from aiida_pet.calculations.validation import validate_settings
from aiida_pet.computers.codes import find_code, share_of_cores
from aiida_pet.computers.resources import job_options
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.tasks import Task
from aiida_pet.words import plural
from aiida_pet.workchains.crystals import CrystalsWorkChain
from aiida_pet.workchains.inputs import validate_options
from aiida_pet.workchains.jobs import called_as
from aiida_pet.workchains.launch import Launch

MOST_FRUITLESS = 2
"""Jobs of the transport in a row that may finish no row."""


class ConductivityWorkChain(CrystalsWorkChain):
    """Thermal conductivities of ``structures``, or of a single ``structure``."""

    TASK = Task.CONDUCTIVITY
    MERGED_AS = "forces"

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Add the second job to the ports of a batch."""
        super().define(spec)
        spec.input(
            "transport_code",
            valid_type=orm.AbstractCode,
            required=False,
            help="The code `pet-engine` on a computer with phono3py. If not given, the code for the forces is used.",
        )
        spec.input(
            "transport_options",
            valid_type=dict,
            required=False,
            is_metadata=True,
            validator=validate_options,
            help="`metadata.options` of the jobs of the transport.",
        )
        spec.input(
            "transport_settings",
            valid_type=dict,
            required=False,
            is_metadata=True,
            validator=validate_settings,
            help="Settings of these jobs; `threads` is the number of processes.",
        )
        spec.outline(
            cls.setup,
            if_(cls.should_stage)(cls.stage, cls.inspect_stage),
            cls.launch_lanes,
            cls.merge,
            while_(cls.should_transport)(cls.transport, cls.inspect_transport),
            cls.join_transports,
            cls.finish,
        )
        spec.output(
            "forces",
            valid_type=StructureSetData,
            required=False,
            help="All rows with the forces on their displaced supercells. These are an input of `pet.transport`, so "
            "you can run the transport again.",
        )
        spec.exit_code(
            430,
            "ERROR_TRANSPORT",
            message="The forces are in `forces`, but {left} of {total} rows have no conductivity (status `left`): "
            "{message}",
        )

    # -- the second job --------------------------------------------------------------------------------------

    def should_transport(self) -> bool:
        """Return whether there are rows with forces that no job has done, and jobs do finish some."""
        if "rows_to_transport" not in self.ctx:
            forces = self.outputs["forces"]
            statuses = forces.column("status").tolist()
            self.ctx.rows_to_transport = [
                str(name)
                for name, status in zip(forces.ids.tolist(), statuses, strict=True)
                if status != RowStatus.LEFT.value
            ]
            self.ctx.transports = []
            self.ctx.fruitless = 0
        return bool(self.ctx.rows_to_transport) and self.ctx.fruitless < MOST_FRUITLESS

    def transport(self) -> Any:
        """Start a job for the rows that are left."""
        label = f"transport_{len(self.ctx.transports):03d}"
        node = called_as(self.node, label)
        if node is None:
            rows = self.ctx.rows_to_transport
            inputs: dict[str, Any] = {
                "code": self.inputs.get("transport_code", self.inputs.code),
                "structures": self.outputs["forces"],
                "rows": TableData.from_ids(rows),
                "parameters": self.inputs.parameters,
                "metadata": {
                    "call_link_label": label,
                    "label": f"transport of {plural(len(rows), 'crystal')}",
                    "options": dict(self.inputs.get("transport_options", {})),
                },
            }
            if "transport_settings" in self.inputs:
                inputs["settings"] = dict(self.inputs.transport_settings)
            node = self.submit(TransportCalculation, **inputs)
            self.report(f"transport <{node.pk}>: {len(rows)} rows")
        return ToContext(transports=append_(node))

    def inspect_transport(self) -> None:
        """Take out the rows that the job finished."""
        node = self.ctx.transports[-1]
        finished = set(node.outputs.results.ids.tolist()) if "results" in node.outputs else set()
        before = self.ctx.rows_to_transport
        self.ctx.rows_to_transport = [name for name in before if name not in finished]
        self.ctx.fruitless = 0 if finished else self.ctx.fruitless + 1
        if not node.is_finished_ok:
            self.report(f"transport <{node.pk}>: {len(finished)} of {len(before)} rows; {_reason(node)}")

    def join_transports(self) -> None:
        """Bring the conductivities together in the order of the input."""
        parts = {
            f"transport_{number:03d}": node.outputs.results
            for number, node in enumerate(self.ctx.transports)
            if "results" in node.outputs
        }
        forces = self.outputs["forces"]
        first = next(iter(parts.values()), None)
        if first is not None and first.ids.tolist() == forces.ids.tolist():
            self.out("results", first)
        elif first is not None:
            rows = {"rows": self.inputs.rows} if "rows" in self.inputs else {}
            self.out("results", merge_tables(structures=self.structures, **rows, **parts))

    def finish(self) -> Any:
        """Say which rows have no conductivity for want of a job, and what there is of a single crystal."""
        left = len(self.ctx.rows_to_transport)
        if left:
            total = len(self.outputs["forces"])
            return self.exit_codes.ERROR_TRANSPORT.format(
                left=left, total=total, message=_reason(self.ctx.transports[-1])
            )
        if "results" not in self.outputs:  # no job of forces has finished a row
            return super(CrystalsWorkChain, self).finish()
        return super().finish()

    @classmethod
    def get_builder_from_protocol(  # type: ignore[override]
        cls,
        code: orm.AbstractCode,
        model: PetModelData,
        structures: StructureSetData | orm.StructureData,
        *,
        transport_code: orm.AbstractCode | str | None = None,
        transport_resources: dict[str, Any] | None = None,
        transport_options: dict[str, Any] | None = None,
        transport_settings: dict[str, Any] | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        rows: TableData | None = None,
        **launch: Unpack[Launch],
    ) -> ProcessBuilder:
        """Return a builder with the inputs of ``protocol``.

        The other arguments are described in :class:`~aiida_pet.workchains.crystals.CrystalsWorkChain`.

        :param transport_code: where phono3py is; None for the code of the forces.
        :param transport_resources: what a job of the transport asks the queue for, as ``{"cpus": 16}``.
        :param transport_options: its ``metadata.options``.
        :param transport_settings: how it works, as ``{"threads": 4}``.
        :raises ProtocolError: for an unknown protocol or override.
        :raises ResourceError: for resources that the computer of the code has not.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            builder = WorkflowFactory("pet.conductivity").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                model=orm.load_node(label="pet-oam-xl"),
                structures=orm.load_node(label="alloys"),
                transport_resources={"cpus": 16},
            )
        """
        builder = super().get_builder_from_protocol(
            code, model, structures, protocol=protocol, overrides=overrides, rows=rows, **launch
        )
        other = find_code(transport_code) if isinstance(transport_code, str) else transport_code
        if other is not None:
            builder.transport_code = other
        options = job_options((other or code).computer, transport_resources, transport_options)
        if options:
            builder.transport_options = options
        settings = share_of_cores(other or code, 1, options) | dict(transport_settings or {})
        if settings:
            builder.transport_settings = settings
        return builder


def _reason(node: Any) -> str:
    return str(node.exit_message or node.exception or f"it ended as {node.process_state.value}")
