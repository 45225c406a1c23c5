"""Bands and densities of states against phonopy's own of the same force constants, solved by hand with EMT."""

from __future__ import annotations

import numpy as np
import pytest
from phonopy import Phonopy
from phonopy.phonon.band_structure import get_band_qpoints_by_seekpath

from aiida_pet.figures.bands import bands_of_row, shown_label
from aiida_pet.figures.dos import dos_of_row
from aiida_pet.figures.frequency import FrequencyUnit
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.figures.thermal import thermal_of_row
from aiida_pet.tables.crystals import StructureTable
from support.phonon_results import crystals, phonon_table
from support.plotted import TEMPERATURES, with_thermal

Solved = tuple[StructureTable, dict[str, Phonopy]]


@pytest.fixture(scope="module")
def solved() -> Solved:
    there = crystals()
    starts = {"broken": there["alloy"]}
    return phonon_table({name: there[name] for name in ("fcc", "alloy", "broken")}, starts)


def test_bands_are_phonopys_along_phonopys_path(solved: Solved) -> None:
    table, hands = solved
    bands = bands_of_row(table, "fcc", spacing=0.05)
    hand = hands["fcc"]
    _, labels, connected = get_band_qpoints_by_seekpath(hand.primitive, 11)
    ends = [label for _, label in bands.ticks]
    expected = [
        shown_label(
            label.replace("$\\Gamma$", "GAMMA").replace("$", "").replace("\\mathrm{", "").replace("}", "")
        )
        for label in labels
    ]
    assert sorted(set("|".join(ends).split("|"))) == sorted(set(expected))
    assert len(bands.breaks) == connected[:-1].count(False)
    at_gamma = bands.frequencies[0][0]
    assert at_gamma == pytest.approx(hand.run_qpoints([[0, 0, 0]]).frequencies[0], abs=1e-4)
    x_point = hand.run_qpoints([[0.5, 0.0, 0.5]]).frequencies[0]
    assert ends[:2] == ["Γ", "X"]
    assert bands.frequencies[0][-1] == pytest.approx(x_point, abs=1e-6)


def test_cm1_are_33_356_times_thz(solved: Solved) -> None:
    thz, cm1 = (bands_of_row(solved[0], "fcc", unit=unit, spacing=0.1) for unit in ("THz", "cm-1"))
    ratio = cm1.frequencies[1].max() / thz.frequencies[1].max()
    assert ratio == pytest.approx(33.35641, rel=1e-6)
    assert cm1.to_frame().attrs["units"]["band_0"] == "cm-1"


def test_segments_meet_and_the_csv_has_all_points(solved: Solved) -> None:
    bands = bands_of_row(solved[0], "alloy", spacing=0.05)
    assert all(
        one[-1] == pytest.approx(two[0])
        for one, two in zip(bands.distances, bands.distances[1:], strict=False)
    )
    frame = bands.to_frame()
    assert len(frame) == sum(map(len, bands.distances))
    assert [name for name in frame.columns if name.startswith("band_")] == [f"band_{i}" for i in range(6)]
    assert frame["segment"].max() == len(bands.distances) - 1


def test_path_is_that_of_the_start(solved: Solved) -> None:
    table, _ = solved
    start = StructureTable.from_ase({"broken": crystals()["alloy"]}.items())
    own = bands_of_row(table, "broken", spacing=0.1)
    assert (own.spacegroup, own.remarks) == (99, ())
    on_start = bands_of_row(table, "broken", start=start, spacing=0.1)
    assert on_start.spacegroup == 221
    assert (
        "the bands are along the path of the unrelaxed crystal, space group 221; the relaxed crystal has space group 99"
        in on_start.remarks[0]
    )


def test_looser_tolerance_finds_the_higher_group(solved: Solved) -> None:
    assert bands_of_row(solved[0], "broken", spacing=0.1, symprec=0.2).spacegroup == 221


def test_points_lie_as_densely_as_asked(solved: Solved) -> None:
    coarse, fine = (bands_of_row(solved[0], "fcc", spacing=spacing) for spacing in (0.1, 0.02))
    assert len(fine.distances[0]) > 3 * len(coarse.distances[0])


def test_own_path_is_taken(solved: Solved) -> None:
    from aiida_pet.crystals.phonons.bands import BandPath

    points = {"GAMMA": np.zeros(3), "Z": np.array([0.0, 0.0, 0.5])}
    bands = bands_of_row(solved[0], "fcc", path=BandPath(1, (("GAMMA", "Z"),), points, False))
    assert [label for _, label in bands.ticks] == ["Γ", "Z"]


def test_row_without_force_constants_says_where_they_are() -> None:
    table = StructureTable.from_ase({"fcc": crystals()["fcc"]}.items())
    with pytest.raises(NotDrawnError, match=r"not results of phonons.*outputs.stages.phonons"):
        bands_of_row(table, "fcc")
    with pytest.raises(NotDrawnError, match="no row 'x'"):
        bands_of_row(table, "x")


def test_density_of_states_holds_three_modes_per_atom_in_any_unit(solved: Solved) -> None:
    table = with_thermal(*solved)
    for unit in FrequencyUnit:
        dos = dos_of_row(table, "alloy", unit=unit)
        assert np.trapezoid(dos.total, dos.frequencies) == pytest.approx(6.0, abs=0.01)
    assert dos_of_row(table, "alloy").frequencies.max() < 20


def test_parts_of_elements_sum_up_and_hold_their_modes(solved: Solved) -> None:
    dos = dos_of_row(solved[0], "alloy", by_element=True)
    assert list(dos.elements) == ["Cu", "Pd"]
    assert sum(dos.elements.values()) == pytest.approx(dos.total)
    for part in dos.elements.values():
        assert np.trapezoid(part, dos.frequencies) == pytest.approx(3.0, abs=0.01)
    assert list(dos.to_frame().columns) == ["frequency", "total", "Cu", "Pd"]


def test_wider_gaussians_make_a_flatter_density(solved: Solved) -> None:
    sharp, wide = (
        dos_of_row(solved[0], "fcc", by_element=True, sigma=sigma).total.max() for sigma in (0.05, 0.5)
    )
    assert wide < sharp


def test_thermal_curves_are_those_of_phonopy_per_atom(solved: Solved) -> None:
    table, hands = with_thermal(*solved), solved[1]
    hand = hands["alloy"]
    hand.run_mesh(60.0)
    expected = hand.run_thermal_properties(temperatures=TEMPERATURES, exclude_gamma_acoustic=True)
    found = thermal_of_row(table, "alloy")
    assert found.temperatures.tolist() == list(TEMPERATURES)
    assert found.entropy * 2 == pytest.approx(expected.entropy, rel=2e-3)
    copper = thermal_of_row(table, "fcc")  # stable: no imaginary mode is left out
    assert copper.heat_capacity[-1] == pytest.approx(copper.dulong_petit, rel=2e-3)
    assert thermal_of_row(table, "alloy", per_atom=False).entropy == pytest.approx(found.entropy * 2)


def test_data_frame_serves_as_well(solved: Solved) -> None:
    from aiida_pet.tables.frame import frame_of

    table = with_thermal(*solved)
    assert thermal_of_row(frame_of(table), "fcc").entropy == pytest.approx(
        thermal_of_row(table, "fcc").entropy
    )
    assert dos_of_row(frame_of(table), "fcc").total == pytest.approx(dos_of_row(table, "fcc").total)
    with pytest.raises(NotDrawnError, match="need force constants"):
        dos_of_row(frame_of(table), "fcc", by_element=True)
