"""Energies above the convex hull of a finished set, against references of the same model or of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from aiida import orm
from aiida.engine import ProcessBuilder, ToContext, WorkChain, if_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.analysis.hull.levels_of_theory import Theory
from aiida_pet.calculations.hull import (
    DEFAULTS,
    ENERGY,
    LABEL,
    check_hull_parameters,
    check_reference,
    energies_above_hull,
    mixture_in,
    pressure_mixture,
    problem_within,
    theories_in,
    to_plain,
)
from aiida_pet.calculations.screening import combine_relaxations, rattle_structures
from aiida_pet.calculations.theory import (
    freed_from,
    parameters_behind,
    theory_if_one,
    theory_of_models,
    with_neutrality,
)
from aiida_pet.data.model import PetModelData
from aiida_pet.data.partial import fresh
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.tasks import Task
from aiida_pet.workchains.builder import SpeakingBuilder
from aiida_pet.workchains.groups import join_campaign, put_results_into_group
from aiida_pet.workchains.jobs import called_as
from aiida_pet.workchains.launch import Launch, read_launch
from aiida_pet.workchains.protocols.mixin import TaskProtocols
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.relaxed_before import find_relaxed

# the name of the references that are relaxed here
RELAXED = "relaxed_references"
# Options of references that are relaxed as a `constrained_then_free` screening relaxes its set.
FREE_OPTIONS = ("rattle", "seed", "min_gain")


def known_theories(
    structures: StructureSetData,
    references: Mapping[str, TableData],
    parameters: Mapping[str, Any],
    to_relax: tuple[PetModelData, StructureSetData] | None = None,
) -> tuple[dict[str, Theory], dict[str, Theory]]:
    """Return the levels of theory of the sets on a hull, and those of all its sources, by name.

    :param parameters: of the hull, all of them.
    :param to_relax: model, and set of references that it relaxes first.
    """
    own = theory_if_one(structures)
    if not own.level and parameters["level_of_theory"]:
        own = with_neutrality(type(own)(parameters["level_of_theory"], own.models), structures)
    sets, tables = {LABEL: own}, dict[str, Theory]()
    for name, node in references.items():
        if isinstance(node, StructureSetData):
            sets[name] = theory_if_one(node)
        else:
            tables |= theories_in(node)
    if to_relax is not None:
        model, relaxed = to_relax
        sets[RELAXED] = with_neutrality(theory_of_models(model), relaxed)
    return sets, sets | tables


def why_no_hull(
    structures: StructureSetData,
    references: Mapping[str, TableData],
    parameters: Mapping[str, Any],
    to_relax: tuple[PetModelData, StructureSetData] | None = None,
) -> str | None:
    """Return which levels of theory must not be on one hull, known before it starts; None if nothing speaks against it.

    Arguments are those of :func:`known_theories`; parameters that are not given have their defaults.
    """
    whole = DEFAULTS | dict(parameters)
    sets, found = known_theories(structures, references, whole, to_relax)
    return mixture_in(found, list(sets), whole)


class HullWorkChain(TaskProtocols, WorkChain):
    """Formation energies, energies above hull and decomposition products of a set.

    References are sets of the same model, tables of reference phases, and crystals that are relaxed here first. Such a
    relaxation is done once: a finished one of the same crystals with the same model and parameters is taken up,
    whatever campaign it was of. With `free`, they are then relaxed once more, freely from a rattle, as the set of a
    `constrained_then_free` screening is.
    """

    PROTOCOL_TASK = Task.RELAX  # of references that are relaxed

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input(
            "structures",
            valid_type=StructureSetData,
            validator=validate_structures,
            help="The finished set, with energies (eV per cell) and statuses.",
        )
        spec.input_namespace(
            "references",
            dynamic=True,
            required=False,
            valid_type=(StructureSetData, TableData),
            validator=validate_references,
            help="Reference phases by name: sets with energies, or tables that were made from files.",
        )
        spec.input(
            "reference_structures",
            valid_type=StructureSetData,
            required=False,
            help="Elements and competing phases. They are relaxed first, with the inputs `relax`.",
        )
        spec.expose_inputs(
            RelaxWorkChain,
            namespace="relax",
            exclude=("structures", "structure", "rows", "task"),
            namespace_options={
                "required": False,
                "populate_defaults": False,
                "help": "Inputs for the relaxation of `reference_structures`; use the model and parameters of the set.",
            },
        )
        spec.input(
            "free",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            required=False,
            validator=validate_free,
            help="If given, references are relaxed twice: first with `relax`, which keeps their symmetry, then freely "
            "after small random moves. The result with the lower energy counts. The keys are `rattle` (A), `seed` "
            "and `min_gain` (eV/atom).",
        )
        spec.inputs["relax"].validator = None  # the child checks the crystals together with the rest
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            default=lambda: orm.Dict({}),
            validator=lambda node, _: None if node is None else check_hull_parameters(node.get_dict()),
            help=f"{', '.join(DEFAULTS)}: see `aiida_pet.analysis.hull.above_hull`.",
        )
        spec.inputs.validator = validate_hull
        spec.outline(
            cls.check,
            if_(cls.should_relax)(cls.relax, cls.inspect_relaxation),
            if_(cls.should_free)(
                cls.rattle, if_(cls.should_relax_freely)(cls.relax_freely, cls.inspect_free)
            ),
            cls.evaluate,
        )
        spec.output("results", valid_type=TableData, required=False, help="One row for each row of the set.")
        spec.output(
            "summary",
            valid_type=orm.Dict,
            required=False,
            help="Counts, levels of theory, missing elements, warnings.",
        )
        spec.output(
            RELAXED,
            valid_type=StructureSetData,
            required=False,
            help="The `reference_structures`, relaxed.",
        )
        spec.exit_code(310, "ERROR_MIXED_THEORY", message="Two levels of theory on one hull: {message}")
        spec.exit_code(
            311, "ERROR_MIXED_PRESSURE", message="Energies at two pressures on one hull: {message}"
        )
        spec.exit_code(
            411,
            "ERROR_REFERENCES_NOT_RELAXED",
            message="Not all references could be relaxed (process <{pk}>): {message} If rows are unfinished, run "
            "`aiida-pet resume {pk}`, then launch the hull again.",
        )

    def on_terminated(self) -> None:
        """Put what there is into the group of the campaign."""
        super().on_terminated()
        put_results_into_group(self.node)

    def check(self) -> Any:
        """Compare levels of theory before anything is computed."""
        join_campaign(self)
        parameters = DEFAULTS | self.inputs.parameters.get_dict()
        to_relax = "reference_structures" in self.inputs
        self.ctx.theories, found = known_theories(
            self.inputs.structures,
            self.inputs.get("references", {}),
            parameters,
            (self.inputs.relax.model, self.inputs.reference_structures) if to_relax else None,
        )
        mixture = mixture_in(found, list(self.ctx.theories), parameters)
        if mixture:
            return self.exit_codes.ERROR_MIXED_THEORY.format(message=mixture)
        mixture = pressure_mixture(
            self.inputs.structures,
            self.inputs.get("references", {}),
            self.inputs.relax.parameters.get_dict().get("pressure", 0.0) if to_relax else None,
        )
        return self.exit_codes.ERROR_MIXED_PRESSURE.format(message=mixture) if mixture else None

    def should_relax(self) -> bool:
        """Return whether there are references that nobody relaxed before."""
        if "reference_structures" not in self.inputs:
            return False
        relax = self.inputs.relax
        own = parameters_behind(self.inputs.structures)
        if own is not None and own != relax.parameters.get_dict():
            self.report("the references are relaxed with other parameters than the set")
        found = find_relaxed(self.inputs.reference_structures, relax.model, relax.parameters)
        if found is not None:
            self.report(f"references are relaxed already: <{found.pk}>")
            self.ctx.relaxed = found.outputs.results
        return found is None

    def relax(self) -> Any:
        """Relax the references."""
        return ToContext(relaxation=self._relax(self.inputs.reference_structures, "relax_references"))

    def _relax(self, structures: StructureSetData, label: str, **changes: Any) -> Any:
        inputs = self.exposed_inputs(RelaxWorkChain, namespace="relax")
        inputs["structures"] = structures
        if changes:
            inputs["parameters"] = orm.Dict(self.inputs.relax.parameters.get_dict() | changes)
        inputs.setdefault("metadata", {})["call_link_label"] = label
        node = called_as(self.node, label) or self.submit(RelaxWorkChain, **inputs)
        self.report(f"relaxing {len(structures)} references: <{node.pk}>")
        return node

    def inspect_relaxation(self) -> Any:
        """Take the references that are relaxed."""
        return self._take(self.ctx.relaxation)

    # -- freely, from a rattle -------------------------------------------------------------------------------

    def should_free(self) -> bool:
        """Return whether references are relaxed freely once more, which those are that converged."""
        if "free" not in self.inputs or "reference_structures" not in self.inputs:
            return False
        return bool((fresh(self.ctx.relaxed).column("status") == RowStatus.CONVERGED.value).any())

    def rattle(self) -> None:
        """Move atoms and cells of the references at random."""
        self.ctx.constrained = self.ctx.relaxed
        self.ctx.rattled = rattle_structures(structures=self.ctx.constrained, parameters=self.inputs.free)

    def should_relax_freely(self) -> bool:
        """Return whether nobody did that before; what was found stands."""
        parameters = orm.Dict(self.inputs.relax.parameters.get_dict() | {"symmetry": "none"})
        found = find_relaxed(self.ctx.rattled, self.inputs.relax.model, parameters)
        if found is not None:
            self.report(f"references were already relaxed freely: <{found.pk}>")
            self._combine(found.outputs.results)
        return found is None

    def relax_freely(self) -> Any:
        """Relax the rattled references."""
        return ToContext(freeing=self._relax(self.ctx.rattled, "relax_references_free", symmetry="none"))

    def inspect_free(self) -> Any:
        """Take of each reference the relaxation that stands."""
        problem = self._take(self.ctx.freeing)
        if problem is None:
            self._combine(self.ctx.relaxed)
        return problem

    def _combine(self, free: StructureSetData) -> None:
        self.ctx.relaxed = combine_relaxations(
            constrained=self.ctx.constrained, free=free, parameters=self.inputs.free
        )

    # -- what came of it -------------------------------------------------------------------------------------

    def _take(self, node: Any) -> Any:
        """Remember what a relaxation gave, or return why it cannot be used."""
        results = node.outputs.results if "results" in node.outputs else None
        if results is None or not node.is_finished_ok:
            problem = (
                node.exit_message or "it broke down."
            )  # a hull without some of them would be another one
        else:
            problem = check_reference(RELAXED, results)
        if problem or results is None:
            return self.exit_codes.ERROR_REFERENCES_NOT_RELAXED.format(pk=node.pk, message=problem)
        self.ctx.relaxed = results
        return None

    def evaluate(self) -> None:
        """Work out the hull."""
        references = dict(self.inputs.get("references", {}))
        if "relaxed" in self.ctx:
            references[RELAXED] = self.ctx.relaxed
            self.out(RELAXED, self.ctx.relaxed)
        found = energies_above_hull(
            structures=self.inputs.structures,
            parameters=self.inputs.parameters,
            theories=orm.Dict(to_plain(self.ctx.theories)),
            **references,
        )
        self.out("results", found["results"])
        self.out("summary", found["summary"])

    @classmethod
    def get_builder_from_protocol(
        cls,
        structures: StructureSetData,
        *,
        references: dict[str, TableData] | None = None,
        reference_structures: StructureSetData | None = None,
        code: orm.AbstractCode | None = None,
        model: PetModelData | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
        **launch: Unpack[Launch],
    ) -> ProcessBuilder:
        """Return a builder; references are relaxed with the parameters of the set unless a protocol is named.

        :param structures: the finished set.
        :param references: reference phases by name.
        :param reference_structures: crystals to relax first, by ``code`` with ``model``.
        :param protocol: protocol of the relaxation; None takes the parameters that the set was relaxed with, if
            provenance tells them, else the default protocol.
        :param overrides: inputs of the relaxation's protocol to change.
        :param parameters: parameters of the hull.
        :param launch: how the relaxation runs, see :class:`~aiida_pet.workchains.launch.Launch`.
        :raises ValueError: if there are crystals to relax but no code or model.
        :raises ProtocolError: for an unknown protocol or override.
        :raises LaunchError: for an argument that there is not.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            relaxed = orm.load_node(label="relax of alloys").outputs.results
            builder = WorkflowFactory("pet.hull").get_builder_from_protocol(relaxed)
        """
        run_as = read_launch(cls, launch)
        builder = SpeakingBuilder(cls)
        builder.structures = structures
        builder.parameters = orm.Dict(parameters or {})
        if references:
            builder.references = references
        if reference_structures is None:
            return builder
        if code is None or model is None:
            raise ValueError("reference_structures must be relaxed: give code and model")
        child = RelaxWorkChain.get_builder_from_protocol(
            code,
            model,
            reference_structures,
            protocol=protocol,
            overrides=overrides,
            **run_as,
        )
        freed = freed_from(structures)
        own = parameters_behind(freed[0] if freed else structures)
        if protocol is None and overrides is None and own is not None:
            child.parameters = orm.Dict(own)
            if freed:
                builder.free = orm.Dict(freed[1])
        builder.reference_structures = reference_structures
        builder.relax = {
            name: value
            for name, value in dict(child).items()
            if name not in ("structures", "task", "metadata")
        }
        return builder


def validate_structures(node: StructureSetData | None, _: Any) -> str | None:
    """Return that the set has no energies."""
    if node is not None and ENERGY not in node.column_names:
        return f"the set has no column {ENERGY!r} (eV per cell): relax or evaluate it first"
    return None


def validate_free(node: orm.Dict | None, _: Any) -> str | None:
    """Return what is missing of the options of a free relaxation, or is not a number."""
    if node is None:
        return None
    given = node.get_dict()
    for name in FREE_OPTIONS:
        value = given.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            return f"free: {name} = {value!r}: expected a number that is not negative"
    return None


def validate_references(references: Any, _: Any) -> str | None:
    """Return which references cannot be used."""
    for name, node in (references or {}).items():
        if name in (LABEL, RELAXED, "parameters", "theories"):
            return f"references cannot be called {name!r}: choose another name"
        problem = check_reference(name, node)
        if problem:
            return problem
    return None


def validate_hull(inputs: Any, _: Any) -> str | None:
    """Return what is wrong with the inputs taken together."""
    if ("reference_structures" in inputs) != ("model" in inputs.get("relax", {})):
        return (
            "`reference_structures` and `relax` (code, model, parameters) go together: give both or neither"
        )
    options = DEFAULTS | (inputs["parameters"].get_dict() if "parameters" in inputs else {})
    if not options["force_mixture"]:
        sets = {LABEL: inputs["structures"]} | dict(inputs.get("references") or {})
        for name, node in sets.items():
            problem = problem_within(node)
            if problem:
                return f"{name}: {problem}"
    if "free" in inputs and "reference_structures" not in inputs:
        return (
            "`free` says how `reference_structures` are relaxed, but there are none: give `reference_structures`, or "
            "leave `free` out"
        )
    if (
        options["hull"] == "references"
        and not inputs.get("references")
        and "reference_structures" not in inputs
    ):
        return "hull = 'references' needs `references` or `reference_structures`"
    return None
