"""What is made of stored force constants, against phonopy driven by hand with forces of ASE's EMT."""

from __future__ import annotations

from typing import Any

import numpy as np
import phonopy
import pytest
from aiida import orm
from phonopy import Phonopy

from aiida_pet.job.parameters import ParameterError
from support.phonon_results import crystals, phonon_table, phonopy_by_hand

NAMES = ["fcc", "cubic", "bcc", "alloy"]


@pytest.fixture(scope="module")
def made() -> tuple[Any, dict[str, Phonopy]]:
    """Rows, and phonopy by hand for each."""
    found = crystals()
    return phonon_table(found, starts={"broken": found["alloy"]})


@pytest.fixture(scope="module")
def results(made: tuple[Any, dict[str, Phonopy]], aiida_profile: Any) -> Any:
    """The rows as a node."""
    from aiida_pet.data.structures import StructureSetData

    return StructureSetData.from_table(made[0]).store()


@pytest.fixture
def hands(made: tuple[Any, dict[str, Phonopy]]) -> dict[str, Phonopy]:
    return made[1]


def call(function: str, results: Any, row_id: str, /, **parameters: Any) -> Any:
    from aiida_pet.calculations import harmonic

    nodes = {name: parameters.pop(name) for name in ("parent", "start") if name in parameters}
    metadata = {"store_provenance": False}  # saves most of the time; a test of the WorkChain stores it
    return getattr(harmonic, function)(
        results, orm.Str(row_id), orm.Dict(parameters), **nodes, metadata=metadata
    )


def structure(name: str) -> orm.StructureData:
    return orm.StructureData(ase=crystals()[name])


# -- bands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_bands_are_those_of_phonopy_at_the_points_of_the_node(
    results: Any, hands: dict[str, Phonopy], name: str
) -> None:
    node = call("phonon_bands", results, name)
    points = node.get_kpoints()
    expected = hands[name].run_qpoints(points).frequencies
    acoustic = np.abs(expected) < 1e-3  # roots of rounding errors
    np.testing.assert_allclose(node.get_bands()[~acoustic], expected[~acoustic], rtol=0, atol=1e-6)
    np.testing.assert_allclose(node.get_bands()[acoustic], 0, atol=1e-3)
    assert node.units == "THz"
    np.testing.assert_allclose(node.cell, hands[name].primitive.cell, atol=1e-12)
    assert (points.min(), points.max()) != (0, 0)


def test_bands_of_fcc_reach_the_points_of_the_textbook(results: Any, hands: dict[str, Phonopy]) -> None:
    """At X the transverse branch is twice degenerate, at L too; labels stand where these are."""
    node = call("phonon_bands", results, "fcc")
    places = {label: place for place, label in node.labels}
    assert {"GAMMA", "X", "L", "W", "K"} <= set(places)
    for label in ("X", "L"):
        low, middle, high = node.get_bands()[places[label]]
        assert middle - low < 1e-6 < high - middle
    reciprocal = np.linalg.inv(hands["fcc"].primitive.cell)
    length = np.linalg.norm(reciprocal @ node.get_kpoints()[places["X"]])
    assert length == pytest.approx(1 / 3.59, rel=1e-9)


def test_bands_say_on_whose_path_they_are(results: Any) -> None:
    attributes = call("phonon_bands", results, "fcc").base.attributes
    wanted = {
        "path_spacegroup": 225,
        "path_symprec": 0.01,
        "path_of": "crystal",
        "spacegroup": 225,
        "warning": "",
    }
    assert {name: attributes.get(name) for name in wanted} == wanted


def test_bands_of_a_broken_crystal_are_on_the_path_of_its_start_or_parent(
    results: Any, hands: dict[str, Phonopy]
) -> None:
    whole = call("phonon_bands", results, "alloy")
    for port in ("start", "parent"):
        node = call("phonon_bands", results, "broken", **{port: structure("alloy")})
        assert node.base.attributes.get("path_of") == port
        assert node.base.attributes.get("path_spacegroup") == 221
        assert node.base.attributes.get("spacegroup") == 99
        assert "99" in node.base.attributes.get("warning")
        assert [label for _, label in node.labels] == [label for _, label in whole.labels]
        expected = hands["broken"].run_qpoints(node.get_kpoints()).frequencies
        np.testing.assert_allclose(node.get_bands(), expected, rtol=0, atol=1e-3)


def test_bands_of_a_broken_crystal_alone_are_refused_unless_allowed(results: Any) -> None:
    from aiida_pet.calculations.band_paths import OtherPathError

    with pytest.raises(OtherPathError, match="the path of the unrelaxed crystal is not known"):
        call("phonon_bands", results, "broken")
    node = call("phonon_bands", results, "broken", allow_other_path=True)
    assert (node.base.attributes.get("path_spacegroup"), node.base.attributes.get("path_of")) == (
        99,
        "crystal",
    )
    loose = call("phonon_bands", results, "broken", path_symprec=0.1)
    assert loose.base.attributes.get("path_spacegroup") == 221


def test_spacing_of_bands_is_held(results: Any, hands: dict[str, Phonopy]) -> None:
    reciprocal = np.linalg.inv(hands["fcc"].primitive.cell)
    sizes = []
    for spacing in (0.01, 0.03):
        node = call("phonon_bands", results, "fcc", spacing=spacing)
        steps = np.linalg.norm(np.diff(node.get_kpoints(), axis=0) @ reciprocal.T, axis=1)
        ends = {place for place, _ in node.labels}
        inside = [step for place, step in enumerate(steps) if not {place, place + 1} <= ends]
        assert max(inside) <= spacing + 1e-12
        sizes.append(len(steps))
    assert sizes[0] > 2 * sizes[1]


# -- densities of states -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_dos_is_that_of_phonopy(results: Any, hands: dict[str, Phonopy], name: str) -> None:
    node = call("phonon_dos", results, name, mesh=25.0, sigma=0.2, frequency_range=[-3.0, 12.0], n_points=151)
    hand = hands[name]
    hand.run_mesh(25.0, with_eigenvectors=True, is_mesh_symmetry=False)
    expected = hand.run_projected_dos(sigma=0.2, freq_min=-3.0, freq_max=12.0, freq_pitch=0.1).projected_dos
    curves = {label: values for label, values, _ in node.get_y()}
    frequencies = node.get_x()[1]
    np.testing.assert_allclose(frequencies, np.linspace(-3, 12, 151), atol=1e-9)
    assert list(curves) == ["total", *(f"{i}_{s}" for i, s in enumerate(hand.primitive.symbols))]
    np.testing.assert_allclose(list(curves.values())[1:], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(curves["total"], expected.sum(axis=0), rtol=0, atol=1e-4)
    assert node.base.attributes.get("n_atoms") == len(hand.primitive)


@pytest.mark.parametrize("name", NAMES)
def test_dos_holds_all_modes_if_no_range_is_given(results: Any, name: str) -> None:
    node = call("phonon_dos", results, name, mesh=20.0)
    frequencies = node.get_x()[1]
    for label, values, unit in node.get_y():
        wanted = 3 * node.base.attributes.get("n_atoms") if label == "total" else 3
        assert np.trapezoid(values, frequencies) == pytest.approx(wanted, rel=1e-4)
        assert unit == "1/THz"


def test_width_and_mesh_of_the_dos_count(results: Any) -> None:
    def curve(**given: Any) -> np.ndarray:
        node = call("phonon_dos", results, "fcc", frequency_range=[0.0, 9.0], n_points=200, **given)
        return next(values for label, values, _ in node.get_y() if label == "total")

    sharp, broad, coarse = curve(mesh=30.0), curve(mesh=30.0, sigma=0.5), curve(mesh=10.0)
    assert sharp.max() > 1.2 * broad.max()
    assert np.abs(sharp - coarse).max() > 0.05


# -- thermal properties --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_thermal_properties_are_those_of_phonopy(results: Any, hands: dict[str, Phonopy], name: str) -> None:
    node = call("phonon_thermal", results, name, mesh=25.0, temperatures=[0, 250, 800])
    temperatures = node.get_x()[1]
    assert temperatures.tolist() == [0, 250, 300, 800]
    hands[name].run_mesh(25.0)
    expected = hands[name].run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    curves = {label: (values, unit) for label, values, unit in node.get_y()}
    for label, unit in (("free_energy", "kJ/mol"), ("entropy", "J/(K mol)"), ("heat_capacity", "J/(K mol)")):
        np.testing.assert_allclose(curves[label][0], getattr(expected, label), rtol=1e-6)
        assert curves[label][1] == unit
    attributes = node.base.attributes
    assert attributes.get("n_atoms") == len(hands[name].primitive)
    assert attributes.get("zero_point_energy") == pytest.approx(float(expected.zero_point_energy), rel=1e-6)


def test_heat_capacity_of_a_stable_crystal_tends_to_dulong_and_petit(results: Any) -> None:
    """3 R per atom, R = 8.314 J/(K mol); acoustic modes at Gamma are left out of a mesh of finitely many points."""
    node = call("phonon_thermal", results, "fcc", temperatures=[2000])
    capacity = {label: values for label, values, _ in node.get_y()}["heat_capacity"][-1]
    assert capacity == pytest.approx(3 * 8.314462618, rel=5e-3)


def test_primitive_and_cubic_cell_have_the_same_properties(results: Any) -> None:
    """Everything belongs to the primitive cell; the supercells are not quite the same, so neither is this."""
    both = [call("phonon_thermal", results, name, temperatures=[300]) for name in ("fcc", "cubic")]
    assert [node.base.attributes.get("n_atoms") for node in both] == [1, 1]
    first, second = ([values[0] for _, values, _ in node.get_y()] for node in both)
    np.testing.assert_allclose(first, second, rtol=0.02)


# -- the file for phonopy, meshes, modes ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_phonopy_loads_the_file_with_the_same_frequencies(
    results: Any, hands: dict[str, Phonopy], name: str, tmp_path: Any
) -> None:
    node = call("phonopy_params", results, name)
    assert node.filename == "phonopy_params.yaml"
    path = tmp_path / "phonopy_params.yaml"
    path.write_text(node.get_content())
    loaded = phonopy.load(path, log_level=0)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    np.testing.assert_allclose(
        loaded.run_qpoints(points).frequencies, hands[name].run_qpoints(points).frequencies, rtol=0, atol=1e-6
    )


def test_mesh_is_that_of_phonopy(results: Any, hands: dict[str, Phonopy]) -> None:
    node = call("phonon_mesh", results, "alloy", mesh=20.0)
    expected = hands["alloy"].run_mesh(20.0)
    points, weights = node.get_kpoints(also_weights=True)
    np.testing.assert_allclose(points, expected.qpoints, atol=1e-12)
    np.testing.assert_allclose(weights, expected.weights / expected.weights.sum(), atol=1e-12)
    np.testing.assert_allclose(node.get_bands()[1:], expected.frequencies[1:], rtol=0, atol=1e-6)


def test_tolerance_of_phonopy_decides_which_points_are_equivalent(results: Any) -> None:
    sizes = {
        at: len(call("phonon_mesh", results, "broken", mesh=20.0, phonon_symprec=at).get_kpoints())
        for at in (1e-5, 0.2)
    }
    assert sizes[1e-5] > sizes[0.2]


def test_modes_are_eigenvectors_of_the_dynamical_matrix(results: Any, hands: dict[str, Phonopy]) -> None:
    q = [0.1, 0.2, -0.3]
    node = call("mode_displacements", results, "alloy", q=q)
    hand = hands["alloy"]
    hand.dynamical_matrix.run(q)
    matrix = hand.dynamical_matrix.dynamical_matrix
    frequencies, vectors = node.get_array("frequencies"), node.get_array("eigenvectors").reshape(6, 6)
    squares = np.sign(frequencies) * (frequencies / hand.unit_conversion_factor) ** 2
    np.testing.assert_allclose(vectors @ matrix.T, squares[:, None] * vectors, atol=1e-8)
    np.testing.assert_allclose(vectors @ vectors.conj().T, np.eye(6), atol=1e-10)
    moved = node.get_array("displacements") * np.sqrt(hand.primitive.masses)[:, None]
    overlap = np.abs(np.einsum("mi,mi->m", moved.reshape(6, 6).conj(), vectors))
    np.testing.assert_allclose(overlap, np.linalg.norm(moved.reshape(6, 6), axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        np.linalg.norm(node.get_array("displacements"), axis=2).max(axis=1), 1, rtol=1e-12
    )
    np.testing.assert_array_equal(node.get_array("numbers"), hand.primitive.numbers)
    assert not np.allclose(call("mode_displacements", results, "alloy").get_array("frequencies"), frequencies)


# -- the row in words ----------------------------------------------------------------------------------------------


def test_parameters_of_a_row_have_its_warnings(results: Any) -> None:
    good = call("phonon_row_parameters", results, "fcc").get_dict()
    assert (good["warnings"], good["path_of"], good["path_spacegroup"]) == ([], "crystal", 225)
    assert good["units"]["min_frequency"] == "THz"
    put = call("phonon_row_parameters", results, "broken", start=structure("alloy")).get_dict()
    assert (put["path_of"], put["path_spacegroup"]) == ("start", 221)
    assert any("bands are along the path of the unrelaxed crystal" in text for text in put["warnings"])
    alone = call("phonon_row_parameters", results, "broken").get_dict()
    assert "path_of" not in alone
    assert any("the path of the unrelaxed crystal is not known" in text for text in alone["warnings"])


# -- long-range dipoles ---------------------------------------------------------------------------------------------


def test_correction_of_a_row_reaches_bands_and_file(made: Any, aiida_profile: Any, tmp_path: Any) -> None:
    """The longitudinal mode of B2 CuPd with invented charges is raised near Gamma, as phonopy has it."""
    from phonopy.physical_units import get_physical_units

    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.tables.ragged import Ragged

    borns, dielectric = np.array([0.5 * np.eye(3), -0.5 * np.eye(3)]), 3.0 * np.eye(3)
    table, hand = made[0].select(["alloy"]), made[1]["alloy"]
    table.set_column("dielectric_tensor", [dielectric])
    table.ragged["primitive_born_charges"] = Ragged.of([borns])
    results = StructureSetData.from_table(table).store()
    corrected = call("phonon_bands", results, "alloy", spacing=0.03)
    plain = hand.run_qpoints(corrected.get_kpoints()).frequencies
    units = get_physical_units()
    other = phonopy_by_hand(
        hand.primitive.cell, hand.primitive.positions, hand.primitive.numbers, hand.supercell_matrix
    )
    other.nac_params = {
        "born": borns,
        "dielectric": dielectric,
        "factor": units.Hartree * units.Bohr,
        "method": "gonze",
    }
    points = corrected.get_kpoints()
    away = np.linalg.norm(points, axis=1) > 1e-6  # at Gamma it depends on the direction
    expected = other.run_qpoints(points[away]).frequencies
    np.testing.assert_allclose(corrected.get_bands()[away], expected, rtol=0, atol=1e-5)
    assert (corrected.get_bands()[away] - plain[away]).max() > 0.1

    path = tmp_path / "phonopy_params.yaml"
    path.write_text(call("phonopy_params", results, "alloy").get_content())
    loaded = phonopy.load(path, log_level=0)
    np.testing.assert_allclose(loaded.run_qpoints(points[away]).frequencies, expected, rtol=0, atol=1e-5)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "parameters", "message"),
    [
        (
            "phonon_bands",
            {"path": 1},
            "path: unknown; known are phonon_symprec, path_symprec, spacing, allow_other_path",
        ),
        ("phonon_bands", {"spacing": 0}, "spacing = 0 1/A: expected a number > 0"),
        ("phonon_dos", {"frequency_range": [3, 1]}, "frequency_range must be lowest, then highest frequency"),
        ("phonon_dos", {"n_points": 1}, "n_points = 1"),
        ("phonon_thermal", {"temperatures": [-1]}, "temperatures must not be negative"),
        ("phonon_thermal", {"temperatures": []}, "temperatures"),
        ("mode_displacements", {"q": [0, 0]}, r"q = \[0, 0\]: expected 3 values"),
    ],
)
def test_bad_parameters_are_named(
    results: Any, function: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        call(function, results, "fcc", **parameters)


def test_row_without_force_constants_says_how_it_ended(made: Any, aiida_profile: Any) -> None:
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.tables.ragged import Ragged

    table = made[0].select(["fcc", "bcc"])
    table.set_column("status", ["max_steps", "converged"])
    table.ragged["force_constants"] = Ragged.of([None, table.ragged["force_constants"][1]])
    node = StructureSetData.from_table(table).store()
    with pytest.raises(
        ValueError, match="row 'fcc' has no force constants: it ended as max_steps, no message"
    ):
        call("phonon_dos", node, "fcc")
