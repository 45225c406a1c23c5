"""Models that are not plain PET, through metatomic's road: a list of systems, their neighbour lists, autograd.

Whatever metatrain exports with an energy in eV can be evaluated so: PET with long-range features, ZBL repulsion or
conditioning, and other architectures. It is slower than :class:`~aiida_pet.engine.model.pet.BatchedPet`, since
systems are Python objects; the neighbour pairs, the chunks and the averages over rotations are the same.

For an average, whole systems are rotated: rows of positions and cells become R x, and forces and stress are turned
back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

import torch
from metatomic.torch import ModelCapabilities, ModelEvaluationOptions, ModelOutput

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import NET_FORCE, VIRIAL, Evaluation
from aiida_pet.engine.batch.neighbors import Pairs
from aiida_pet.engine.model.base import (
    BatchModel,
    ModelOptions,
    gradients_of,
    net_force_removed,
    stress_volumes,
    usable_precision,
)
from aiida_pet.engine.model.chunks import Cost
from aiida_pet.engine.model.heads import (
    DIRECT_FORCES,
    DIRECT_STRESS,
    ENERGY,
    UnsupportedModelError,
    features_name,
    head_name,
    no_ensemble,
    no_uncertainty,
    uncertainty_name,
)
from aiida_pet.engine.model.metatomic_systems import make_systems, per_atom, per_row
from aiida_pet.engine.model.metatrain_pet import neighbors_kept, pet_of
from aiida_pet.engine.symmetry.averaging import Turn
from aiida_pet.job.parameters import Derivation, Dtype, Output

#: Inputs that a model may ask for beside the atoms, and what every crystal gets: neutral, no spin.
DEFAULT_INPUTS = {"charge": 0.0, "spin_multiplicity": 1.0}


@dataclass(frozen=True)
class _Names:
    """The outputs of the model that are asked for, by its names; None for those that are not."""

    energy: str
    forces: str | None
    stress: str | None
    features: str | None
    uncertainty: str | None


class WrappedModel(BatchModel):
    """A model of metatrain's, evaluated through metatomic. Parameters as
    :class:`~aiida_pet.engine.model.base.BatchModel`.

    :param model: as loaded for export.
    :raises UnsupportedModelError: if the model lacks what is asked for, or asks for what is not known.
    """

    def __init__(self, model: Any, **options: Unpack[ModelOptions]) -> None:
        possible = [dtype for dtype in Dtype if getattr(torch, dtype, None) in model.__supported_dtypes__]
        dtype = Dtype(options.get("dtype", Dtype.FLOAT64))
        options["dtype"] = usable_precision(dtype, possible, f"the model, a {type(model).__name__},")
        exported = _exported(model, options["dtype"])
        self._lists = exported.requested_neighbor_lists()
        super().__init__(
            cutoff=max((asked.engine_cutoff("angstrom") for asked in self._lists), default=1.0),
            atomic_numbers=exported.capabilities().atomic_types,
            n_features=int(getattr(model, "last_layer_feature_size", getattr(model, "ll_feat_size", 0))),
            **options,
        )
        self.cost = Cost(neighbors_kept(model))
        asked = exported.requested_inputs(use_new_names=True)
        unknown = sorted(set(asked) - set(DEFAULT_INPUTS))
        if unknown:
            raise UnsupportedModelError(
                f"the model needs the inputs {', '.join(unknown)}; the engine knows only {', '.join(DEFAULT_INPUTS)}"
            )
        self._data = {name: DEFAULT_INPUTS[name] for name in asked}
        self._names = self._named(model, exported.capabilities().outputs)
        self._options = ModelEvaluationOptions(length_unit="angstrom", outputs=self._requested())
        self._model = exported.to(device=self.device).requires_grad_(False)

    def _named(self, model: Any, available: dict[str, ModelOutput]) -> _Names:
        """Return the names of what is asked for.

        :raises UnsupportedModelError: if the model lacks one.
        """
        names, variant = list(available), self.variant
        energy = head_name(names, (ENERGY,), variant)
        self._energy_per_atom = available[energy].sample_kind == "atom"
        if Output.ENERGIES in self.outputs and not self._energy_per_atom:
            raise UnsupportedModelError(
                f"outputs has energies, but the model gives no {energy!r} for each atom"
            )
        features = features_name(energy) if Output.FEATURES in self.outputs else None
        if features is not None and features not in names:
            raise UnsupportedModelError(f"outputs has features, but the model has no output {features!r}")
        if Output.ENSEMBLE in self.outputs:
            raise no_ensemble(type(model).__name__)
        uncertainty = uncertainty_name(energy) if Output.UNCERTAINTY in self.outputs else None
        if uncertainty is not None and uncertainty not in names:
            raise no_uncertainty(type(model).__name__)
        return _Names(
            energy,
            head_name(names, DIRECT_FORCES, variant) if self.forces is Derivation.DIRECT else None,
            head_name(names, (DIRECT_STRESS,), variant) if self.stress is Derivation.DIRECT else None,
            features,
            uncertainty,
        )

    def _requested(self) -> dict[str, ModelOutput]:
        names = self._names
        kind = "atom" if self._energy_per_atom else "system"
        requested = {
            names.energy: ModelOutput(unit="eV", sample_kind=kind),
            names.forces: ModelOutput(unit="eV/Angstrom", sample_kind="atom"),
            names.stress: ModelOutput(unit="eV/Angstrom^3", sample_kind="system"),
            names.features: ModelOutput(sample_kind="system"),
            names.uncertainty: ModelOutput(unit="eV", sample_kind="system"),
        }
        return {name: output for name, output in requested.items() if name is not None}

    def _prepared(self, batch: Batch, pairs: Pairs) -> tuple[Batch, Pairs]:
        return batch, pairs

    def _answer(self, prepared: tuple[Batch, Pairs], turn: Turn | None) -> Evaluation:
        batch, pairs = prepared
        if turn is None:
            return self._evaluated(batch, pairs)
        first = torch.arange(len(turn), device=self.device)
        batch, pairs = batch.take(first), pairs.take(first, batch)
        rotation = turn.matrices
        positions = torch.einsum("aj,aij->ai", batch.positions, rotation[batch.row_of_atom])
        answer = self._evaluated(batch.moved(positions, batch.cells @ rotation.mT), pairs)
        rows = dict(answer.rows)
        if VIRIAL in rows:
            rows[VIRIAL] = rotation.mT @ rows[VIRIAL] @ rotation
        return Evaluation(
            answer.energy,
            torch.einsum("ai,aij->aj", answer.forces, rotation[batch.row_of_atom]),
            rotation.mT @ answer.stress @ rotation,
            rows,
            answer.atoms,
        )

    def _evaluated(self, batch: Batch, pairs: Pairs) -> Evaluation:
        """Return the answer for ``batch`` as it is."""
        strained = self._strained(batch)
        with torch.set_grad_enabled(bool(strained.leaves)):
            systems = make_systems(batch, pairs, strained, self._lists, self._data)
            said = self._model(systems, self._options, check_consistency=False)
            energy = said[self._names.energy].block().values
            gradients = gradients_of([energy.sum()], strained.leaves)
        blocks = {name: said[name].block() for name in self._options.outputs}
        return self._assembled(batch, blocks, {name: values.double() for name, values in gradients.items()})

    def _assembled(self, batch: Batch, blocks: dict[str, Any], gradients: dict[str, Tensor]) -> Evaluation:
        names, volumes = self._names, stress_volumes(batch, of_slabs=self.stress_of_slabs)
        rows: dict[str, Tensor] = {}
        atoms: dict[str, Tensor] = {}

        def of_rows(name: str) -> Tensor:
            return per_row(blocks[name], batch).detach().double()

        def of_atoms(name: str) -> Tensor:
            return per_atom(blocks[name], batch).detach().double()

        if self._energy_per_atom:
            energies = of_atoms(names.energy).reshape(-1)
            energy = batch.row_sum(energies)
            if Output.ENERGIES in self.outputs:
                atoms[Output.ENERGIES] = energies
        else:
            energy = of_rows(names.energy).reshape(-1)
        if names.forces is None:
            forces = -gradients["positions"]
        else:
            forces, rows[NET_FORCE] = net_force_removed(of_atoms(names.forces).reshape(-1, 3), batch)
        if names.stress is None:
            stress = gradients["strain"] / volumes
        else:
            stress = of_rows(names.stress).reshape(-1, 3, 3) * (volumes / volumes)
        if Output.INVARIANCE in self.outputs:
            rows[VIRIAL] = gradients["strain"]
        if names.features is not None:
            rows[Output.FEATURES] = of_rows(names.features)
        if names.uncertainty is not None:
            rows[Output.UNCERTAINTY] = of_rows(names.uncertainty).reshape(-1)
        return Evaluation(energy, forces, (stress + stress.mT) / 2.0, rows, atoms)


def _exported(model: Any, dtype: Dtype) -> Any:
    """Return metatomic's form of ``model`` in the precision ``dtype``.

    :raises UnsupportedModelError: if the model does not run in that precision.
    """
    precision = getattr(torch, dtype.value, None)  # none is mixed
    if precision not in model.__supported_dtypes__:
        raise UnsupportedModelError(
            f"the model, a {type(model).__name__}, does not run in dtype = {dtype.value}"
        )
    model = model.to(precision)
    if pet_of(model) is not model:  # LLPR wrote down its precision when it was made
        old = model.capabilities
        model.capabilities = ModelCapabilities(
            outputs=old.outputs,
            atomic_types=old.atomic_types,
            interaction_range=old.interaction_range,
            length_unit=old.length_unit,
            supported_devices=old.supported_devices,
            dtype=dtype.value,
        )
    return model.export().eval()
