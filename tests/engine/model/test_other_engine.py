"""A model of another engine, with torch-sim's interface, against ASE's calculator of the same potential."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.morse import MorsePotential

from aiida_pet.crystals.symmetry.rotation_sets import octahedral
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.heads import UnsupportedModelError
from aiida_pet.engine.model.other_engine import OtherEngineModel
from aiida_pet.engine.model.pet import make_model
from aiida_pet.engine.run import run_folder
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.job.checkpoint import MissingModelError, WrongHashError
from aiida_pet.job.folder import ExitStatus, JobFolder, JobSpec
from aiida_pet.job.other_engines import DescriptionError
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.other_engines import MORSE, described_morse

pytestmark = pytest.mark.filterwarnings(
    "ignore:To copy construct from a tensor:UserWarning"
)  # torch-sim's own
CUTOFF, HERE = MORSE["cutoff"], "aiida_pet.testing.other_engines"


def table() -> StructureTable:
    cube = bulk("Cu", a=3.7, cubic=True)
    cube.rattle(0.05, seed=1)
    dimer = molecule("H2")
    dimer.numbers[:] = 29
    dimer.positions *= 3.4
    return StructureTable.from_ase([("cell", bulk("Cu", a=3.6)), ("cube", cube), ("dimer", dimer)])


def by_ase(atoms: Atoms) -> Atoms:
    r0 = MORSE["sigma"]
    far = CUTOFF / r0
    atoms.calc = MorsePotential(
        epsilon=MORSE["epsilon"], r0=r0, rho0=MORSE["alpha"] * r0, rcut1=far + 0.1, rcut2=far + 0.2
    )
    return atoms


def written(path: Path, **changed: Any) -> tuple[Path, str]:
    content = json.dumps(described_morse() | changed).encode()
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def evaluated(model: Any, rows: StructureTable, rotations: Any = None) -> Any:
    batch = Batch.from_table(rows)
    return model.evaluate(batch, NeighborList(model.cutoff).update(batch), rotations)


def test_energies_forces_and_stress_equal_ase(tmp_path):
    model = make_model(*written(tmp_path / "model.ckpt"))
    assert isinstance(model, OtherEngineModel)
    rows = table()
    said = evaluated(model, rows)
    for row, atoms in enumerate(map(by_ase, rows.iter_ase())):
        assert abs(said.energy[row].item() - atoms.get_potential_energy()) / len(atoms) < 1e-8
        np.testing.assert_allclose(said.forces[rows.atoms_of(row)], atoms.get_forces(), atol=1e-8)
        if atoms.pbc.all():
            np.testing.assert_allclose(said.stress[row], atoms.get_stress(voigt=False), atol=1e-9)
    assert said.stress[2].isnan().all()  # a molecule has none


def test_average_over_rotations_is_that_of_an_invariant_model(tmp_path):
    model = make_model(*written(tmp_path / "model.ckpt"))
    rows = table().take([0, 1])
    average = evaluated(model, rows, Rotations([RowRotations.of(octahedral())] * 2))
    plain = evaluated(model, rows)
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(average, name), getattr(plain, name), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("options", "what"), [
    ({"forces": "direct"}, "forces = direct"), ({"stress": "direct"}, "stress = direct"),
    ({"variant": "pbe"}, "variant"),
    ({"outputs": ["uncertainty"]}, "outputs = uncertainty"),
])  # fmt: skip
def test_what_only_pet_has_is_refused_by_name(tmp_path, options, what):
    with pytest.raises(
        UnsupportedModelError, match=rf"{what}.* was requested, but morse \(torch-sim-atomistic"
    ):
        make_model(*written(tmp_path / "model.ckpt"), **options)


def test_a_model_without_mixed_precision_runs_in_float64_and_the_log_says_so(tmp_path, caplog):
    model = make_model(*written(tmp_path / "model.ckpt"), dtype="mixed")
    assert model.dtype is torch.float64
    assert "morse runs in float64, more slowly, since it has no mixed precision" in caplog.text
    exact = make_model(*written(tmp_path / "model.ckpt"))
    assert torch.equal(evaluated(model, table()).energy, evaluated(exact, table()).energy)


def test_package_and_weights_must_be_those_described(tmp_path):
    path = tmp_path / "model.ckpt"
    with pytest.raises(
        DescriptionError, match=r"described with torch-sim-atomistic 0\.0\.1, but .* is installed"
    ):
        make_model(*written(path, version="0.0.1"))
    with pytest.raises(DescriptionError, match="needs no-such-package 1, which is not installed"):
        make_model(*written(path, package="no-such-package", version="1"))
    weights = tmp_path / "weights.bin"
    given = {"weights": str(weights), "weights_sha256": hashlib.sha256(b"right").hexdigest()}
    with pytest.raises(MissingModelError, match=r"weights\.bin"):
        make_model(*written(path, **given))
    weights.write_bytes(b"wrong")
    with pytest.raises(WrongHashError, match=r"weights\.bin of morse are not the weights of the description"):
        make_model(*written(path, **given))
    with pytest.raises(WrongHashError, match="is not the model that was asked for"):
        make_model(written(path)[0], "0" * 64)


@pytest.mark.parametrize(("interface", "reason"), [
    ("no_such_module:Model", "ModuleNotFoundError"), (f"{HERE}:Nothing", "AttributeError"),
    (f"{HERE}:described_morse", "returns a dict: expected a torch_sim"),
])  # fmt: skip
def test_what_is_no_model_is_named(tmp_path, interface, reason):
    with pytest.raises(DescriptionError, match=reason):
        make_model(*written(tmp_path / "model.ckpt", interface=interface, arguments={}))


def test_model_without_stress_or_of_another_precision_is_named(tmp_path):
    arguments = MORSE | {"compute_stress": False}
    with pytest.raises(UnsupportedModelError, match="morse gives no stress"):
        make_model(*written(tmp_path / "model.ckpt", arguments=arguments))
    interface = "aiida_pet.testing.other_engines:single_morse"
    with pytest.raises(UnsupportedModelError, match=r"runs in torch\.float32, not in torch\.float64"):
        make_model(*written(tmp_path / "model.ckpt", interface=interface, arguments={}))


def test_job_relaxes_and_says_what_it_ran(tmp_path, caplog):
    caplog.set_level("INFO")
    path, sha256 = written(tmp_path / "model.ckpt")
    folder = JobFolder(tmp_path)
    given = {"fmax": 1e-3, "stress_max": 0.01, "symprecs": []}
    rows = StructureTable.from_ase([("fcc", bulk("Cu", a=3.6)), ("unknown", bulk("Fe"))])
    folder.write_inputs(JobSpec(Task.RELAX, given, sha256, model_path=str(path)), rows)
    assert run_folder(tmp_path) is ExitStatus.OK
    results, _ = folder.read_results()
    assert results is not None
    columns = results.select(["fcc", "unknown"]).columns
    assert columns["status"].tolist() == ["converged", "unsupported_element"]
    assert f"of torch-sim-atomistic {metadata.version('torch-sim-atomistic')}" in caplog.text
    (atoms,) = results.select(["fcc"]).iter_ase()
    by_ase(atoms)
    assert abs(columns["energy"][0] - atoms.get_potential_energy()) < 1e-8
    assert np.abs(atoms.get_stress()).max() < 1e-4
