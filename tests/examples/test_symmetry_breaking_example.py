"""The eight cases of ``examples/symmetry_breaking.py``; EMT's copper in place of PET, so that it takes no torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk, make_supercell

from support.phonon_results import crystals, phonon_table


@pytest.fixture
def script(aiida_profile_clean: Any, load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("symmetry_breaking")


@pytest.fixture
def engine_code(script: ModuleType, aiida_localhost: Any, tmp_path: Path) -> orm.InstalledCode:
    """What `aiida-pet setup` makes, its engine being EMT's."""
    aiida_localhost.set_minimum_job_poll_interval(0)
    aiida_localhost.configure(safe_interval=0)
    executable = tmp_path / "pet-engine"
    engine = Path(__file__).parents[1] / "support" / "stand_in_phonons.py"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{engine}" "$@"\n')
    executable.chmod(0o755)
    return orm.InstalledCode(
        label="pet-engine", computer=aiida_localhost, filepath_executable=str(executable)
    ).store()


def make_model(folder: Path, name: str, *outputs: str) -> Any:
    from aiida_pet.data.model import PetModelData

    path = folder / f"{name}.ckpt"
    path.write_bytes(name.encode())
    card = {"name": name, "elements": ["Cu", "Pd"], "outputs": ["energy", *outputs]}
    return PetModelData.get_or_create(path, card)


def broken_results() -> tuple[Any, Any]:
    """Structures and results: fcc lost its group but has its lattice, bcc has a larger primitive cell now."""
    from aiida_pet.data.structures import StructureSetData

    whole, broken = crystals()["alloy"], crystals()["broken"]
    double = make_supercell(whole, np.diag([1, 1, 2]))
    moved = double.copy()
    moved.positions[0] += [0.0, 0.0, 0.03]
    starts = {"fcc": whole, "bcc": double}
    table, _ = phonon_table({"fcc": broken, "bcc": moved}, starts=starts, min_image=5.0)
    table.set_column("n_atoms", table.n_atoms)
    table.set_column("volume", table.volumes(), "A^3")
    return StructureSetData.from_iterator(starts.items()).store(), StructureSetData.from_table(table).store()


@pytest.mark.timeout(300)
def test_model_without_direct_heads_gives_the_four_cases_it_has(
    script: ModuleType, engine_code: orm.InstalledCode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(tmp_path, "energy-only")
    picture = tmp_path / "figure.png"
    script.main(["--element", "Cu", "--model", "energy-only", "--min-image", "5", "--figure", str(picture)])
    printed = capsys.readouterr().out
    assert "energy-only has no direct heads: the cases of NC are left out" in printed
    rows = re.findall(
        r"^(fcc|bcc) (N?C) +(held|free) +converged .* (\d+) +(\d+) +(\d+)  own, (\d+)", printed, re.M
    )
    assert rows == [
        (start, "C", symmetry, *[group] * 4)
        for symmetry in ("held", "free")
        for start, group in (("fcc", "225"), ("bcc", "229"))
    ]
    # EMT's fcc copper is stable, its bcc copper is not
    lowest = [float(line.split()[-2]) for line in printed.splitlines() if line.startswith(("fcc", "bcc"))]
    assert lowest[0] > -1e-3
    assert lowest[1] < -0.5
    assert picture.read_bytes().startswith(b"\x89PNG")
    symmetries = (
        orm.QueryBuilder()
        .append(orm.CalcJobNode, tag="job")
        .append(
            orm.Dict, with_outgoing="job", edge_filters={"label": "parameters"}, project="attributes.symmetry"
        )
    )
    assert sorted(symmetries.all(flat=True)) == ["constrained", "none"]


def test_each_of_the_eight_cases_has_its_own_parameters(
    script: ModuleType, engine_code: orm.InstalledCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    _, results = broken_results()

    def run(builder: Any) -> tuple[dict[str, Any], Any]:
        asked.append(builder.parameters.get_dict())
        assert builder.structures.ids.tolist() == ["fcc", "bcc"]
        return {"results": results}, SimpleNamespace(is_finished_ok=True)

    monkeypatch.setattr(script, "run_get_node", run)
    model = make_model(tmp_path, "both", "non_conservative_force", "non_conservative_stress")
    monkeypatch.setattr(script, "make_case", lambda *arguments: arguments[2:])
    cases = list(script.run_cases("Cu", model, "fast", {"min_image": 6.0}))
    assert cases == [
        (start, heads, symmetry)
        for heads in ("C", "NC")
        for symmetry in ("held", "free")
        for start in ("fcc", "bcc")
    ]
    names = ("symmetry", "forces", "stress", "fmax")
    assert [tuple(parameters[name] for name in names) for parameters in asked] == [
        ("constrained", "conservative", "conservative", 0.001),
        ("none", "conservative", "conservative", 0.001),
        ("constrained", "direct", "direct", 0.01),
        ("none", "direct", "direct", 0.01),
    ]
    assert {parameters["min_image"] for parameters in asked} == {6.0}


def test_panel_says_the_groups_and_on_whose_path_it_is(script: ModuleType) -> None:
    structures, results = broken_results()
    cases = [script.make_case(structures, results, start, "C", "free") for start in ("fcc", "bcc")]
    assert [case.groups for case in cases] == [[221, 99, 99], [221, 99, 99]]
    assert [case.path for case in cases] == ["start's, 221", "own, 99"]
    figure = script.draw(cases, "title")
    assert len(figure.axes) == 4
    titles = [panel.get_suptitle() for panel in figure.subfigs]
    assert titles[0] == "fcc, C, free\n221 / 99 / 99 at 0.1 / 0.01 / 0.001 A"
    left = figure.axes[0]
    assert left.get_xlabel() == "path: start's, 221"
    assert left.get_xticklabels()[0].get_text() == "$\\Gamma$"
    drawn = np.concatenate([line.get_ydata() for line in left.lines if len(line.get_ydata()) > 2])
    assert np.nanmin(drawn) == pytest.approx(cases[0].bands.get_bands().min(), abs=1e-12)
    lines = script.table_of(cases).splitlines()
    assert lines[1].split()[:4] == ["fcc", "C", "free", "converged"]
    assert "   221     99      99  start's, 221" in lines[1]


def test_case_that_did_not_converge_has_an_empty_panel(script: ModuleType) -> None:
    from aiida_pet.data.structures import StructureSetData

    structures, results = broken_results()
    table = results.to_table()
    table.columns = table.columns | {"status": np.array(["converged", "max_steps"])}
    changed = StructureSetData.from_table(table).store()
    cases = [script.make_case(structures, changed, start, "NC", "free") for start in ("fcc", "bcc")]
    assert cases[1].path == "none"
    figure = script.draw(cases, "title")
    assert [text.get_text() for text in figure.axes[2].texts] == ["max_steps"]


def test_starts_have_the_volume_of_the_element(script: ModuleType) -> None:
    hcp = bulk("Ti")
    for name, atoms in script.starts_of("Ti"):
        assert atoms.get_volume() / len(atoms) == pytest.approx(hcp.get_volume() / len(hcp), rel=1e-9)
        assert (
            np.abs(atoms.cell.cellpar()[3:] - {"fcc": 60, "bcc": np.degrees(np.arccos(-1 / 3))}[name]).max()
            < 1e-9
        )


def test_model_that_is_not_there_is_named_with_the_remedy(script: ModuleType) -> None:
    with pytest.raises(
        SystemExit, match="there is no model 'pet-oam-xl' in this profile: `aiida-pet model import"
    ):
        script.find_model("pet-oam-xl")
