"""Energies above the convex hull of a finished set, against references of the same model or of a table."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder, ToContext, WorkChain, if_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.hull import (
    DEFAULTS,
    ENERGY,
    LABEL,
    check_hull_parameters,
    check_reference,
    energies_above_hull,
    mixture_in,
    theories_in,
    to_plain,
)
from aiida_pet.calculations.theory import parameters_behind, theory_of, theory_of_models
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.engine.job import Task
from aiida_pet.workchains.done import has_current_results
from aiida_pet.workchains.groups import put_results_into_group
from aiida_pet.workchains.jobs import called_as
from aiida_pet.workchains.protocols.mixin import TaskProtocols
from aiida_pet.workchains.relax import RelaxWorkChain

# the name of the references that are relaxed here
RELAXED = "relaxed_references"


class HullWorkChain(TaskProtocols, WorkChain):
    """Formation energies, energies above hull and decomposition products of a set.

    References are sets of the same model, tables of reference phases, and crystals that are relaxed here first. Such a
    relaxation is done once: a finished one of the same crystals with the same model and parameters is taken up,
    whatever campaign it was of.
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
            help="The finished set: energies (eV per cell) and statuses.",
        )
        spec.input_namespace(
            "references",
            dynamic=True,
            required=False,
            valid_type=(StructureSetData, TableData),
            validator=validate_references,
            help="Reference phases by name: sets with energies, or tables made from files.",
        )
        spec.input(
            "reference_structures",
            valid_type=StructureSetData,
            required=False,
            help="Elements and competing phases to relax first, as `relax` says.",
        )
        spec.expose_inputs(
            RelaxWorkChain,
            namespace="relax",
            exclude=("structures", "structure", "rows", "task"),
            namespace_options={
                "required": False,
                "populate_defaults": False,
                "help": "How `reference_structures` are relaxed: model and parameters those of the set.",
            },
        )
        spec.inputs["relax"].validator = None  # the child checks the crystals together with the rest
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            default=lambda: orm.Dict({}),
            validator=lambda node, _: None if node is None else check_hull_parameters(node.get_dict()),
            help=f"{', '.join(DEFAULTS)}: see `aiida_pet.analysis.hull`.",
        )
        spec.inputs.validator = validate_hull
        spec.outline(
            cls.check,
            if_(cls.should_relax)(cls.relax, cls.inspect_relaxation),
            cls.evaluate,
        )
        spec.output("results", valid_type=TableData, required=False, help="One row for each of the set.")
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
            411,
            "ERROR_REFERENCES_NOT_RELAXED",
            message="The references are not all relaxed (process <{pk}>): {message} If rows are left, `aiida-pet "
            "resume {pk}` goes on with them; launch the hull again then.",
        )

    def on_terminated(self) -> None:
        """Put what there is into the group of the campaign."""
        super().on_terminated()
        put_results_into_group(self.node)

    def check(self) -> Any:
        """Compare levels of theory before anything is computed."""
        parameters = DEFAULTS | self.inputs.parameters.get_dict()
        own = theory_of(self.inputs.structures)
        if not own.level and parameters["level_of_theory"]:
            own = type(own)(parameters["level_of_theory"], own.models)
        self.ctx.theories = {LABEL: own}
        found = dict(self.ctx.theories)
        for name, node in self.inputs.get("references", {}).items():
            if isinstance(node, StructureSetData):
                self.ctx.theories[name] = theory_of(node)
                found[name] = self.ctx.theories[name]
            else:
                found |= theories_in(node)
        if "reference_structures" in self.inputs:
            self.ctx.theories[RELAXED] = theory_of_models(self.inputs.relax.model)
            found[RELAXED] = self.ctx.theories[RELAXED]
        mixture = mixture_in(found)
        if mixture and not parameters["force_mixture"]:
            return self.exit_codes.ERROR_MIXED_THEORY.format(message=mixture)
        return None

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
        inputs = self.exposed_inputs(RelaxWorkChain, namespace="relax")
        inputs["structures"] = self.inputs.reference_structures
        label = "relax_references"
        inputs.setdefault("metadata", {})["call_link_label"] = label
        node = called_as(self.node, label) or self.submit(RelaxWorkChain, **inputs)
        self.report(f"relaxing {len(self.inputs.reference_structures)} references: <{node.pk}>")
        return ToContext(relaxation=node)

    def inspect_relaxation(self) -> Any:
        """Take the references that are relaxed."""
        node = self.ctx.relaxation
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
        options: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
        lanes: int = 1,
        parameters: dict[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder; references are relaxed with the parameters of the set unless a protocol is named.

        :param structures: the finished set.
        :param references: reference phases by name.
        :param reference_structures: crystals to relax first, by ``code`` with ``model``.
        :param protocol: of the relaxation; None takes the parameters that the set was relaxed with, if provenance tells
            them, else the default protocol.
        :param overrides: inputs of the relaxation's protocol to change.
        :param resources: of the relaxation's jobs, fields of
            :class:`~aiida_pet.calculations.resources.Resources`.
        :param parameters: of the hull.
        :raises ValueError: if there are crystals to relax but no code or model.
        :raises ProtocolError: for an unknown protocol or override.
        """
        builder = cls.get_builder()
        builder.structures = structures
        builder.parameters = orm.Dict(parameters or {})
        if references:
            builder.references = references
        if reference_structures is None:
            return builder
        if code is None or model is None:
            raise ValueError("reference_structures are to be relaxed: give code and model")
        child = RelaxWorkChain.get_builder_from_protocol(
            code,
            model,
            reference_structures,
            protocol=protocol,
            overrides=overrides,
            options=options,
            settings=settings,
            resources=resources,
            lanes=lanes,
        )
        own = parameters_behind(structures)
        if protocol is None and overrides is None and own is not None:
            child.parameters = orm.Dict(own)
        builder.reference_structures = reference_structures
        builder.relax = {
            name: value
            for name, value in dict(child).items()
            if name not in ("structures", "task", "metadata")
        }
        return builder


def find_relaxed(structures: StructureSetData, model: PetModelData, parameters: orm.Dict) -> Any | None:
    """Return the newest finished relaxation of crystals like ``structures``, all of them, with model and parameters."""
    query = orm.QueryBuilder()
    query.append(
        orm.WorkChainNode,
        filters={"process_type": RelaxWorkChain.build_process_type(), "attributes.exit_status": 0},
        tag="relaxation",
        project="*",
    )
    query.append(
        StructureSetData,
        filters={"extras._aiida_hash": structures.base.caching.get_hash()},
        with_outgoing="relaxation",
        edge_filters={"label": "structures"},
    )
    query.append(
        PetModelData,
        filters={"attributes.sha256": model.sha256},
        with_outgoing="relaxation",
        edge_filters={"label": "model"},
    )
    query.order_by({"relaxation": {"id": "desc"}})
    for node in query.all(flat=True):
        same = node.inputs.parameters.get_dict() == parameters.get_dict()
        if same and "rows" not in node.inputs and "results" in node.outputs and has_current_results(node):
            return node
    return None


def validate_structures(node: StructureSetData | None, _: Any) -> str | None:
    """Return that the set has no energies."""
    if node is not None and ENERGY not in node.column_names:
        return f"the set has no column {ENERGY!r} (eV per cell): relax or evaluate it first"
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
    kind = (inputs["parameters"].get_dict() if "parameters" in inputs else {}).get("hull", DEFAULTS["hull"])
    if kind == "references" and not inputs.get("references") and "reference_structures" not in inputs:
        return "hull = 'references' needs `references` or `reference_structures`"
    return None
