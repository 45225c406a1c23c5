"""Phonons of a set of crystals or a single one, relaxation included, and where its imaginary modes lead."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ToContext, if_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.follow_modes import compare_followed, displace_along_modes, rows_to_follow
from aiida_pet.calculations.harmonic import (
    path_of_row,
    phonon_bands,
    phonon_dos,
    phonon_row_parameters,
    phonon_thermal,
    phonopy_params,
)
from aiida_pet.calculations.harmonic_parameters import (
    BandsParameters,
    DosParameters,
    FollowParameters,
    HarmonicParameters,
    ThermalParameters,
    read_parameters,
)
from aiida_pet.calculations.validation import check_parameters
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import ParameterError, RelaxParameters, Symmetry, parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.workchains.crystals import CrystalsWorkChain
from aiida_pet.workchains.inputs import TO_CHILDREN
from aiida_pet.workchains.jobs import called_as
from aiida_pet.workchains.relax import RelaxWorkChain

# Ports of what is made of a single crystal's force constants.
SINGLE: dict[str, type[HarmonicParameters]] = {
    "bands": BandsParameters,
    "dos": DosParameters,
    "thermal": ThermalParameters,
}
# In `follow_modes`: parameters of the free relaxation.
RELAX = "relax"
_OF_THE_JOB = ("phonon_symprec", "imaginary_threshold")


class PhononWorkChain(CrystalsWorkChain):
    """Phonons of ``structures``, or of a single ``structure``.

    With ``follow_modes``, a crystal that has imaginary modes is displaced along the softest and relaxed freely.
    """

    TASK = Task.PHONONS

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Add what is made of force constants to the ports of a batch."""
        super().define(spec)
        for name, schema in SINGLE.items():
            spec.input(
                name,
                valid_type=orm.Dict,
                serializer=orm.to_aiida_type,
                required=False,
                validator=_validate_single,
                help=f"Parameters for the {name} of a single crystal: {', '.join(schema.model_fields)}; see "
                "`aiida_pet.calculations.harmonic_parameters`.",
            )
        spec.input(
            "parent",
            valid_type=orm.StructureData,
            required=False,
            help="Structure that gives the band path of a single crystal; the bands are on the lattice of the crystal.",
        )
        spec.input(
            "follow_modes",
            valid_type=(orm.Bool, orm.Dict),
            serializer=orm.to_aiida_type,
            required=False,
            validator=validate_follow_modes,
            help="Displace crystals that have imaginary modes along their softest mode, and relax them freely. Give "
            f"true, or a dictionary with `amplitude` (A) and `{RELAX}` (parameters of that relaxation that differ "
            "from the parameters of the job).",
        )
        spec.outline(
            cls.setup,
            if_(cls.should_stage)(cls.stage, cls.inspect_stage),
            cls.launch_lanes,
            cls.merge,
            if_(cls.should_follow)(cls.follow, cls.inspect_followed),
            cls.finish,
        )
        for name, valid_type, text in (
            (
                "bands",
                orm.BandsData,
                "Bands (THz) of the single crystal; attributes name the structure that gave the path.",
            ),
            ("dos", orm.XyData, "Density of states (1/THz) of the single crystal, total and of each atom."),
            (
                "thermal_properties",
                orm.XyData,
                "Free energy (kJ/mol), entropy and heat capacity (J/(K mol)) per mole of primitive cells.",
            ),
            ("phonopy_params", orm.SinglefileData, "`phonopy_params.yaml`, which `phonopy.load` reads."),
            (
                "followed",
                TableData,
                "Results of following the softest modes, with a row for each crystal.",
            ),
            (
                "followed_structures",
                StructureSetData,
                "The supercells after the free relaxation, with the ids of the crystals.",
            ),
        ):
            spec.output(name, valid_type=valid_type, required=False, help=text)
        spec.exit_code(
            421,
            "ERROR_NO_BAND_PATH",
            message="The bands could not be made; all other outputs are there: {message}",
        )
        spec.exit_code(
            422,
            "ERROR_NOT_FOLLOWED",
            message="The relaxations along the imaginary modes gave no result (process <{pk}>): {message}",
        )

    @classmethod
    def validate(cls, inputs: Any, port: Any) -> str | None:
        """Return what is wrong with the inputs taken together."""
        problem = super().validate(inputs, port)
        if problem:
            return problem
        given = [name for name in (*SINGLE, "parent") if name in inputs]
        if "structures" in inputs and given:
            return (
                f"{', '.join(given)}: only for a single `structure`; for a row of a set call the functions of "
                "`aiida_pet.calculations.harmonic` with its results"
            )
        if "follow_modes" not in inputs:
            return None
        problem = check_parameters(
            Task.RELAX, _relax_parameters(inputs["parameters"], inputs["follow_modes"])
        )
        return f"follow_modes.{RELAX}: {problem}" if problem else None

    # -- where imaginary modes lead --------------------------------------------------------------------------

    def should_follow(self) -> bool:
        """Return whether it is wanted, and there is a crystal with imaginary modes."""
        follow = self.inputs.get("follow_modes")
        if follow is None or (isinstance(follow, orm.Bool) and not follow.value):
            return False
        rows = rows_to_follow(self.outputs["results"])
        self.report(f"{len(rows)} crystals have imaginary modes, which will be followed")
        return bool(rows)

    def follow(self) -> Any:
        """Displace them along their softest modes, and relax them freely."""
        given = _follow_options(self.inputs.follow_modes)
        given.pop(RELAX, None)
        own = self._job_parameters()
        options = orm.Dict(given | {name: own[name] for name in _OF_THE_JOB})
        self.ctx.displaced = displace_along_modes(results=self.outputs["results"], parameters=options)
        inputs = {name: self.inputs[name] for name in TO_CHILDREN if name in self.inputs}
        inputs["structures"] = self.ctx.displaced
        inputs["parameters"] = orm.Dict(_relax_parameters(self.inputs.parameters, self.inputs.follow_modes))
        label = "follow_modes"
        metadata = {"call_link_label": label}
        node = called_as(self.node, label) or self.submit(RelaxWorkChain, metadata=metadata, **inputs)
        self.report(f"relaxing {len(self.ctx.displaced)} crystals from their softest modes: <{node.pk}>")
        return ToContext(following=node)

    def inspect_followed(self) -> None:
        """Take where they landed."""
        node = self.ctx.following
        if "results" not in node.outputs:
            message = node.exit_message or node.exception or f"it ended as {node.process_state.value}"
            self.ctx.not_followed = (node.pk, message)
            return
        relaxed = node.outputs.results
        self.out("followed_structures", relaxed)
        followed = compare_followed(
            results=self.outputs["results"], displaced=self.ctx.displaced, relaxed=relaxed
        )
        self.out("followed", followed)

    # -- what comes back -------------------------------------------------------------------------------------

    def finish(self) -> Any:
        """Say what there is of a single crystal, and what did not go well."""
        problem = super().finish()
        if problem is None and "not_followed" in self.ctx:
            pk, message = self.ctx.not_followed
            return self.exit_codes.ERROR_NOT_FOLLOWED.format(pk=pk, message=message)
        return problem

    def describe(self, results: StructureSetData, row_id: orm.Str) -> orm.Dict:
        """Return the scalar columns of the single crystal, with the warnings of its symmetry and band path."""
        if results.column("status")[0] != RowStatus.CONVERGED:
            return super().describe(results, row_id)
        return phonon_row_parameters(results=results, row_id=row_id, **self._path_inputs())

    def present(self, results: StructureSetData, row_id: orm.Str) -> ExitCode | None:
        """Give bands, density of states, thermal properties and phonopy's file."""
        of_row: dict[str, Any] = {"results": results, "row_id": row_id}
        self.out("dos", phonon_dos(**of_row, parameters=self._harmonic("dos")))
        self.out("thermal_properties", phonon_thermal(**of_row, parameters=self._harmonic("thermal")))
        self.out("phonopy_params", phonopy_params(**of_row, parameters=self._harmonic()))
        inputs = self._path_inputs()
        try:  # before the calcfunction, which would leave a process that excepted
            path_of_row(results, row_id.value, **inputs)
        except ValueError as error:
            return self.exit_codes.ERROR_NO_BAND_PATH.format(message=str(error))
        bands = phonon_bands(**of_row, **inputs)
        self.out("bands", bands)
        warning = bands.base.attributes.get("warning")
        if warning:
            self.report(f"warning: {warning}")
        return None

    def _path_inputs(self) -> dict[str, Any]:
        """Return the inputs from which the band path is chosen; each node is made once."""
        if "path_inputs" not in self.ctx:
            inputs = {"parameters": self._harmonic("bands"), "start": self.inputs.structure}
            self.ctx.path_inputs = inputs | (
                {"parent": self.inputs.parent} if "parent" in self.inputs else {}
            )
        return dict(self.ctx.path_inputs)

    def _harmonic(self, port: str | None = None) -> orm.Dict:
        """Return the parameters of ``port``, phonopy's tolerance being that of the job."""
        given = self.inputs[port].get_dict() if port in self.inputs else {}
        return orm.Dict({"phonon_symprec": self._job_parameters()["phonon_symprec"]} | given)

    def _job_parameters(self) -> dict[str, Any]:
        return _parsed(self.inputs.parameters)

    @classmethod
    def get_builder_from_protocol(  # type: ignore[override]
        cls,
        code: orm.AbstractCode,
        model: PetModelData,
        structures: StructureSetData | orm.StructureData,
        *,
        bands: dict[str, Any] | None = None,
        dos: dict[str, Any] | None = None,
        thermal: dict[str, Any] | None = None,
        parent: orm.StructureData | None = None,
        follow_modes: bool | dict[str, Any] | None = None,
        **others: Any,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of ``protocol``.

        The other arguments are described in :class:`~aiida_pet.workchains.crystals.CrystalsWorkChain`.

        :param bands: parameters for the bands of a single crystal, see
            :mod:`aiida_pet.calculations.harmonic_parameters`.
        :param dos: so here.
        :param thermal: and here.
        :param parent: structure on whose band path the single crystal is put.
        :param follow_modes: true, or ``{"amplitude": 0.2, "relax": {"fmax": 0.001}}``.
        :raises ProtocolError: for an unknown protocol or override.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            builder = WorkflowFactory("pet.phonons").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                model=orm.load_node(label="pet-oam-xl"),
                structures=orm.load_node(label="alloys"),
                overrides={"parameters": {"min_image": 10.0}},  # A
            )
        """
        builder = super().get_builder_from_protocol(code, model, structures, **others)
        for name, given in (("bands", bands), ("dos", dos), ("thermal", thermal)):
            if given is not None:
                setattr(builder, name, orm.Dict(given))
        if parent is not None:
            builder.parent = parent
        if follow_modes is not None:
            chosen = follow_modes
            builder.follow_modes = orm.Bool(chosen) if isinstance(chosen, bool) else orm.Dict(chosen)
        return builder


def validate_follow_modes(node: orm.Bool | orm.Dict | None, _: Any) -> str | None:
    """Return which keys of ``follow_modes`` are unknown, or out of bounds."""
    if node is None:
        return None
    options = _follow_options(node)
    relax = options.pop(RELAX, {})
    if not isinstance(relax, dict):
        return f"{RELAX} = {relax!r}: expected parameters such as {{'fmax': 0.001}}"
    of_job = sorted(set(options) & set(_OF_THE_JOB))
    if of_job:
        return f"{', '.join(of_job)}: the relaxation uses the same value as the phonons, so set it in `parameters`"
    try:
        read_parameters(FollowParameters, orm.Dict(options))
    except ParameterError as error:
        return f"{error}; and {RELAX}"
    return None


def _validate_single(node: orm.Dict | None, port: Any) -> str | None:
    if node is None:
        return None
    try:
        read_parameters(SINGLE[port.name], node)
    except ParameterError as error:
        return str(error)
    return None


def _follow_options(node: orm.Bool | orm.Dict) -> dict[str, Any]:
    return {} if isinstance(node, orm.Bool) else node.get_dict()


def _parsed(parameters: orm.Dict) -> dict[str, Any]:
    """Return the parameters of the phonons, defaults filled in."""
    found: dict[str, Any] = parse_parameters(Task.PHONONS, parameters.get_dict()).model_dump(mode="json")
    return found


def _relax_parameters(parameters: orm.Dict, follow: orm.Bool | orm.Dict) -> dict[str, Any]:
    """Return the parameters of the free relaxation: those of the job, symmetry set free, and what is given."""
    own = {name: value for name, value in _parsed(parameters).items() if name in RelaxParameters.model_fields}
    return own | {"symmetry": Symmetry.NONE.value} | _follow_options(follow).get(RELAX, {})
