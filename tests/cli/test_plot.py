"""`aiida-pet plot`: of stored tables and of launches; what cannot be drawn is said with what makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from aiida.engine import run_get_node
from click.testing import Result

from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.table import Table
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain
from support.heat_results import heat_table
from support.phonon_results import crystals, phonon_table
from support.plotted import with_thermal

Invoke = Callable[..., Result]


@pytest.fixture
def phonons(aiida_profile: Any) -> StructureSetData:
    there = crystals()
    table = with_thermal(*phonon_table({name: there[name] for name in ("fcc", "cubic")}))
    return StructureSetData.from_table(table).store()


def drawn(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def test_bands_of_a_row_are_written_as_what_the_suffix_says(
    invoke: Invoke, phonons: StructureSetData, tmp_path: Path
) -> None:
    for suffix, beginning in (
        ("svg", b"<?xml"),
        ("png", b"\x89PNG"),
        ("pdf", b"%PDF"),
        ("html", b"<!doctype html>"),
    ):
        path = tmp_path / f"bands.{suffix}"
        invoke("plot", "bands", phonons.pk, "fcc", "-o", path)
        assert path.read_bytes().startswith(beginning)


@pytest.mark.parametrize(
    ("command", "value", "message"),
    [
        ("rdf --r-max", "-3", "-3.0 is not in the range x>0.0"),
        ("rdf --r-max", "0", "0.0 is not in the range x>0.0"),
        ("rdf --r-max", "nan", "nan is not a finite number"),
        ("rdf --r-max", "inf", "inf is not a finite number"),
        ("msd --skip", "nan", "nan is not a finite number"),
        ("msd --skip", "-1", "-1.0 is not in the range x>=0.0"),
        ("symmetry --tolerance", "-0.1", "-0.1 is not in the range x>0.0"),
        ("symmetry --tolerance", "nan", "nan is not a finite number"),
    ],
)
def test_lengths_and_times_that_are_none_are_refused(
    invoke: Invoke, tmp_path: Path, command: str, value: str, message: str
) -> None:
    kind, option = command.split()
    said = invoke("plot", kind, "1", option, value, "-o", tmp_path / "x.svg", status=2).output
    assert f"Invalid value for '{option}': {message}" in " ".join(said.split())


def test_existing_file_is_kept_unless_forced(
    invoke: Invoke, phonons: StructureSetData, tmp_path: Path
) -> None:
    path = tmp_path / "dos.svg"
    path.write_text("mine")
    assert "--force replaces it" in invoke("plot", "dos", phonons.pk, "fcc", "-o", path, status=1).output
    assert path.read_text() == "mine"
    invoke("plot", "dos", phonons.pk, "fcc", "-o", path, "--force")
    assert "<svg" in path.read_text()


def test_unit_and_elements_and_cell_change_the_numbers(
    invoke: Invoke, phonons: StructureSetData, tmp_path: Path
) -> None:
    pk = phonons.pk
    invoke("plot", "bands", pk, "fcc", "-o", tmp_path / "thz.csv")
    invoke("plot", "bands", pk, "fcc", "--unit", "cm-1", "--own-path", "-o", tmp_path / "cm1.csv")
    ratio = (
        drawn(tmp_path / "cm1.csv")["band_2 (cm-1)"].max() / drawn(tmp_path / "thz.csv")["band_2 (THz)"].max()
    )
    assert ratio == pytest.approx(33.356, rel=1e-4)
    invoke("plot", "dos", pk, "fcc", "--by-element", "--unit", "cm-1", "-o", tmp_path / "dos.csv")
    assert list(drawn(tmp_path / "dos.csv").columns) == ["frequency (cm-1)", "total (cm)", "Cu (cm)"]
    invoke("plot", "thermal", pk, "fcc", "--per-cell", "-o", tmp_path / "thermal.csv")
    assert len(drawn(tmp_path / "thermal.csv")) == 3


def test_others_are_laid_over_it(invoke: Invoke, phonons: StructureSetData, tmp_path: Path) -> None:
    invoke("plot", "thermal", phonons.pk, "fcc", "--with", phonons.pk, "-o", tmp_path / "two.csv")
    assert drawn(tmp_path / "two.csv")["series"].nunique() == 2


def test_row_that_is_not_there_names_the_closest(
    invoke: Invoke, phonons: StructureSetData, tmp_path: Path
) -> None:
    found = invoke("plot", "bands", phonons.pk, "fc", "-o", tmp_path / "x.svg", status=1)
    assert "no row 'fc' among the 2 of StructureSetData" in found.output
    assert "closest are fcc" in found.output


def test_missing_columns_name_the_launch_that_makes_them(
    invoke: Invoke, make_structures: Callable[..., Any], tmp_path: Path
) -> None:
    crystal = make_structures(1)
    for kind, remedy in (("bands", "launch phonons SET"), ("elastic", "launch elastic SET")):
        found = invoke("plot", kind, crystal.pk, "-o", tmp_path / "x.svg", status=1)
        assert f"<{crystal.pk}> has no column" in found.output
        assert remedy in found.output
    found = invoke("plot", "symmetry", crystal.pk, "-o", tmp_path / "x.svg", status=1)
    assert "before and after a relaxation" in found.output
    found = invoke("plot", "histogram", crystal.pk, "--column", "n_atom", "-o", tmp_path / "x.svg", status=1)
    assert "did you mean n_atoms" in found.output
    assert "is written as" in invoke("plot", "funnel", crystal.pk, "-o", tmp_path / "x.gif", status=2).output


@pytest.fixture
def tables(aiida_profile: Any) -> tuple[TableData, TableData]:
    rng = np.random.default_rng(2)
    ids = np.array([f"a{i}" for i in range(40)])
    copper = np.diag([47.0] * 3 + [75.4] * 3)
    copper[:3, :3] += 121.4
    columns = {
        "energy": rng.normal(-20, 1, 40),
        "n_atoms": np.full(40, 2),
        "formula": np.array(["Mo2", "W2", "MoW", "MoTa"] * 10),
        "elastic_tensor": np.tile(copper, (40, 1, 1)),
        "elastic_tensor_ieee": np.tile(2 * copper, (40, 1, 1)),
        "initial_spacegroup_0_01": np.full(40, 229),
        "spacegroup_0_01": np.array([229, 139] * 20),
        "initial_spacegroup_0_1": np.full(40, 229),
        "spacegroup_0_1": np.full(40, 229),
    }
    other = columns | {"energy": columns["energy"] + 0.5, "dft": columns["energy"]}
    made = [TableData.from_table(Table(ids, one, {"energy": "eV"})) for one in (columns, other)]
    return made[0].store(), made[1].store()


def test_hull_histogram_elastic_and_symmetry_take_their_options(
    invoke: Invoke, tables: tuple[TableData, TableData], tmp_path: Path
) -> None:
    pk, path = tables[0].pk, tmp_path / "x.csv"
    invoke("plot", "hull", pk, "a2", "--system", "W-Mo", "-o", path)
    assert "x_W" in drawn(path).columns
    assert len(drawn(path)) == 30
    found = invoke("plot", "hull", pk, "--system", "Mo-Ta", "-o", path, "--force", status=1)
    assert "no phase of pure Ta" in found.output
    phases = TableData.from_table(
        Table(np.array(["r"]), {"formula": np.array(["Ta"]), "energy_per_atom": np.array([-11.0])})
    ).store()
    invoke("plot", "hull", pk, "--system", "Mo-Ta", "--references", phases.pk, "-o", path, "--force")
    assert "r" in set(drawn(path)["id"])
    invoke("plot", "histogram", pk, "a1", "--column", "energy", "--bins", 5, "-o", path, "--force")
    assert len(drawn(path)) == 5
    moduli = []
    for options in ((), ("--cell-axes",)):
        invoke("plot", "elastic", pk, "a0", *options, "-o", path, "--force")
        moduli.append(drawn(path)["youngs_modulus (GPa)"].max())
    assert moduli[0] == pytest.approx(2 * moduli[1])
    invoke("plot", "symmetry", pk, "--tolerance", 0.1, "-o", path, "--force")
    assert (
        "no tolerance 0.5 A"
        in invoke("plot", "symmetry", pk, "--tolerance", 0.5, "-o", path, "--force", status=1).output
    )


def test_parity_is_against_a_launch_a_file_or_another_column(
    invoke: Invoke, tables: tuple[TableData, TableData], tmp_path: Path
) -> None:
    one, other = (table.pk for table in tables)
    path = tmp_path / "x.csv"

    def difference(*arguments: Any) -> float:
        invoke("plot", "parity", *arguments, "-o", path, "--force")
        return float(drawn(path).filter(like="difference").to_numpy().mean())

    assert difference(one, "--with", other, "--column", "energy") == pytest.approx(0.5)
    assert difference(one, "--reference", other, "--column", "energy") == pytest.approx(-0.5)
    assert difference(one, "--with", other, "--column", "energy", "--per-atom") == pytest.approx(0.25)
    assert difference(one, "--reference", other, "--column", "energy=dft") == pytest.approx(0.0)
    csv = tmp_path / "dft.csv"
    pd.DataFrame({"name": ["a1", "a2"], "e": [0.0, 0.0]}).to_csv(csv, index=False)
    difference(one, "--reference", csv, "--id-column", "name", "--column", "energy=e")
    assert len(drawn(path)) == 2
    assert (
        "--reference PK|FILE"
        in invoke("plot", "parity", one, "--column", "energy", "-o", path, "--force", status=2).output
    )


def test_launch_has_a_funnel_and_a_course(
    invoke: Invoke, batch_inputs: Callable[..., Any], tmp_path: Path
) -> None:
    _, node = run_get_node(BatchWorkChain, lanes=2, job_size=1, **batch_inputs(["a", "max_steps-b", "c"]))
    invoke("plot", "funnel", node.pk, "-o", tmp_path / "funnel.csv")
    assert drawn(tmp_path / "funnel.csv")["outcome"].tolist() == ["went on", "max_steps"]
    assert set(drawn(tmp_path / "funnel.csv")["stage"]) == {"relax"}
    invoke("plot", "progress", node.pk, "-o", tmp_path / "progress.html")
    invoke("plot", "progress", node.pk, "-o", tmp_path / "progress.csv")
    rows = drawn(tmp_path / "progress.csv")
    assert sorted(rows.groupby("lane")["rows"].max()) == [1, 2]


def test_screening_names_all_its_stages(
    invoke: Invoke, batch_inputs: Callable[..., Any], tmp_path: Path
) -> None:
    inputs = batch_inputs(["a", "soft-b"])
    inputs.pop("task")
    stages = {"relax": {}, "symmetry": {}, "phonons": {"keep": "is_dynamically_stable"}}
    _, node = run_get_node(ScreeningWorkChain, stages=stages, **inputs)
    invoke("plot", "funnel", node.pk, "-o", tmp_path / "funnel.csv")
    frame = drawn(tmp_path / "funnel.csv")
    assert frame["stage"].drop_duplicates().tolist() == ["relax", "symmetry", "phonons"]
    assert frame["rows"].tolist() == [2, 2, 1, 1]
    invoke("plot", "dos", node.pk, "a", "-o", tmp_path / "dos.svg")
    invoke("plot", "progress", node.pk, "-o", tmp_path / "progress.csv")
    assert {"relax", "phonons"} <= set(drawn(tmp_path / "progress.csv")["stage"])


def test_legend_says_in_what_launches_differ(batch_inputs: Callable[..., Any]) -> None:
    from aiida_pet.plotting.sources import labels_of

    inputs = batch_inputs(2)
    nodes = [run_get_node(BatchWorkChain, parameters={"fmax": fmax}, **inputs)[1] for fmax in (0.01, 0.05)]
    assert labels_of(nodes) == ["fmax=0.01", "fmax=0.05"]
    same = [run_get_node(BatchWorkChain, **inputs)[1] for _ in range(2)]
    assert labels_of(same) == [f"<{node.pk}>" for node in same]
    assert labels_of([same[0], same[0]]) == [f"<{same[0].pk}> no. {i}" for i in (1, 2)]


@pytest.mark.parametrize("kind", ["eos", "expansion", "conductivity"])
def test_heat_is_drawn_by_a_command_for_each_kind(
    invoke: Invoke, aiida_profile: Any, tmp_path: Path, kind: str
) -> None:
    node = TableData.from_table(heat_table()).store()
    invoke("plot", kind, node.pk, "good", "-o", tmp_path / "out.svg")
    assert (tmp_path / "out.svg").read_bytes().startswith(b"<?xml")
    refused = invoke("plot", kind, node.pk, "failed", "-o", tmp_path / "no.svg", status=1).output
    assert "it ended as failed" in refused
