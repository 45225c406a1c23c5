"""Plots of tables and data frames: what is drawn is what the figures hold, and every argument changes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from aiida_pet import plotting
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.plotting.course import draw_funnel
from aiida_pet.plotting.elastic import draw_elastic
from aiida_pet.plotting.files import save
from aiida_pet.plotting.heat import draw_conductivity, draw_eos, draw_expansion
from aiida_pet.plotting.hull import draw_hull, shown_formula
from aiida_pet.plotting.phonons import draw_bands, draw_dos, draw_thermal
from aiida_pet.plotting.style import PALETTE
from aiida_pet.plotting.symmetry import draw_symmetry
from aiida_pet.plotting.values import draw_histogram, draw_parity
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.frame import frame_of
from aiida_pet.tables.table import Table
from support.heat_results import heat_table
from support.phonon_results import crystals, phonon_table
from support.plotted import with_thermal


@pytest.fixture(scope="module")
def solved() -> StructureTable:
    there = crystals()
    return with_thermal(*phonon_table({name: there[name] for name in ("fcc", "alloy")}))


def texts_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def bands_drawn(ax: Any) -> list[Any]:
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def test_every_band_of_every_segment_is_a_line(solved: StructureTable) -> None:
    drawing = draw_bands(solved, "alloy")
    frame = drawing.frames["alloy"]
    assert len(bands_drawn(drawing.axes)) == 6 * (frame["segment"].max() + 1)
    assert drawing.axes.get_ylabel() == "Frequency (THz)"
    highest = max(line.get_ydata().max() for line in bands_drawn(drawing.axes))
    assert highest == pytest.approx(frame[[f"band_{i}" for i in range(6)]].to_numpy().max())


def test_unit_of_bands_and_of_the_density_is_that_asked_for(solved: StructureTable) -> None:
    thz, cm1 = (plotting.plot_bands(solved, "fcc", unit=unit) for unit in ("THz", "cm-1"))
    assert cm1.get_ylabel() == "Frequency (cm$^{-1}$)"
    assert cm1.get_ylim()[1] / thz.get_ylim()[1] == pytest.approx(33.356, rel=1e-3)
    thz, cm1 = (plotting.plot_dos(solved, "fcc", unit=unit) for unit in ("THz", "cm-1"))
    assert cm1.get_xlim()[1] / thz.get_xlim()[1] == pytest.approx(33.356, rel=1e-3)


def test_two_models_are_laid_over_each_other_with_a_legend(solved: StructureTable) -> None:
    drawing = draw_bands([solved, solved], "fcc")
    assert texts_of(drawing.axes) == ["no. 1", "no. 2"]
    assert {line.get_color() for line in bands_drawn(drawing.axes)} == set(PALETTE[:2])
    assert list(drawing.frames) == ["no. 1", "no. 2"]


def test_bands_on_different_paths_are_not_laid_over_each_other(solved: StructureTable) -> None:
    with pytest.raises(NotDrawnError, match=r"fcc on Γ X .* of space group 225; alloy on Γ X"):
        draw_bands(solved, ["fcc", "alloy"])


def test_rows_are_to_be_named_where_there_are_several(solved: StructureTable) -> None:
    with pytest.raises(NotDrawnError, match="there are 2 rows: name the rows to draw, such as fcc alloy"):
        draw_dos(solved)
    assert draw_dos(solved.select(["fcc"])).title.endswith("of fcc")


def test_parts_by_element_are_drawn_of_one_row(solved: StructureTable) -> None:
    ax = plotting.plot_dos(solved, "alloy", by_element=True)
    assert texts_of(ax) == ["total", "Cu", "Pd"]
    with pytest.raises(NotDrawnError, match="for one row only, not for 2"):
        draw_dos(solved, ["fcc", "alloy"], by_element=True)


def test_thermal_curves_are_three_and_per_cell_if_asked(solved: StructureTable) -> None:
    axes = plotting.plot_thermal(solved, ["fcc", "alloy"])
    assert [ax.get_ylabel().partition(" (")[0] for ax in axes] == ["Free energy", "Entropy", "Heat capacity"]
    assert texts_of(axes[0]) == ["fcc", "alloy"]
    per_cell = draw_thermal(solved, "alloy", per_atom=False).axes[1].lines[0].get_ydata()
    assert per_cell == pytest.approx(2 * draw_thermal(solved, "alloy").axes[1].lines[0].get_ydata())


def phases() -> pd.DataFrame:
    rows = {
        "Mo": ("Mo", -9.0, 1),
        "W": ("W", -10.0, 1),
        "Ta": ("Ta", -11.0, 1),
        "stable": ("Mo2W2", -40.0, 4),
        "above": ("Mo3W", -37.5, 4),
        "mixed": ("MoTaW", -31.0, 3),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["formula", "energy", "n_atoms"])


def test_binary_hull_draws_phases_and_their_line() -> None:
    drawing = draw_hull(phases(), ["Mo", "W"])
    line = drawing.axes.lines[0]
    assert line.get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert line.get_ydata().tolist() == pytest.approx([0.0, -500.0, 0.0])
    assert sum(len(marks.get_offsets()) for marks in drawing.axes.collections) == 4
    assert {"Mo", "MoW", "W"} == {text.get_text() for text in drawing.axes.texts}


def test_rows_that_are_asked_for_are_named_on_the_hull() -> None:
    assert "above" in {text.get_text() for text in plotting.plot_hull(phases(), ["Mo", "W"], ["above"]).texts}
    with pytest.raises(NotDrawnError, match="no row 'x' in the system Mo-W"):
        draw_hull(phases(), ["Mo", "W"], ["x"])


def test_ternary_hull_has_all_phases_in_the_triangle() -> None:
    drawing = draw_hull(phases(), ["Mo", "Ta", "W"])
    assert sum(len(marks.get_offsets()) for marks in drawing.axes.collections[:2]) == 6
    assert len(drawing.frames["hull"]) == 6


def test_system_of_most_rows_is_drawn_if_none_is_named() -> None:
    assert draw_hull(phases()).title == "Convex hull of Mo-W, 4 phases"


def test_references_join_the_hull() -> None:
    alone = phases().drop(["Mo", "W", "Ta"])
    references = pd.DataFrame({"formula": ["Mo", "W"], "energy_per_atom": [-9.0, -10.0]}, index=["r1", "r2"])
    assert len(draw_hull(alone, ["Mo", "W"], references=references).frames["hull"]) == 4
    with pytest.raises(NotDrawnError, match="no phase of pure Mo"):
        draw_hull(alone, ["Mo", "W"])


@pytest.mark.parametrize(
    ("formula", "shown"), [("Mo2W2", "MoW"), ("Mo3W", "Mo₃W"), ("W", "W"), ("Mo4W6", "Mo₂W₃")]
)
def test_formulas_are_the_smallest(formula: str, shown: str) -> None:
    assert shown_formula(formula) == shown


def values() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({"energy": rng.normal(size=300), "n_atoms": 2}, index=[f"a{i}" for i in range(300)])


def test_bars_hold_all_rows_and_overlays_share_their_bins() -> None:
    drawing = draw_histogram(values(), "energy", bins=7)
    assert len(drawing.frames["energy"]) == 7
    assert drawing.frames["energy"]["rows"].sum() == 300
    both = draw_histogram([values(), values().assign(energy=lambda frame: frame["energy"] + 1)], "energy")
    one, other = both.frames.values()
    edges = [frame[np.isfinite(frame["from"])]["from"].tolist()[1:] for frame in (one, other)]
    assert set(edges[0]) & set(edges[1])
    assert texts_of(both.axes) == ["no. 1", "no. 2"]


def test_rows_are_marked_in_a_histogram() -> None:
    ax = plotting.plot_histogram(values(), "energy", ["a7"])
    assert ax.lines[0].get_xdata()[0] == pytest.approx(values().loc["a7", "energy"])
    with pytest.raises(NotDrawnError, match="no row 'x'"):
        draw_histogram(values(), "energy", ["x"])
    lacking = values()
    lacking.loc["a7", "energy"] = np.nan
    assert draw_histogram(lacking, "energy", ["a7"]).remarks == ("not marked: row 'a7' has no energy",)


def test_words_are_bars() -> None:
    ax = plotting.plot_histogram(pd.DataFrame({"status": ["left", "converged", "left"]}), "status")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["left", "converged"]
    assert [patch.get_width() for patch in ax.patches] == [2, 1]


def test_parity_draws_each_pair_and_its_errors() -> None:
    other = values().assign(energy=lambda frame: frame["energy"] + 0.5)
    drawing = draw_parity(values(), other, "energy", per_atom=True)
    assert len(drawing.axes.collections[0].get_offsets()) == 300
    assert texts_of(drawing.axes) == ["MAE 0.25, RMSE 0.25 eV/atom"]
    assert draw_parity(values(), other, "energy").frames["no. 2"]["difference"].mean() == pytest.approx(0.5)
    assert (
        draw_parity(values().rename(columns={"energy": "dft"}), other, "energy", "dft")
        .axes.get_xlabel()
        .startswith("dft")
    )


def tensors() -> Table:
    copper = np.diag([47.0] * 3 + [75.4] * 3)
    copper[:3, :3] += 121.4
    return Table(np.array(["Cu", "other"]), {"elastic_tensor": np.array([copper, 2 * copper])})


def test_youngs_modulus_is_a_surface_and_sections() -> None:
    solid, flat = plotting.plot_elastic(tensors(), "Cu")
    assert solid.name == "3d"
    assert len(flat.lines) == 3
    assert flat.lines[0].get_ydata()[0] == pytest.approx(66.7, abs=0.1)
    planes = draw_elastic(tensors(), ["Cu", "other"]).axes
    assert [len(ax.lines) for ax in planes] == [2, 2, 2]
    assert planes[0].lines[1].get_ydata() == pytest.approx(2 * planes[0].lines[0].get_ydata())


def groups() -> pd.DataFrame:
    columns = {"initial_spacegroup_0_01": [225, 229], "spacegroup_0_01": [225, 139]}
    return pd.DataFrame(columns | {"initial_spacegroup_0_1": [225, 229], "spacegroup_0_1": [225, 229]})


def test_changes_of_symmetry_are_those_of_the_tolerance() -> None:
    kept, changes = plotting.plot_symmetry(groups())
    assert [label.get_text() for label in kept.get_yticklabels()] == ["0.01 Å", "0.1 Å"]
    assert [label.get_text() for label in changes.get_yticklabels()] == ["Im-3m → I4/mmm"]
    assert "none" in {text.get_text() for text in plotting.plot_symmetry(groups(), tolerance=0.1)[1].texts}
    with pytest.raises(NotDrawnError, match=r"no tolerance 0.5 A: there are 0.01, 0.1 A"):
        draw_symmetry(groups(), tolerance=0.5)


def screened() -> pd.DataFrame:
    return pd.DataFrame({"stage": ["relax", "done", "done"], "reason": ["left: time", "", ""]})


def test_funnel_says_rows_and_reasons() -> None:
    ax = plotting.plot_funnel(screened(), stages=["relax", "hull"])
    assert [text.get_text() for text in ax.texts] == ["2 of 3", "1 left", "2 of 2"]
    assert len(draw_funnel(screened()).frames["funnel"]) == 2


def test_progress_draws_a_curve_per_lane() -> None:
    jobs = pd.DataFrame(
        {
            "stage": "",
            "lane": ["1", "2"],
            "begun": [0.0, 1.0],
            "ended": [60.0, 80.0],
            "rows_done": [5, 7],
            "engine_s": 50.0,
            "compute_s": 40.0,
        }
    )
    curves, spent = plotting.plot_progress(jobs)
    assert [line.get_ydata()[-1] for line in curves.lines] == [5, 7]
    assert sum(patch.get_width() for patch in spent.patches) == pytest.approx((60 + 79) / 60)  # min


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "html", "csv"])
def test_same_plot_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    one, other = (save(draw_funnel(screened()), tmp_path / f"{i}.{suffix}").read_bytes() for i in range(2))
    assert one == other
    assert len(one) > 40


def test_page_needs_nothing_else_and_escapes_names(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    frame = pd.DataFrame({"energy": [1.0, 2.0]}, index=[hostile, "b"])
    page = save(draw_histogram(frame, "energy", [hostile]), tmp_path / "x.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "data:text/csv;base64," in page


def test_other_suffix_and_numbers_of_bare_axes_are_refused(tmp_path: Path) -> None:
    ax = plotting.plot_funnel(screened())
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, \.html or \.csv"):
        plotting.save(ax, tmp_path / "x.gif")
    with pytest.raises(ValueError, match="numbers cannot be written from axes"):
        plotting.save(ax, tmp_path / "x.csv")


def test_axes_that_are_given_are_drawn_on() -> None:
    from matplotlib.figure import Figure

    own = Figure().subplots()
    assert plotting.plot_histogram(values(), "energy", ax=own) is own
    assert plotting.plot_hull(phases(), ["Mo", "W"], ax=own) is own


def test_heat_is_drawn_with_units_and_the_numbers_behind_it() -> None:
    table = heat_table()
    eos = plotting.plot_eos(table, "good")
    assert eos.get_xlabel() == "Volume (Å$^3$)"
    points = next(line for line in eos.lines if len(line.get_xdata()) == 5)
    assert points.get_ydata().min() == pytest.approx(0.0, abs=1e-12)
    assert eos.get_title() == "bulk modulus 200 GPa"
    expansion = draw_expansion([table, table], "good")
    assert texts_of(expansion.axes[0]) == ["no. 1", "no. 2"]
    assert expansion.axes[1].lines[0].get_ydata().tolist() == [0.0, 20.0, 22.0]
    heat = draw_conductivity(table, "good")
    assert heat.axes[0].get_ylabel() == "Conductivity of the lattice (W/(m K))"
    assert heat.axes[2].get_xscale() == "log"
    assert len(heat.frames["good"]) == 12
    with pytest.raises(NotDrawnError, match="aiida-pet launch conductivity"):
        draw_conductivity(phases(), "W")


def test_paths_that_carry_nothing_are_no_part_of_the_picture() -> None:
    table = heat_table()
    table.columns["cumulative_paths"][0] = [1e-13, 1e-9, 10.0, 100.0, 1000.0]
    table.columns["cumulative_kappa_paths"][0] = [1e-9, 1e-5, 5.0, 9.0, 10.0]
    axes = draw_conductivity(table, "good").axes[2]
    assert axes.get_xlim() == (1e-9, pytest.approx(1100.0))


@pytest.mark.parametrize("draw", [draw_eos, draw_expansion, draw_conductivity])
def test_labels_of_axes_lie_on_the_picture(draw: Any) -> None:
    drawing = draw(heat_table(), "good")
    figure = drawing.figure
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        for label in (ax.xaxis.label, ax.yaxis.label):
            extent = label.get_window_extent()
            assert figure.bbox.y0 <= extent.y0, label.get_text()
            assert extent.y1 <= figure.bbox.y1, label.get_text()
            assert figure.bbox.x0 <= extent.x0, label.get_text()
            assert extent.x1 <= figure.bbox.x1, label.get_text()


@pytest.mark.parametrize(
    ("draw", "column"), [(draw_eos, "eos"), (draw_expansion, "temperatures"), (draw_conductivity, "kappa")]
)
def test_rows_without_results_do_not_keep_others_from_being_drawn(draw: Any, column: str) -> None:
    drawing = draw(heat_table(), ["good", "failed"])
    assert list(drawing.frames) == ["good"]
    (remark,) = drawing.remarks
    assert remark.startswith(f"not drawn: row 'failed' has no {column}")
    assert remark.endswith(": it ended as failed")
    with pytest.raises(NotDrawnError, match="no row 'slip'"):
        draw(heat_table(), ["good", "slip"])


def test_a_missing_conductivity_is_told_with_its_reason() -> None:
    table = heat_table()
    table.columns["status"][:] = "converged"
    table.columns["conductivity_skipped"] = np.array(["", "57 of 57 modes do not scatter"])
    for source in (table, frame_of(table)):
        with pytest.raises(NotDrawnError, match="row 'failed' has no kappa: 57 of 57 modes do not scatter"):
            draw_conductivity(source, "failed")
    with pytest.raises(NotDrawnError, match=r"has no eos_\w+: it ended as converged"):
        draw_eos(table, "failed")  # for which conductivities are no reason
