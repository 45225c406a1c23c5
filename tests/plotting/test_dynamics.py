"""Pictures of trajectories: what is drawn is what the figures hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_pet import plotting
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.plotting.dynamics import draw_msd, draw_rdf, draw_vacf
from support.paths_of_atoms import frames_of, launch_of, node_of


@pytest.fixture(scope="module")
def launch(aiida_profile: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    frames = frames_of(0, 12)
    frames.pbc[:] = True
    folder = tmp_path_factory.mktemp("paths") / "job"
    return launch_of(node_of(folder, ("a", 0, frames), ("b", 0, frames.take(slice(0, 8)))))


def test_parts_of_a_row_are_lines_of_their_own(launch: Any) -> None:
    drawing = draw_rdf(launch, "a", r_max=5.0)
    legend = [text.get_text() for text in drawing.axes.get_legend().get_texts()]
    assert legend == ["total", "Mo-Mo", "Mo-Ta", "Ta-Ta"]
    line = drawing.axes.lines[0]
    np.testing.assert_allclose(line.get_ydata(), drawing.frames["a"]["total"])
    assert line.get_xdata().max() < 5.0


def test_own_images_of_atoms_are_told_where_the_cell_is_small(launch: Any) -> None:
    """The cell is a cube of 3 A."""
    [remark] = draw_rdf(launch, "a", r_max=5.0).remarks
    assert remark.startswith("a: beyond 1.5 A, half of the distance of an atom to its own image, ")
    assert "from 3 A on, an atom's own images are counted" in remark


def test_nothing_is_told_of_images_up_to_half_of_the_cell(aiida_profile: Any, tmp_path: Path) -> None:
    frames = frames_of(0, 12)
    frames.pbc[:] = True
    frames.series["cells"][:] *= 4.0
    frames.series["positions"][:, 1, 0] += 2.0
    launch = launch_of(node_of(tmp_path / "job", ("a", 0, frames)))
    assert draw_rdf(launch, "a", r_max=5.9).remarks == ()
    assert len(draw_rdf(launch, "a", r_max=6.1).remarks) == 1


def test_rows_are_laid_over_each_other(launch: Any) -> None:
    drawing = draw_msd(launch, ["a", "b"])
    assert [text.get_text() for text in drawing.axes.get_legend().get_texts()] == ["a", "b"]
    assert [len(line.get_xdata()) for line in drawing.axes.lines] == [6, 4]
    # both atoms go the same way: their centre of mass is all that moves
    assert max(line.get_ydata().max() for line in drawing.axes.lines) < 1e-9
    assert drawing.remarks[0].startswith("a: diffusivity from the slope: total ")
    assert len(draw_msd(launch, "a", skip=2.0).frames["a"]) == 4


def test_velocities_and_their_spectrum_are_two_pictures(launch: Any) -> None:
    drawing = draw_vacf(launch, "a")
    assert [axes.get_xlabel() for axes in drawing.axes] == ["Time (ps)", "Frequency (THz)"]
    np.testing.assert_allclose(drawing.axes[0].lines[0].get_ydata(), 1.0)  # they never change
    assert list(drawing.frames) == ["a correlation", "a spectrum"]


def test_a_row_is_to_be_named_where_there_are_several(launch: Any) -> None:
    with pytest.raises(NotDrawnError, match="there are 2 rows: name the rows to draw, such as a b"):
        plotting.plot_rdf(launch)


def test_files_are_written_from_python_too(launch: Any, tmp_path: Path) -> None:
    plotting.save(plotting.plot_vacf(launch, "b"), tmp_path / "vacf.svg")
    assert "<svg" in (tmp_path / "vacf.svg").read_text()


def test_what_can_be_drawn_is_drawn_and_the_rest_is_named(aiida_profile: Any, tmp_path: Path) -> None:
    from aiida.common.links import LinkType
    from ase.build import bulk

    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.tables.crystals import StructureTable

    moving, still = frames_of(0, 12), frames_of(0, 12)
    for name in ("velocities", "positions"):
        still.series[name] = np.zeros_like(still.series[name])
    launch = launch_of(node_of(tmp_path / "job", ("a", 0, moving), ("rest", 0, still)))
    table = StructureTable.from_ase([(name, bulk("W")) for name in ("a", "rest", "bad")])
    table.columns["status"] = np.array(["converged", "converged", "failed"])
    table.columns["message"] = np.array(["", "", "md_steps = 1.5"])
    results = StructureSetData.from_table(table).store()
    results.base.links.add_incoming(launch, LinkType.RETURN, "results")
    for draw in (draw_msd, draw_vacf):
        drawing = draw(launch, ["a", "rest", "bad"])
        assert {name.split()[0] for name in drawing.frames} == {"a"}
        assert drawing.remarks[-2].startswith("not drawn: rest: all ")
        assert drawing.remarks[-1] == "not drawn: row 'bad' has no frames: failed: md_steps = 1.5"
        with pytest.raises(NotDrawnError, match=r"(?s)^rest: all .*\nrow 'bad' has no frames"):
            draw(launch, ["rest", "bad"])
    with pytest.raises(ValueError, match="no frames of row 'slip'"):
        draw_msd(launch, ["a", "slip"])
