"""A batch whose task is fixed, for a set of crystals or a single one, with AiiDA's own types at the ends."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.functions import SINGLE_ID, collect_structures, extract_structure
from aiida_pet.calculations.records import row_parameters
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.tasks import Task
from aiida_pet.workchains.batch import BatchWorkChain, validate_batch
from aiida_pet.workchains.builder import SpeakingBuilder
from aiida_pet.workchains.launch import Launch, fill_launch, fill_protocol, read_launch
from aiida_pet.workchains.protocols import protocol_inputs


class CrystalsWorkChain(BatchWorkChain):
    """One task over ``structures``, or over a single ``structure``.

    A :class:`~aiida_pet.workchains.batch.BatchWorkChain` with its task fixed, not a layer around it: one process less.
    """

    TASK: ClassVar[Task]

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Add the single crystal to the ports of a batch."""
        super().define(spec)
        spec.inputs["task"].default = lambda: orm.Str(cls.TASK.value)  # type: ignore[union-attr]
        for name in (
            "task",
            "structures",
        ):  # what reads the ports, such as a graph of WorkChains, need not give them
            spec.inputs[name].required = False
        spec.input("structure", valid_type=orm.StructureData, required=False, help="A single crystal.")
        spec.inputs.validator = cls.validate
        spec.output(
            "output_structure",
            valid_type=orm.StructureData,
            required=False,
            help="The single crystal in its final geometry.",
        )
        spec.output(
            "output_parameters",
            valid_type=orm.Dict,
            required=False,
            help="The single crystal's scalar columns and their units: energy (eV), volume (A^3), space groups, ...",
        )
        spec.exit_code(
            420,
            "ERROR_NOT_CONVERGED",
            message="The crystal has no answer: status `{status}`. {message}",
        )

    @classmethod
    def validate(cls, inputs: Any, port: Any) -> str | None:
        """Return what is wrong with the inputs taken together."""
        if ("structure" in inputs) == ("structures" in inputs):
            return "give either `structures` (a set) or `structure` (a single crystal), not both"
        if "structure" in inputs and "rows" in inputs:
            return "`rows` selects from a set: leave it out with a single `structure`"
        if inputs["task"].value != cls.TASK:
            given = inputs["task"].value
            return f"task = {given!r}: {cls.__name__} does {cls.TASK.value}; use pet.batch for other tasks"
        return validate_batch(inputs, port)

    def take_structures(self) -> None:
        """Take the crystals, or make a set of the single one."""
        if "structure" in self.inputs:
            self.ctx.structures = collect_structures(**{SINGLE_ID: self.inputs.structure})
        else:
            super().take_structures()

    def finish(self) -> Any:
        """Give a single crystal in AiiDA's own types too."""
        if "structure" not in self.inputs:
            return super().finish()
        results = self.outputs["results"]
        row_id = orm.Str(str(results.ids[0]))
        parameters = self.describe(results, row_id)
        self.out("output_parameters", parameters)
        status = parameters["status"]
        if status == RowStatus.LEFT:
            return super().finish()
        self.out("output_structure", extract_structure(results, row_id))
        if status != RowStatus.CONVERGED:
            message = parameters.get_dict().get("message") or "Its last geometry is in `output_structure`."
            return self.exit_codes.ERROR_NOT_CONVERGED.format(status=status, message=message)
        return self.present(results, row_id)

    def describe(self, results: StructureSetData, row_id: orm.Str) -> orm.Dict:
        """Return what becomes ``output_parameters`` of a single crystal."""
        parameters: orm.Dict = row_parameters(results=results, row_id=row_id)
        return parameters

    def present(self, results: StructureSetData, row_id: orm.Str) -> ExitCode | None:
        """Give what else there is of a single crystal that has its answer, and say if some of it is missing."""
        return None

    @classmethod
    def get_builder_from_protocol(  # type: ignore[override]
        cls,
        code: orm.AbstractCode,
        model: PetModelData,
        structures: StructureSetData | orm.StructureData,
        *,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        rows: TableData | None = None,
        **launch: Unpack[Launch],
    ) -> ProcessBuilder:
        """Return a builder with the inputs of ``protocol``.

        :param structures: the crystals, or a single one.
        :param protocol: fast, moderate (the default) or precise.
        :param overrides: inputs of the protocol to change, as ``{"parameters": {"fmax": 0.01}}``.
        :param rows: only these ids.
        :param launch: how it runs, see :class:`~aiida_pet.workchains.launch.Launch`.
        :raises ProtocolError: for an unknown protocol or override.
        :raises LaunchError: for an argument that there is not.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            builder = WorkflowFactory("pet.relax").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                model=orm.load_node(label="pet-oam-xl"),
                structures=orm.load_node(label="alloys"),
                protocol="precise",
                overrides={"parameters": {"fmax": 0.01}},  # eV/A
                lanes=4,
            )
        """
        inputs = protocol_inputs(cls.TASK, protocol, overrides)
        builder = SpeakingBuilder(cls)
        fill_protocol(builder, inputs, code=code, model=model, rows=rows)
        if isinstance(structures, orm.StructureData):
            builder.structure = structures
        else:
            builder.structures = structures
        fill_launch(builder, read_launch(cls, launch), inputs)
        return builder
