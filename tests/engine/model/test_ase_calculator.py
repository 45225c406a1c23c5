"""The calculator for ASE of the model that ships: its uncertainty keeps it from no precision and from no head."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.ase_calculator import pet_calculator
from aiida_pet.engine.model.pet import make_model
from aiida_pet.job.parameters import Derivation, Dtype
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable


@pytest.mark.parametrize(("dtype", "tolerance"), [(Dtype.FLOAT64, 1e-8), (Dtype.FLOAT32, 2e-4)])
@pytest.mark.parametrize("forces", list(Derivation))
def test_a_calibrated_model_gives_the_answer_of_the_engine(
    dtype: Dtype, tolerance: float, forces: Derivation
) -> None:
    path, sha256 = embedded_path(), embedded_card()["sha256"]
    assert "energy_uncertainty" in embedded_card()["outputs"]
    atoms = bulk("MgO", "rocksalt", a=4.3)
    atoms.rattle(0.05, seed=1)
    atoms.calc = pet_calculator(path, sha256, dtype=dtype, device="cpu", forces=forces, stress=forces)
    engine = make_model(path, sha256, dtype=dtype, forces=forces, stress=forces)
    batch = Batch.from_table(StructureTable.from_ase([("MgO", atoms)]))
    expected = engine.evaluate(batch, NeighborList(engine.cutoff).update(batch))
    assert atoms.get_potential_energy() == pytest.approx(float(expected.energy), abs=tolerance)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=tolerance)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected.stress[0], atol=tolerance)
