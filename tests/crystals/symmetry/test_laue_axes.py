import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from pymatgen.core.elasticity import ElasticTensor
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.elastic.fit import symmetrize_tensor
from aiida_pet.crystals.elastic.voigt import rotate_tensor
from aiida_pet.crystals.symmetry.laue_axes import CrystalSystem, ieee_axes, ieee_tensor, laue_class
from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.spacegroup import find_operations

# Independent components of each Laue class in the setting of the IEEE (Nye, Physical Properties of Crystals, table 9):
# pairs of components that are equal, by Voigt indices; those that are listed nowhere are zero.
_TETRAGONAL = ("11=22", "33", "12", "13=23", "44=55", "66")
_TRIGONAL = ("11=22", "33", "12", "13=23", "44=55", "66", "14=-24=56")
NYE = {
    "m-3m": ("11=22=33", "12=13=23", "44=55=66"),
    "m-3": ("11=22=33", "12=13=23", "44=55=66"),
    "6/mmm": _TETRAGONAL,
    "6/m": _TETRAGONAL,
    "4/mmm": _TETRAGONAL,
    "4/m": (*_TETRAGONAL, "16=-26"),
    "-3m": _TRIGONAL,
    "-3": (*_TRIGONAL, "15=-25=-46"),
    "mmm": ("11", "22", "33", "12", "13", "23", "44", "55", "66"),
    "2/m": ("11", "22", "33", "12", "13", "23", "44", "55", "66", "15", "25", "35", "46"),
}
# pymatgen takes other axes there, see the module: c < a, ties of lengths, triclinic, lattices with less symmetry
NOT_PYMATGEN = {"rutile", "ibam", "p1", "p-1", "bcc 1x1x2", "hcp 2x1x1"}
TURNS = [np.diag(signs) for signs in ([1.0, 1, 1], [1.0, -1, -1], [-1.0, -1, 1])]


def nye_form(tensor: np.ndarray, components: tuple[str, ...]) -> np.ndarray:
    """Return the tensor (6, 6) of a Laue class with the first of each of its independent components of ``tensor``."""
    form = np.zeros((6, 6))
    for group in components:
        first = group.split("=")[0]
        value = tensor[int(first[0]) - 1, int(first[1]) - 1]
        for name in group.split("="):
            i, j = int(name[-2]) - 1, int(name[-1]) - 1
            form[i, j] = form[j, i] = -value if name.startswith("-") else value
    return form


def random_tensor(rng: np.random.Generator) -> np.ndarray:
    root = rng.normal(size=(6, 6))
    return 10 * root @ root.T + 50 * np.eye(6)


def turned(atoms: Atoms, rotation: np.ndarray) -> Atoms:
    copy = atoms.copy()
    copy.set_cell(atoms.cell @ rotation.T, scale_atoms=True)
    return copy


def operations_of(atoms: Atoms) -> Operations:
    return find_operations(atoms.cell[:], atoms.positions, atoms.numbers, 1e-3)


def test_axes_are_a_rotation_for_every_crystal(prototypes):
    for name, atoms in prototypes.items():
        axes = ieee_axes(operations_of(atoms))
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9, err_msg=name)
        assert np.linalg.det(axes) > 0, name


def test_tensor_in_the_ieee_setting_has_the_form_of_its_laue_class(prototypes):
    rng = np.random.default_rng(1)
    seen = set()
    for name, atoms in prototypes.items():
        operations = operations_of(turned(atoms, Rotation.random(rng=rng).as_matrix()))
        tensor = ieee_tensor(symmetrize_tensor(random_tensor(rng), operations.cartesian), operations)
        laue, _ = laue_class(operations.number)
        seen.add(laue)
        if laue != "-1":
            np.testing.assert_allclose(tensor, nye_form(tensor, NYE[laue]), atol=1e-8, err_msg=name)
        if laue in ("m-3m", "6/mmm"):
            assert abs(tensor[0, 0] - tensor[0, 1]) > 1, "a random tensor should not be degenerate"
    assert seen == {*NYE, "-1"}


def test_tensor_in_the_ieee_setting_does_not_depend_on_how_the_crystal_lies(prototypes):
    rng = np.random.default_rng(2)
    for name, atoms in prototypes.items():
        operations = operations_of(atoms)
        tensor = symmetrize_tensor(random_tensor(rng), operations.cartesian)
        rotation = Rotation.random(rng=rng).as_matrix()
        other = ieee_tensor(rotate_tensor(tensor, rotation), operations_of(turned(atoms, rotation)))
        np.testing.assert_allclose(other, ieee_tensor(tensor, operations), atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    ("spacegroup", "cellpar"),
    [
        (16, (5.6, 9.5, 5.6, 90, 90, 90)),  # c = a
        (16, (9.5, 5.6, 9.5, 90, 90, 90)),  # a = b
        (16, (5.6, 5.6, 5.6, 90, 90, 90)),
        (3, (5.6, 9.5, 5.6, 90, 97, 90)),  # c = a
        (1, (5.6, 5.6, 6.5, 80, 85, 97)),
    ],
)
def test_noise_in_lengths_that_are_equal_decides_nothing(spacegroup, cellpar):
    rng = np.random.default_rng(6)
    sites = [(0.01, 0.03, 0.02), (0.31, 0.42, 0.26)]
    atoms = crystal("NbW", sites, spacegroup=spacegroup, cellpar=cellpar)
    operations = operations_of(atoms)
    assert operations.number == spacegroup
    tensor = symmetrize_tensor(random_tensor(rng), operations.cartesian)
    expected = ieee_tensor(tensor, operations)
    for _ in range(6):
        noisy = atoms.copy()
        noisy.set_cell(atoms.cell * (1 + 1e-9 * rng.normal(size=(3, 1))), scale_atoms=True)
        np.testing.assert_allclose(ieee_tensor(tensor, operations_of(noisy)), expected, rtol=1e-6, atol=1e-5)


def test_ieee_setting_does_not_depend_on_the_choice_of_the_cell(prototypes):
    rng = np.random.default_rng(3)
    skew = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    for name in ("bi2te3", "ilmenite", "c2m", "p-1", "fdd2", "anatase", "hcp"):
        atoms = prototypes[name]
        operations = operations_of(atoms)
        tensor = symmetrize_tensor(random_tensor(rng), operations.cartesian)
        other = atoms.copy()
        other.set_cell(skew @ atoms.cell[:], scale_atoms=False)
        np.testing.assert_allclose(
            ieee_tensor(tensor, operations_of(other)),
            ieee_tensor(tensor, operations),
            atol=1e-7,
            err_msg=name,
        )


@pytest.mark.filterwarnings("ignore")
def test_tensor_in_the_ieee_setting_is_that_of_pymatgen(prototypes):
    rng = np.random.default_rng(4)
    for name, atoms in prototypes.items():
        if name in NOT_PYMATGEN:
            continue
        oblique = turned(atoms, Rotation.random(rng=rng).as_matrix())
        operations = operations_of(oblique)
        tensor = random_tensor(rng)
        ours = ieee_tensor(symmetrize_tensor(tensor, operations.cartesian), operations)
        structure = AseAtomsAdaptor.get_structure(oblique)
        theirs = ElasticTensor.from_voigt(tensor).convert_to_ieee(structure).voigt
        # the senses of axes that neither point group nor lattice decide are chance in pymatgen
        is_open = laue_class(operations.number)[0] in ("2/m", "4/m", "-3") or operations.number in range(
            149, 168
        )
        turns = TURNS if is_open else TURNS[:1]
        apart = min(np.abs(rotate_tensor(ours, turn) - theirs).max() for turn in turns)
        assert apart < 1e-7, name


def test_x3_is_the_fourfold_axis_however_short(prototypes):
    axes = ieee_axes(operations_of(prototypes["rutile"]))  # c < a
    np.testing.assert_allclose(np.abs(axes @ [0, 0, 1]), [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(np.abs(axes[0]).max(), 1, atol=1e-9)


def test_monoclinic_axes_follow_the_rule():
    # a < c here: the standard's c is this a, and its a such that beta is obtuse
    atoms = crystal(
        "NbW", [(0, 0.03, 0), (0.31, 0.42, 0.26)], spacegroup=3, cellpar=(4.1, 5.4, 4.8, 90, 97, 90)
    )
    axes = ieee_axes(operations_of(atoms))
    first, unique, third = atoms.cell[:]
    np.testing.assert_allclose(abs(axes[1] @ unique), 5.4)
    np.testing.assert_allclose(abs(axes[2] @ first), 4.1)
    a, c = third * np.sign(axes[0] @ third), first * np.sign(axes[2] @ first)
    assert a @ c < 0


def test_triclinic_axes_follow_the_rule(prototypes):
    cell = prototypes["p1"].cell[:]  # 4.2, 5.1, 5.9: c, a, b of the standard, up to reduction
    axes = ieee_axes(operations_of(prototypes["p1"]))
    np.testing.assert_allclose(abs(axes[2] @ cell[0]), 4.2, atol=1e-9)


def test_twofold_axes_between_the_lattice_vectors_are_x1():
    atoms = crystal(
        ["Nb", "W"], [(0, 0, 0), (0.2, 0.45, 0.31)], spacegroup=149, cellpar=(5.2, 5.2, 6.1, 90, 90, 120)
    )
    operations = operations_of(atoms)
    assert operations.number == 149
    tensor = ieee_tensor(
        symmetrize_tensor(random_tensor(np.random.default_rng(5)), operations.cartesian), operations
    )
    assert abs(tensor[0, 4]) < 1e-9 < tensor[0, 3]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, ("-1", CrystalSystem.TRICLINIC)),
        (2, ("-1", CrystalSystem.TRICLINIC)),
        (3, ("2/m", CrystalSystem.MONOCLINIC)),
        (74, ("mmm", CrystalSystem.ORTHORHOMBIC)),
        (75, ("4/m", CrystalSystem.TETRAGONAL)),
        (146, ("-3", CrystalSystem.TRIGONAL)),
        (167, ("-3m", CrystalSystem.TRIGONAL)),
        (168, ("6/m", CrystalSystem.HEXAGONAL)),
        (230, ("m-3m", CrystalSystem.CUBIC)),
    ],
)
def test_laue_class_of_a_space_group(number, expected):
    assert laue_class(number) == expected


def test_laue_classes_are_those_of_spglib():
    import spglib

    point_groups = {
        "-1": "1 -1", "2/m": "2 m 2/m", "mmm": "222 mm2 mmm", "4/m": "4 -4 4/m", "4/mmm": "422 4mm -42m 4/mmm",
        "-3": "3 -3", "-3m": "32 3m -3m", "6/m": "6 -6 6/m", "6/mmm": "622 6mm -6m2 6/mmm", "m-3": "23 m-3",
        "m-3m": "432 -43m m-3m",
    }  # fmt: skip
    of = {group: laue for laue, groups in point_groups.items() for group in groups.split()}
    for hall in range(1, 531):
        found = spglib.get_spacegroup_type(hall)
        assert laue_class(found.number)[0] == of[found.pointgroup_international], found.number


@pytest.mark.parametrize("number", [0, 231])
def test_laue_class_of_no_space_group_raises(number):
    with pytest.raises(ValueError, match=f"space group {number}: expected 1 to 230"):
        laue_class(number)
