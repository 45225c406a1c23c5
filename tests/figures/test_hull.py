"""Hulls against pymatgen's PhaseDiagram and the data that its PDPlotter draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PDPlotter, PhaseDiagram
from pymatgen.core import Composition

from aiida_pet.figures.hull import Hull, composition_of, hull_of, systems_of, triangle_places
from aiida_pet.figures.source import NotDrawnError


def random_phases(elements: list[str], count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = {f"{symbol}-pure": (symbol, float(rng.uniform(-9, -7))) for symbol in elements}
    for index in range(count):
        amounts = rng.integers(0, 4, len(elements))
        if amounts.any():
            formula = "".join(f"{s}{n if n > 1 else ''}" for s, n in zip(elements, amounts, strict=True) if n)
            rows[f"x{index}"] = (formula, float(rng.normal(-8.5, 0.6)) * int(amounts.sum()))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["formula", "energy"])
    frame["n_atoms"] = [int(sum(composition_of(f).values())) for f in frame["formula"]]
    return frame


def pymatgens(frame: pd.DataFrame) -> PhaseDiagram:
    return PhaseDiagram(
        [
            PDEntry(Composition(f), e, name=i)
            for i, f, e in zip(frame.index, frame["formula"], frame["energy"], strict=True)
        ]
    )


@pytest.mark.parametrize("elements", [["Mo", "W"], ["Mo", "Nb", "Ta"]])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_energies_lines_and_corners_are_pymatgens(elements: list[str], seed: int) -> None:
    frame = random_phases(elements, 25, seed)
    diagram, found = pymatgens(frame), hull_of(frame, elements)
    by_name = {entry.name: entry for entry in diagram.all_entries}
    for row, name in enumerate(found.ids):
        assert found.formation_energy[row] == pytest.approx(
            diagram.get_form_energy_per_atom(by_name[name]), abs=1e-9
        )
        assert found.e_above_hull[row] == pytest.approx(diagram.get_e_above_hull(by_name[name]), abs=1e-8)
    stable = sorted(entry.name for entry in diagram.stable_entries)
    assert sorted(found.ids[found.is_on_hull]) == stable
    lines, corners, _ = PDPlotter(diagram).pd_plot_data
    assert len(found.vertex_energies) == len(corners) == len(stable)
    edges = {
        tuple(sorted((a, b))) for facet in found.facets for i, a in enumerate(facet) for b in facet[i + 1 :]
    }
    assert len(edges) == len(lines)
    if len(elements) == 2:
        drawn = np.array(sorted(corners))
        ours = zip(found.vertex_fractions[:, 1], found.vertex_energies, strict=True)
        assert np.array(sorted(ours)) == pytest.approx(drawn, abs=1e-9)


def with_hull_columns(frame: pd.DataFrame) -> pd.DataFrame:
    diagram = pymatgens(frame)
    by_name = {entry.name: entry for entry in diagram.all_entries}
    told = {
        "formation_energy": [diagram.get_form_energy_per_atom(by_name[name]) for name in frame.index],
        "e_above_hull": [diagram.get_e_above_hull(by_name[name]) for name in frame.index],
    }
    return frame.assign(**told)


def test_hull_of_references_that_are_no_rows_is_where_the_columns_say() -> None:
    whole = with_hull_columns(random_phases(["Mo", "W"], 25, 1))
    compounds = whole[whole["formation_energy"] > -10]
    is_stable = compounds["e_above_hull"] < 1e-8
    rows = compounds[~is_stable]  # the phases that make the hull are none of the rows
    found = hull_of(rows, ["Mo", "W"])
    assert found.e_above_hull == pytest.approx(rows["e_above_hull"])
    assert found.formation_energy.min() > found.vertex_energies.min()
    at = np.interp(found.fractions[:, 1], *_line(found))
    assert at == pytest.approx((rows["formation_energy"] - rows["e_above_hull"]).to_numpy(), abs=2e-4)


def _line(found: Hull) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(found.vertex_fractions[:, 1])
    return found.vertex_fractions[order, 1], found.vertex_energies[order]


def test_references_compete_where_rows_have_no_formation_energy() -> None:
    rows = pd.DataFrame({"formula": ["MoW"], "energy": [-20.0], "n_atoms": [2]}, index=["a"])
    references = pd.DataFrame(
        {"formula": ["Mo", "W", "MoW"], "energy_per_atom": [-9.0, -9.0, -10.5]}, index=list("xyz")
    )
    with pytest.raises(NotDrawnError, match="no phase of pure Mo"):
        hull_of(rows, ["Mo", "W"])
    found = hull_of(rows, ["Mo", "W"], references)
    assert dict(zip(found.ids, found.e_above_hull.tolist(), strict=True)) == pytest.approx(
        {"a": 0.5, "x": 0, "y": 0, "z": 0}
    )


def test_order_of_the_elements_is_that_asked_for() -> None:
    frame = random_phases(["Mo", "W"], 9, 5)
    one, other = hull_of(frame, ["Mo", "W"]), hull_of(frame, ["W", "Mo"])
    assert one.fractions[:, 0] == pytest.approx(other.fractions[:, 1])


def test_decomposition_is_that_of_the_column_else_told_by_the_hull() -> None:
    frame = pd.DataFrame(
        {"formula": ["Mo", "W", "Mo3W"], "energy": [-9.0, -9.0, -34.0], "n_atoms": [1, 1, 4]},
        index=list("abc"),
    )
    assert hull_of(frame, ["Mo", "W"]).decomposition[2] == "0.75 Mo + 0.25 W"
    named = frame.assign(decomposition=["", "", "0.75 Mo (a) + 0.25 W (b)"])
    assert hull_of(named, ["Mo", "W"]).decomposition[2] == "0.75 Mo (a) + 0.25 W (b)"


def test_rows_without_an_answer_and_of_other_systems_are_left_out() -> None:
    frame = random_phases(["Mo", "W"], 9, 5).assign(status="converged")
    frame.loc["x0", "status"] = "left"
    frame.loc["other"] = ["Ta", -9.0, 1, "converged"]
    found = hull_of(frame, ["Mo", "W"])
    assert not {"x0", "other"} & set(found.ids)
    assert found.n_left_out == 1


def test_systems_are_those_of_two_and_three_elements_with_most_rows_first() -> None:
    frame = pd.DataFrame({"formula": ["Mo", "MoW", "Mo2W", "NbTaW", "MoNbTaW"]})
    assert systems_of(frame) == [("Mo", "W"), ("Nb", "Ta", "W")]


@pytest.mark.parametrize("system", [["Mo"], ["Mo", "Mo"], ["Mo", "Xx"], ["Mo", "Nb", "Ta", "W"]])
def test_what_is_no_system_is_refused(system: list[str]) -> None:
    with pytest.raises(NotDrawnError, match="two or three different elements"):
        hull_of(random_phases(["Mo", "W"], 3, 1), system)


def test_corners_of_the_triangle_are_a_side_apart() -> None:
    places = triangle_places(np.eye(3))
    sides = [np.linalg.norm(places[i] - places[i - 1]) for i in range(3)]
    assert sides == pytest.approx([1.0, 1.0, 1.0])
