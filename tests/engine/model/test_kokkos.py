"""PET through pet-kokkos against the engine's own network: the same numbers, and what it lacks by name."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from aiida_pet.crystals.symmetry.rotation_sets import octahedral
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.heads import Head, UnsupportedModelError
from aiida_pet.engine.model.kokkos_files import safetensors, write_for_kokkos
from aiida_pet.engine.model.pet import load_plain, make_model
from aiida_pet.engine.run import run_folder
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.job.checkpoint import WrongHashError
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec
from aiida_pet.job.other_engines import DescriptionError, described_for_kokkos
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from support.small_model import small_model, small_model_card

pet_kokkos = pytest.importorskip(
    "pet_kokkos", reason="pet-kokkos is not installed: pip install pet-kokkos==0.1.1"
)
if pet_kokkos.backend().split()[0] in ("Cuda", "HIP"):
    pytest.skip("pet-kokkos is a build for a GPU here", allow_module_level=True)

ENERGY, FORCE = 1e-5, 1e-4  # eV/atom, eV/A: what the two may differ by
STRESS = 1e-5  # eV/A^3


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch and Kokkos have one thread each: threads that wait for others spin, and tests share their cores."""
    monkeypatch.setenv("KOKKOS_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def described(**changed: Any) -> dict[str, Any]:
    return (
        described_for_kokkos(small_model()[0], small_model_card(), metadata.version("pet-kokkos")) | changed
    )


def written(path: Path, **changed: Any) -> tuple[Path, str]:
    content = json.dumps(described(**changed)).encode()
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def made(folder: Path, **options: Any) -> Any:
    return make_model(*written(folder / "model.ckpt"), **({"dtype": "mixed", "threads": 1} | options))


def evaluated(model: Any, rows: StructureTable, rotations: Any = None) -> Any:
    batch = Batch.from_table(rows)
    return model.evaluate(batch, NeighborList(model.cutoff).update(batch), rotations)


def of_few_dimensions() -> StructureTable:
    """A slab, a wire and a dimer of the elements of the model."""
    slab = bulk("W", cubic=True) * (1, 1, 2)
    slab.center(vacuum=6.0, axis=2)
    slab.pbc = (True, True, False)
    slab.cell[2] = 0.0
    wire = bulk("Mo", cubic=True)
    wire.pbc = (False, False, True)
    wire.cell[0] = wire.cell[1] = 0.0
    dimer = molecule("H2")
    dimer.numbers[:] = 74
    dimer.positions *= 3.4
    return StructureTable.from_ase([("slab", slab), ("wire", wire), ("dimer", dimer)])


def assert_close(mine: Any, theirs: Any, n_atoms: Any) -> None:
    assert np.abs((mine.energy - theirs.energy).numpy() / n_atoms).max() < ENERGY
    assert (mine.forces - theirs.forces).abs().max() < FORCE
    assert torch.equal(mine.stress.isnan(), theirs.stress.isnan())
    assert (mine.stress - theirs.stress).nan_to_num().abs().max() < STRESS


def test_equals_the_network_of_the_engine(tmp_path, load_pet, alloys):
    rows = StructureTable.concatenate([alloys(24), of_few_dimensions()])
    reference = evaluated(load_pet(), rows)
    assert_close(evaluated(made(tmp_path), rows), reference, rows.n_atoms)
    assert reference.stress[-3:].isnan().all()
    assert reference.forces.abs().max() > 1000 * FORCE


def test_equals_the_reference_road(tmp_path, ase_calculator, alloys):
    """metatomic's calculator of the checkpoint that metatrain opened."""
    rows, calculator = alloys(4), ase_calculator()
    said = evaluated(made(tmp_path, dtype="float32"), rows)
    for row, atoms in enumerate(rows.iter_ase()):
        atoms.calc = calculator
        assert abs(said.energy[row].item() - atoms.get_potential_energy()) / len(atoms) < ENERGY
        np.testing.assert_allclose(said.forces[rows.atoms_of(row)], atoms.get_forces(), atol=FORCE)
        np.testing.assert_allclose(said.stress[row], atoms.get_stress(voigt=False), atol=STRESS)


def test_average_over_rotations_turns_the_whole_crystal(tmp_path, load_pet, alloys):
    rows = alloys(3)
    rotations = Rotations([RowRotations.of(octahedral())] * 3)
    reference = evaluated(load_pet(), rows, rotations)
    assert_close(evaluated(made(tmp_path), rows, rotations), reference, rows.n_atoms)


def test_row_that_is_not_finite_leaves_the_others_alone(tmp_path, alloys):
    model, rows = made(tmp_path), alloys(3)
    batch = Batch.from_table(rows)
    pairs = NeighborList(model.cutoff).update(batch)
    alone = model.evaluate(batch, pairs)
    positions = batch.positions.clone()
    positions[rows.atoms_of(1)] = torch.nan
    said = model.evaluate(batch.moved(positions, batch.cells), pairs)
    assert said.energy.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(said.energy[[0, 2]], alone.energy[[0, 2]], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("options", "what"), [
    ({"forces": "direct"}, "forces = direct"), ({"stress": "direct"}, "stress = direct"),
    ({"variant": "pbe"}, "variant = pbe"), ({"outputs": ["uncertainty"]}, "outputs = uncertainty"),
    ({"dtype": "float64"}, "dtype = float64"),
])  # fmt: skip
def test_what_it_lacks_is_refused_by_name(tmp_path, options, what):
    with pytest.raises(
        UnsupportedModelError, match=rf"{what} was requested, but .*\(pet-kokkos .*\) cannot give it"
    ):
        made(tmp_path, **options)


def test_description_must_fit_the_checkpoint(tmp_path):
    path = tmp_path / "model.ckpt"
    for changed in ({"cutoff": 5.125}, {"elements": ["Mo"]}):
        with pytest.raises(DescriptionError, match="is described with the elements"):
            make_model(*written(path, **changed), dtype="mixed")
    with pytest.raises(WrongHashError, match="is not the model that was asked for"):
        make_model(*written(path, weights_sha256="0" * 64), dtype="mixed")
    with pytest.raises(DescriptionError, match="give its path in weights"):
        make_model(*written(path, weights=None, weights_sha256=None), dtype="mixed")
    with pytest.raises(UnsupportedModelError, match=r"cannot evaluate .*no_such_argument"):
        make_model(*written(path, arguments={"no_such_argument": 1}), dtype="mixed")


def test_scales_of_elements_cannot_be_written(tmp_path, model_file, monkeypatch):
    plain = load_plain(*model_file)
    scales = torch.linspace(1.0, 2.0, len(plain.atomic_types), dtype=torch.float64)
    monkeypatch.setattr(plain, "head", lambda name: Head(name, scales))
    with pytest.raises(UnsupportedModelError, match="one scale for the energy"):
        write_for_kokkos(plain, tmp_path / "model")


def test_safetensors_have_header_and_values():
    first, second = torch.arange(6.0).reshape(2, 3), torch.tensor([0.5], dtype=torch.float64)
    content = safetensors({"a": first.T, "b": second})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert header["a"] == {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
    assert header["b"] == {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]}
    values = np.frombuffer(content[8 + length :], "<f4")
    assert values.tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 0.5]


def test_job_relaxes_to_the_crystal_of_the_engine(tmp_path, model_file, alloys):
    given = {"fmax": 1e-2, "stress_max": 0.1, "symprecs": [], "dtype": "mixed"}
    rows = StructureTable.concatenate(
        [alloys(4), StructureTable.from_ase([("unknown", bulk("Xe", "fcc", a=6.0))])]
    )
    found = []
    for name, (path, sha256) in (("own", model_file), ("kokkos", written(tmp_path / "model.ckpt"))):
        folder = JobFolder(tmp_path / name)
        folder.path.mkdir()
        folder.write_inputs(JobSpec(Task.RELAX, given, sha256, model_path=str(path)), rows)
        assert run_folder(folder.path) is ExitStatus.OK
        results, _ = folder.read_results()
        found.append(results.select(rows.ids).columns)
    own, kokkos = found
    assert kokkos["status"].tolist() == [*["converged"] * 4, "unsupported_element"]
    apart = (kokkos["energy"] - own["energy"])[:4] / rows.n_atoms[:4]
    assert np.abs(apart).max() < 1e-4


def test_job_on_two_threads_waits_without_spinning_and_leaves_torch_one(tmp_path, alloys):
    """Waiting threads that spin made evaluations 20 times slower where others need the cores too."""
    path, sha256 = written(tmp_path / "model.ckpt")
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    spec = JobSpec(
        Task.STATIC, {"dtype": "mixed"}, sha256, settings=EngineSettings(threads=2), model_path=str(path)
    )
    folder.write_inputs(spec, alloys(2))
    code = (
        "import os, sys; from aiida_pet.engine.__main__ import main; status = main(sys.argv[1:]);"
        "import torch; print(status, torch.get_num_threads(), os.environ['KOKKOS_NUM_THREADS'])"
    )
    taken = ("KOKKOS_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in taken}
    done = subprocess.run(
        [sys.executable, "-c", code, folder.path],
        env=environment | {"OMP_NUM_THREADS": "1", "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.split() == [str(int(ExitStatus.OK)), "1", "2"], (
        folder.path / "engine.log"
    ).read_text()
    spins = {line.split("=")[1].strip() for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line}
    assert spins == {"'0'"}
