"""Elastic constants of batches against stress-strain by hand: metatomic's ASE calculator and pymatgen's fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.optimize import BFGS
from ase.units import GPa
from metatomic_ase import MetatomicCalculator
from pymatgen.core.elasticity import Deformation, ElasticTensor, Strain, Stress
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.run import Job
from aiida_pet.engine.tasks.elastic import SINGULAR, Elastic
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.job.parameters import Derivation, parse_parameters
from aiida_pet.tables.columns import COLUMNS, Section
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_pet

# two amounts suffice where it is not about the protocol
FEW = {"normal_strains": (-0.005, 0.005), "shear_strains": (-0.005, 0.005)}
PROTOCOLS = {
    "linear": [(-0.005, -0.0025, 0.0025, 0.005)] * 2,
    "materials_project": [(-0.01, -0.005, 0.005, 0.01), (-0.06, -0.03, 0.03, 0.06)],
    "orb_v3": [(-0.1, -0.05, 0.05, 0.1), (-0.02, -0.01, 0.01, 0.02)],
}


def c11_b() -> Atoms:
    a = 3.23
    cell = [[a, 0, 0], [0, a, 0], [a / 2, a / 2, 1.5 * a]]
    return Atoms("MoTa2", positions=[(0, 0, 0), (0, 0, 1.02 * a), (0, 0, 1.98 * a)], cell=cell, pbc=True)


def ternary() -> Atoms:
    """A decoration of bcc without any symmetry, not along any axes."""
    atoms = make_supercell(bulk("W", a=3.22), [[2, 0, 1], [0, 3, 0], [0, 0, 1]])
    atoms.numbers[:] = [74, 42, 73, 73, 74, 74]
    atoms.set_cell(
        atoms.cell[:] @ Rotation.from_euler("zyx", [0.3, 0.5, 0.2]).as_matrix().T, scale_atoms=True
    )
    return atoms


@pytest.fixture
def crystals() -> StructureTable:
    return StructureTable.from_ase(
        {
            "bcc": bulk("Mo", a=3.16),
            "b2": bulk("MoTa", "cesiumchloride", a=3.22),
            "c11_b": c11_b(),
            "ternary": ternary(),
        }.items()
    )


def run(table: StructureTable, model: Any, **parameters: Any) -> StructureTable:
    """Return the rows in the order of ``table``."""
    finished: list[StructureTable] = []
    elastic = Elastic(table, model, parse_parameters(Task.ELASTIC, parameters), finished=finished.append)
    assert elastic.run()
    return StructureTable.concatenate(finished).select(table.ids)


def by_hand(
    atoms: Atoms,
    calculator: Any,
    normal: tuple[float, ...],
    shear: tuple[float, ...],
    relax: Callable[[Atoms], None] = lambda atoms: None,
) -> ElasticTensor:
    """Return what pymatgen fits to stresses of ASE, GPa."""
    strains, stresses = [], []
    for direction in range(6):
        for amount in normal if direction < 3 else shear:
            index = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[direction]
            strain = Strain.from_index_amount(index, amount)
            deformation = Deformation(strain.get_deformation_matrix("symmetric"))
            copy = atoms.copy()
            copy.set_cell(atoms.cell[:] @ np.asarray(deformation).T, scale_atoms=True)
            copy.calc = calculator
            relax(copy)
            stress = Stress(copy.get_stress(voigt=False) / GPa)
            strains.append(strain)
            stresses.append(stress.piola_kirchoff_2(deformation))
    return ElasticTensor.from_independent_strains(strains, stresses, eq_stress=np.zeros((3, 3)))


def symmetric(tensor: np.ndarray) -> np.ndarray:
    return (tensor + tensor.T) / 2


# -- against an independent road -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.filterwarnings("ignore")
def test_clamped_tensors_are_those_by_hand(crystals, load_pet, ase_calculator, protocol):
    results = run(crystals, load_pet(), ions="clamped", strains=protocol)
    assert (results.columns["status"] == "converged").all()
    assert (results.columns["n_strains"] == 24).all()
    calculator = ase_calculator()
    for row, name in enumerate(results.ids):
        atoms = results.ase_at(row)  # as relaxed
        theirs = by_hand(atoms, calculator, *PROTOCOLS[protocol])
        structure = AseAtomsAdaptor.get_structure(atoms)
        held = symmetric(theirs.fit_to_structure(structure, 0.01).voigt)
        # 0.001 GPa of residual stress is in ours and not in theirs
        np.testing.assert_allclose(results.columns["elastic_tensor"][row], held, atol=5e-3, err_msg=name)
        if name != "ternary":  # pymatgen has other axes for triclinic crystals
            ieee = symmetric(theirs.convert_to_ieee(structure).voigt)
            np.testing.assert_allclose(
                results.columns["elastic_tensor_ieee"][row], ieee, atol=5e-3, err_msg=name
            )
        expected = ElasticTensor.from_voigt(held)
        for column, attribute in {
            "bulk_modulus": "k_vrh",
            "bulk_modulus_voigt": "k_voigt",
            "bulk_modulus_reuss": "k_reuss",
            "shear_modulus": "g_vrh",
            "shear_modulus_voigt": "g_voigt",
            "shear_modulus_reuss": "g_reuss",
        }.items():
            assert results.columns[column][row] == pytest.approx(getattr(expected, attribute), abs=5e-3)
        assert results.columns["youngs_modulus"][row] == pytest.approx(expected.y_mod / 1e9, abs=0.02)
        assert results.columns["poisson_ratio"][row] == pytest.approx(expected.homogeneous_poisson, abs=1e-4)
        assert results.columns["universal_anisotropy"][row] == pytest.approx(
            expected.universal_anisotropy, abs=1e-3
        )
        assert results.columns["debye_temperature"][row] == pytest.approx(
            expected.debye_temperature(structure), rel=1e-4
        )
        deviation = np.abs(theirs.voigt - held).max()
        assert results.columns["laue_deviation"][row] == pytest.approx(deviation, abs=5e-3)
    assert results.columns["crystal_system"].tolist() == ["cubic", "cubic", "tetragonal", "triclinic"]
    assert results.columns["laue_class"].tolist() == ["m-3m", "m-3m", "4/mmm", "-1"]


def test_relaxed_ion_tensors_are_those_by_hand(crystals, load_pet, ase_calculator):
    table = crystals.select(["b2", "ternary"])
    results = run(table, load_pet(), symmetry="none", symmetrize=False, fmax=1e-5, **FEW)

    def relax(atoms: Atoms) -> None:
        BFGS(atoms, logfile=None).run(fmax=1e-5, steps=100)

    calculator = ase_calculator()
    clamped = run(table, load_pet(), symmetry="none", symmetrize=False, fmax=1e-5, ions="clamped", **FEW)
    for row in range(len(table)):
        theirs = by_hand(results.ase_at(row), calculator, *FEW.values(), relax)
        ours = results.columns["elastic_tensor"][row]
        # forces of 1e-5 eV/A leave some 0.01 GPa of a tensor, from either side
        np.testing.assert_allclose(ours, symmetric(theirs.voigt), atol=0.05)
        assert np.abs(clamped.columns["elastic_tensor"][row] - ours).max() > 1


@pytest.mark.filterwarnings("ignore")
def test_direct_stresses_give_the_tensor_by_hand():
    table = StructureTable.from_ase([("b2", bulk("MoTa", "cesiumchloride", a=3.22)), ("ternary", ternary())])
    heads = {"forces": Derivation.DIRECT, "stress": Derivation.DIRECT}
    results = run(
        table,
        BatchedPet(tiny_pet(), **heads),
        **heads,
        relax_first=False,
        ions="clamped",
        symmetrize=False,
        **FEW,
    )
    calculator = MetatomicCalculator(tiny_pet().export(), device="cpu", non_conservative=True)
    for row, atoms in enumerate(table.iter_ase()):
        theirs = by_hand(atoms, calculator, *FEW.values())
        # the stress of the crystal as it is enters what is reported, and pymatgen leaves it out
        ours, expected = results.columns["elastic_tensor"][row], symmetric(theirs.voigt)
        change = by_definition(results.columns["stress"][row] / GPa)
        np.testing.assert_allclose(ours - change, expected, atol=0.02)
        assert results.columns["laue_deviation"][row] >= np.abs(theirs.voigt - expected).max() - 1e-3
        assert np.abs(theirs.voigt - theirs.voigt.T).max() > 0.1
    assert results.columns["heads"].tolist() == ["direct forces and stress"] * 2


def by_definition(stress: np.ndarray) -> np.ndarray:
    """Return B - C of a crystal under ``stress`` (6,), component by component (Wallace; symmetric part)."""
    full, delta = np.zeros((3, 3)), np.eye(3)
    pairs = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    for value, (i, j) in zip(stress, pairs, strict=True):
        full[i, j] = full[j, i] = value
    change = np.zeros((6, 6))
    for row, (i, j) in enumerate(pairs):
        for column, (k, m) in enumerate(pairs):
            change[row, column] = 0.5 * (
                full[i, k] * delta[j, m] + full[j, k] * delta[i, m] + full[i, m] * delta[j, k]
                + full[j, m] * delta[i, k] - full[i, j] * delta[k, m] - full[k, m] * delta[i, j]
            )  # fmt: skip
    return change


def test_bulk_modulus_under_pressure_is_that_of_the_equation_of_state(load_pet, ase_calculator):
    table = StructureTable.from_ase([("bcc", bulk("Mo", a=3.16))])
    tight = {"normal_strains": (-1e-3, 1e-3), "shear_strains": (-1e-3, 1e-3)}
    results = run(table, load_pet(), pressure=20.0, **tight)
    atoms = results.ase_at(0)
    atoms.calc = ase_calculator()
    cell, pressures = atoms.cell[:].copy(), []
    for scale in (1 - 3e-4, 1 + 3e-4):
        atoms.set_cell(cell * scale, scale_atoms=True)
        pressures.append(-atoms.get_stress()[:3].mean() / GPa)
    assert np.mean(pressures) == pytest.approx(20, abs=0.01)
    # -V dP/dV over 0.06 %; the strains are of 0.1 %, and the model is far from linear
    assert results.columns["bulk_modulus"][0] == pytest.approx(
        (pressures[0] - pressures[1]) / (3 * 6e-4), abs=0.5
    )


# -- symmetry --------------------------------------------------------------------------------------------------


def test_tensor_of_a_crystal_held_to_its_symmetry_has_its_form(crystals, load_pet):
    results = run(crystals.select(["b2", "c11_b"]), load_pet(), **FEW)
    for tensor, laue in zip(results.columns["elastic_tensor_ieee"], ("cubic", "tetragonal"), strict=True):
        np.testing.assert_allclose(tensor[:3, 3:], 0, atol=1e-9)
        assert tensor[0, 0] == pytest.approx(tensor[1, 1])
        assert (abs(tensor[2, 2] - tensor[0, 0]) < 1e-6) == (laue == "cubic")
    assert results.columns["is_mechanically_stable"].all()
    assert (results.columns["min_eigenvalue"] > 0).all()
    assert (results.columns["laue_deviation"] > 0.01).all()  # PET is not equivariant


def test_ions_stay_within_the_symmetry_that_crystal_and_strain_share(load_pet):
    """The atoms of B2 sit at centres of inversion, strained or not, so relaxed is clamped; PET has a force there."""
    table = StructureTable.from_ase([("b2", bulk("MoTa", "cesiumchloride", a=3.22))])
    relaxed, clamped = (run(table, load_pet(), ions=ions, **FEW) for ions in ("relaxed", "clamped"))
    np.testing.assert_allclose(
        relaxed.columns["elastic_tensor"], clamped.columns["elastic_tensor"], atol=1e-6
    )
    free = run(table, load_pet(), symmetry="none", **FEW)
    assert np.abs(free.columns["elastic_tensor"] - clamped.columns["elastic_tensor"]).max() > 0.1


def test_tensor_that_is_not_symmetrized_is_only_made_symmetric(crystals, load_pet):
    table = crystals.select(["bcc", "c11_b"])
    held, raw = (run(table, load_pet(), symmetrize=flag, ions="clamped", **FEW) for flag in (True, False))
    for row in range(2):
        tensor = raw.columns["elastic_tensor"][row]
        apart = np.abs(tensor - held.columns["elastic_tensor"][row]).max()
        # the stress as it is, held to zero in the relaxation, has 0.02 GPa without the symmetry
        assert 0.01 < apart <= held.columns["laue_deviation"][row] + 0.1
        np.testing.assert_allclose(tensor, tensor.T, atol=1e-9)
    np.testing.assert_allclose(raw.columns["laue_deviation"], held.columns["laue_deviation"])


def test_laue_class_is_that_at_symprec(load_pet):
    atoms = bulk("MoTa", "cesiumchloride", a=3.22)
    atoms.set_cell(np.diag([3.22, 3.22, 3.25]), scale_atoms=True)  # 1 %: a cube at 0.1 A
    table = StructureTable.from_ase([("almost-a-cube", atoms)])
    options = {"relax_first": False, "symmetry": "none", "ions": "clamped", **FEW}
    fine, coarse = (run(table, load_pet(), symprec=symprec, **options) for symprec in (0.001, 0.1))
    assert (fine.columns["crystal_system"][0], coarse.columns["crystal_system"][0]) == ("tetragonal", "cubic")
    assert coarse.columns["laue_deviation"][0] > fine.columns["laue_deviation"][0]


# -- parameters ------------------------------------------------------------------------------------------------


def test_protocols_give_different_tensors(load_pet):
    table = StructureTable.from_ase([("bcc", bulk("Mo", a=3.16))])
    tensors = [
        run(table, load_pet(), strains=name, ions="clamped").columns["elastic_tensor"][0]
        for name in PROTOCOLS
    ]
    assert np.abs(tensors[0] - tensors[1]).max() > 1
    assert np.abs(tensors[1] - tensors[2]).max() > 1


@pytest.mark.parametrize(
    ("given", "n_strains", "changed", "kept"),
    [
        ({"normal_strains": (-0.02, 0.02)}, 3 * 2 + 3 * 4, (0, 0), (3, 3)),
        ({"shear_strains": (-0.04, 0.01, 0.04)}, 3 * 4 + 3 * 3, (3, 3), (0, 0)),
    ],
)
def test_given_strains_replace_those_of_the_protocol(load_pet, given, n_strains, changed, kept):
    table = StructureTable.from_ase([("bcc", bulk("Mo", a=3.16, cubic=True))])
    plain, other = (run(table, load_pet(), ions="clamped", **options) for options in ({}, given))
    assert other.columns["n_strains"][0] == n_strains
    before, after = plain.columns["elastic_tensor"][0], other.columns["elastic_tensor"][0]
    assert abs(after[changed] - before[changed]) > 1
    assert after[kept] == pytest.approx(before[kept], abs=1e-6)


def test_strains_of_one_sign_use_the_crystal_as_it_is(load_pet):
    table = StructureTable.from_ase([("bcc", bulk("Mo", a=3.16))])
    one, both = (
        run(table, load_pet(), ions="clamped", normal_strains=amounts, shear_strains=amounts)
        for amounts in ((1e-4,), (-1e-4, 1e-4))
    )
    # one-sided, the error is of first order in the strain: some thousands of GPa of third order times 1e-4
    np.testing.assert_allclose(one.columns["elastic_tensor"], both.columns["elastic_tensor"], atol=1)
    assert one.columns["n_strains"][0] == 6


def test_crystals_are_relaxed_first_unless_told_otherwise(load_pet):
    atoms = bulk("Mo", a=3.25)
    table = StructureTable.from_ase([("bcc", atoms)])
    relaxed, given = (
        run(table, load_pet(), relax_first=flag, ions="clamped", **FEW) for flag in (True, False)
    )
    assert given.volumes()[0] == pytest.approx(atoms.get_volume())
    assert relaxed.volumes()[0] < 0.95 * atoms.get_volume()
    assert abs(relaxed.columns["bulk_modulus"][0] - given.columns["bulk_modulus"][0]) > 10


def test_ions_that_do_not_relax_end_the_row(crystals, load_pet):
    results = run(crystals.select(["ternary", "bcc"]), load_pet(), relax_first=False, max_steps=1, **FEW)
    assert results.columns["status"].tolist() == ["max_steps", "converged"]
    message = results.columns["message"][0]
    assert (
        "crystal 1 of the 13 crystals that were made from this row: after 1 steps the largest force is"
        in message
    )
    assert np.isnan(results.columns["elastic_tensor"][0]).all()


def test_averages_over_rotations_make_the_tensor_of_a_cube_cubic(load_pet):
    table = StructureTable.from_ase([("bcc", bulk("Mo", a=3.16))])
    plain, averaged = (
        run(table, load_pet(), averaging=name, ions="clamped", **FEW) for name in ("none", "octahedral")
    )
    assert averaged.columns["laue_deviation"][0] < 1e-3 < plain.columns["laue_deviation"][0]


# -- rows of a job ---------------------------------------------------------------------------------------------


def test_a_row_is_what_it_is_alone(crystals, load_pet):
    together = run(crystals, load_pet(), ions="clamped", **FEW)
    alone = run(crystals.select(["c11_b"]), load_pet(), ions="clamped", **FEW)
    np.testing.assert_allclose(
        together.select(["c11_b"]).columns["elastic_tensor"], alone.columns["elastic_tensor"], atol=1e-4
    )


def test_a_slab_fails_and_others_do_not(crystals, load_pet):
    slab = bulk("Mo", cubic=True)
    slab.pbc = (True, True, False)
    table = StructureTable.concatenate([crystals.select(["bcc"]), StructureTable.from_ase([("slab", slab)])])
    results = run(table, load_pet(), relax_first=False, ions="clamped", **FEW)
    assert results.columns["status"].tolist() == ["converged", "failed"]
    assert results.columns["message"][1] == (
        "elastic constants need a crystal periodic in all directions, but pbc is TTF"
    )
    assert np.isfinite(results.columns["elastic_tensor"][0]).all()
    assert np.isnan(results.columns["elastic_tensor"][1]).all()


def test_a_row_without_moduli_says_that_its_tensor_is_singular(crystals, load_pet):
    alone = Atoms("W", cell=[20.0] * 3, pbc=True)  # no atom feels another
    table = StructureTable.concatenate(
        [crystals.select(["bcc"]), StructureTable.from_ase([("alone", alone)])]
    )
    columns = run(table, load_pet(), relax_first=False, ions="clamped", **FEW).columns
    assert np.isfinite(columns["bulk_modulus"]).tolist() == [True, False]
    assert columns["message"].tolist() == ["", SINGULAR]
    assert columns["status"].tolist() == ["converged"] * 2


def test_a_job_writes_tensors_with_units(crystals, model_file, tmp_path: Path):
    folder = JobFolder(tmp_path / "job")
    spec = JobSpec(
        task=Task.ELASTIC,
        parameters={"ions": "clamped", **FEW},
        model_sha256=model_file[1],
        model_path=str(model_file[0]),
        settings=EngineSettings(device="cpu"),
    )
    folder.write_inputs(spec, crystals)
    assert Job(folder).run() is ExitStatus.OK
    results, damaged = folder.read_results()
    assert not damaged
    assert results is not None
    assert results.columns["elastic_tensor"].shape == (4, 6, 6)
    assert {
        name: results.units[name] for name in ("elastic_tensor", "bulk_modulus", "debye_temperature")
    } == {
        "elastic_tensor": "GPa",
        "bulk_modulus": "GPa",
        "debye_temperature": "K",
    }
    assert "poisson_ratio" not in results.units
    assert {column.name for column in COLUMNS if column.section is Section.ELASTIC} <= set(results.columns)
