"""What a checkpoint may have beside plain energies: scales, composition, variants, features and uncertainties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator

from aiida_pet.crystals.symmetry.rotation_sets import RotationSet, lebedev
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.heads import Heads, UnsupportedModelError
from aiida_pet.engine.model.metatrain_pet import MetatrainPet, why_not_plain
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.job.parameters import Derivation, Output
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_llpr, tiny_pet

C, D = Derivation.CONSERVATIVE, Derivation.DIRECT
VARIANTS = (None, "pbe", "r2scan")


@pytest.fixture
def mixed(alloys) -> StructureTable:
    """Crystals, a slab and a molecule."""
    slab = ase.build.bcc110("Mo", (1, 1, 2), vacuum=6)
    molecule = Atoms("MoWNb", [[0, 0, 0], [2.3, 0, 0], [0, 2.2, 0.3]])
    others = StructureTable.from_ase([("slab", slab), ("molecule", molecule)])
    return StructureTable.concatenate([alloys(5, strain=0.05, rattle=0.1), others])


def evaluate(pet: Any, table: StructureTable, rows: list[RowRotations | None] | None = None) -> Evaluation:
    batch = Batch.from_table(table)
    pairs = NeighborList(pet.cutoff).update(batch)
    return pet.evaluate(batch, pairs, None if rows is None else Rotations(rows))


def said_by_metatomic(model: Any, table: StructureTable, name: str, kind: str, unit: str = "") -> np.ndarray:
    calculator = MetatomicCalculator(model.export(), device="cpu", uncertainty_threshold=None)
    request = {name: ModelOutput(unit=unit, sample_kind=kind)}
    return calculator.run_model(list(table.iter_ase()), request)[name].block().values.detach().numpy()


def test_heads_are_read_with_the_scale_of_each_element():
    heads = Heads.of(MetatrainPet(tiny_pet()), D, D)
    assert (heads.energy.name, heads.forces.name, heads.stress.name) == (
        "energy", "non_conservative_force", "non_conservative_stress",
    )  # fmt: skip
    # as tiny_pet sets them: targets one after another, per element only where the target is per atom
    np.testing.assert_allclose(heads.energy.scale, [1.3] * 4)
    np.testing.assert_allclose(heads.forces.scale, [1.7, 1.9, 2.1, 2.3])
    np.testing.assert_allclose(heads.stress.scale, [2.1] * 4)
    np.testing.assert_allclose(heads.composition[[41, 42, 73, 74]], [-9.0, -7.3, -5.6, -3.9])
    assert (heads.composition[:41] == 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("heads", [(C, C), (D, D)])
def test_variant_equals_metatomic_ase(mixed, variant, heads):
    model = BatchedPet(tiny_pet(variants=VARIANTS), forces=heads[0], stress=heads[1], variant=variant)
    result = evaluate(model, mixed)
    calculator = MetatomicCalculator(
        tiny_pet(variants=VARIANTS).export(),
        device="cpu",
        variants={"energy": variant},
        non_conservative=heads[0] is D,
    )
    for row, atoms in enumerate(mixed.iter_ase()):
        atoms.calc = calculator
        assert abs(atoms.get_potential_energy() - result.energy[row].item()) / len(atoms) < 1e-9
        np.testing.assert_allclose(result.forces[mixed.atoms_of(row)], atoms.get_forces(), atol=1e-8)
        if atoms.pbc.all():
            np.testing.assert_allclose(result.stress[row], atoms.get_stress(voigt=False), atol=1e-9)


def test_variants_differ(mixed):
    energies = [
        evaluate(BatchedPet(tiny_pet(variants=VARIANTS), variant=variant), mixed).energy
        for variant in VARIANTS
    ]
    assert all((energies[0] - other).abs().min() > 1e-3 for other in energies[1:])


def test_older_name_of_direct_forces_is_understood(mixed):
    model = tiny_pet()
    assert Heads.of(MetatrainPet(model), D, C).forces.name == "non_conservative_force"
    names = ["energy", "non_conservative_forces"]
    from aiida_pet.engine.model.heads import DIRECT_FORCES, head_name

    assert head_name(names, DIRECT_FORCES, None) == "non_conservative_forces"


def test_energies_of_atoms_equal_metatomic_and_sum_to_the_energy(mixed):
    result = evaluate(BatchedPet(tiny_pet(), outputs=[Output.ENERGIES]), mixed)
    expected = said_by_metatomic(tiny_pet(), mixed, "energy", "atom", "eV")
    np.testing.assert_allclose(result.atoms["energies"], expected[:, 0], atol=1e-10)
    sums = [result.atoms["energies"][mixed.atoms_of(row)].sum().item() for row in range(len(mixed))]
    np.testing.assert_allclose(sums, result.energy, atol=1e-10)


@pytest.mark.parametrize("flavour", ["fixed", "old"])  # one readout layer, and one for each GNN layer
@pytest.mark.parametrize("variant", [None, "pbe"])
def test_features_equal_metatomic(mixed, flavour, variant):
    def make() -> Any:
        return tiny_pet(flavour, variants=(None, "pbe"))

    model = BatchedPet(make(), variant=variant, outputs=[Output.FEATURES])
    result = evaluate(model, mixed)
    energy = "energy" if variant is None else f"energy/{variant}"
    expected = said_by_metatomic(make(), mixed, f"mtt::aux::{energy}_last_layer_features", "system")
    assert result.rows["features"].shape == (len(mixed), *model.row_shapes["features"]) == expected.shape
    np.testing.assert_allclose(result.rows["features"], expected, atol=1e-10)


@pytest.mark.parametrize("variant", [None, "pbe"])
def test_uncertainty_equals_the_one_of_llpr(mixed, variant):
    def make() -> Any:
        return tiny_llpr(tiny_pet(variants=(None, "pbe")))

    result = evaluate(BatchedPet(make(), variant=variant, outputs=[Output.UNCERTAINTY]), mixed)
    name = "energy_uncertainty" if variant is None else "mtt::aux::energy/pbe_uncertainty"
    expected = said_by_metatomic(make(), mixed, name, "system", "eV")
    np.testing.assert_allclose(result.rows["uncertainty"], expected[:, 0], rtol=1e-10)
    plain = evaluate(BatchedPet(tiny_pet(variants=(None, "pbe")), variant=variant), mixed)
    np.testing.assert_allclose(result.energy, plain.energy, atol=1e-10)


def test_ensemble_equals_the_one_of_llpr_and_spreads_as_the_uncertainty_says(mixed):
    members = 400
    outputs = [Output.UNCERTAINTY, Output.ENSEMBLE]
    result = evaluate(BatchedPet(tiny_llpr(tiny_pet(), members), outputs=outputs), mixed)
    expected = said_by_metatomic(tiny_llpr(tiny_pet(), members), mixed, "energy_ensemble", "system", "eV")
    np.testing.assert_allclose(result.rows["ensemble"], expected, rtol=1e-10)
    np.testing.assert_allclose(result.rows["ensemble"].mean(dim=1), result.energy, atol=1e-9)
    spread = result.rows["ensemble"].std(dim=1)
    np.testing.assert_allclose(spread, result.rows["uncertainty"], rtol=5 / (2 * members) ** 0.5)


def test_ensemble_that_a_model_lacks_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"outputs has ensemble.*LLPR.*set ensemble=32"):
        BatchedPet(tiny_llpr(tiny_pet()), outputs=[Output.ENSEMBLE])


def test_features_and_uncertainty_are_averaged_over_rotations(mixed):
    pet = BatchedPet(tiny_llpr(tiny_pet()), outputs=[Output.FEATURES, Output.UNCERTAINTY])
    some = RotationSet("some", lebedev(2).matrices[[5, 17]], np.array([0.25, 0.75]))
    averaged = evaluate(pet, mixed, [RowRotations.of(some)] * len(mixed))
    mean: dict[str, Any] = {"features": 0.0, "uncertainty": 0.0}
    for matrix, weight in zip(some.matrices, some.weights, strict=True):
        turned = replace(mixed, positions=mixed.positions @ matrix.T, cells=mixed.cells @ matrix.T)
        rows = evaluate(pet, turned).rows
        mean = {name: mean[name] + weight * rows[name] for name in mean}
    for name, values in mean.items():
        np.testing.assert_allclose(averaged.rows[name], values, atol=1e-11)
    assert (averaged.rows["features"] - evaluate(pet, mixed).rows["features"]).abs().max() > 1e-6


def test_nothing_comes_back_that_was_not_asked_for(mixed):
    result = evaluate(BatchedPet(tiny_llpr(tiny_pet())), mixed)
    assert result.rows == {}
    assert result.atoms == {}


def test_uncertainty_that_a_model_lacks_is_refused():
    with pytest.raises(
        UnsupportedModelError,
        match=r"outputs has uncertainty, but the model, a PET, has no uncertainty.*llpr",
    ):
        BatchedPet(tiny_pet(), outputs=[Output.UNCERTAINTY])


def test_variant_that_a_model_lacks_is_refused():
    with pytest.raises(
        UnsupportedModelError, match=r"no output .energy/pbe., but energy, .*: set variant=null"
    ):
        BatchedPet(tiny_pet(), variant="pbe")


def test_what_is_not_plain_is_named():
    class Other(torch.nn.Module):
        pass

    assert why_not_plain(tiny_pet()) == []
    assert why_not_plain(tiny_llpr(tiny_pet())) == []
    assert why_not_plain(Other()) == ["it is of type Other"]
    assert why_not_plain(tiny_pet(zbl=True)) == ["it adds ZBL"]
    assert why_not_plain(tiny_llpr(tiny_pet(zbl=True, system_conditioning=True))) == [
        "it is conditioned on charge and spin",
        "it adds ZBL",
    ]
    assert why_not_plain(tiny_pet(length_unit="nm")) == ["its unit of length is nm"]
    atomic = tiny_pet()
    atomic.outputs["energy"] = ModelOutput(unit="Hartree", sample_kind="atom")
    assert why_not_plain(atomic) == ["its energy is in Hartree"]
