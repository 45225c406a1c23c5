"""JSON as databases and pandas write it: Alexandria, MPtrj, OPTIMADE, JARVIS, thermo documents, every orient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.input_results import ResultOptions
from aiida_pet.io.readers import ReadOptions, read_structures

CASES = Path("/work/shared/cases")
STRUCTURES = [
    Structure(Lattice.cubic(3.15 + 0.01 * i), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for i, (a, b) in enumerate([("Mo", "Mo"), ("W", "W"), ("Mo", "W")])
]
DICTS = [structure.as_dict() for structure in STRUCTURES]
IDS = ["agm1", "agm2", "agm3"]


def read(path: Path, content: Any, **options: Any) -> Any:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_structures(path, ReadOptions(**options))


def assert_read(result: Any, ids: list[str], structures: list[Structure] = STRUCTURES) -> None:
    assert result.table.ids.tolist() == ids
    for row, structure in enumerate(structures):
        np.testing.assert_allclose(result.table.cells[row], structure.lattice.matrix, rtol=0, atol=1e-12)
        part = result.table.atoms_of(row)
        assert result.table.numbers[part].tolist() == list(structure.atomic_numbers)
        np.testing.assert_allclose(result.table.positions[part], structure.cart_coords, rtol=0, atol=1e-12)


def entry(index: int, **more: Any) -> dict[str, Any]:
    return {
        "@module": "pymatgen.core.entries", "@class": "ComputedStructureEntry", "energy": -20.0 - index,
        "composition": {"Mo": 2}, "correction": 0.0, "energy_adjustments": [], "structure": DICTS[index],
    } | more  # fmt: skip


def test_alexandria_takes_its_entries_and_mat_ids(tmp_path: Path) -> None:
    entries = [entry(i, entry_id=None, data={"mat_id": f"agm{i + 1}", "e_form": -0.1}) for i in range(3)]
    result = read(tmp_path / "a.json", {"entries": entries})
    assert_read(result, IDS)
    assert result.table.columns["energy"].tolist() == [-20, -21, -22]
    assert result.table.columns["e_form"].tolist() == [-0.1] * 3


@pytest.mark.parametrize("orient", ["columns", "index", "records", "split", "table"])
def test_every_orient_of_pandas_is_read(tmp_path: Path, orient: Any) -> None:
    frame = pd.DataFrame({"material_id": IDS, "structure": DICTS, "gap": [0.0, 1.5, None]})
    if orient == "table":  # pandas itself refuses dictionaries there
        schema = {"fields": [{"name": "index", "type": "integer"}], "primaryKey": ["index"]}
        rows = [
            {"index": i} | record for i, record in enumerate(frame.replace({np.nan: None}).to_dict("records"))
        ]
        (tmp_path / "f.json").write_text(json.dumps({"schema": schema, "data": rows}))
    else:
        frame.to_json(tmp_path / "f.json", orient=orient)
    table = read_structures(tmp_path / "f.json").table
    assert table.ids.tolist() == IDS
    np.testing.assert_array_equal(table.columns["gap"], [0, 1.5, np.nan])
    assert set(table.columns) == {"gap"}


def test_split_frames_are_read_with_and_without_an_index_in_any_order(tmp_path: Path) -> None:
    parts = {"columns": ["structure", "gap"], "data": [[d, 0.5] for d in DICTS]}
    assert_read(read(tmp_path / "f.json", parts), ["f-0", "f-1", "f-2"])
    assert_read(read(tmp_path / "f.json", parts | {"index": IDS}), IDS)
    assert_read(read(tmp_path / "f.json", {"index": IDS} | parts), IDS)
    assert_read(
        read(tmp_path / "f.json", {"index": IDS, "data": parts["data"], "columns": parts["columns"]}), IDS
    )
    assert_read(read(tmp_path / "f.json", {"index": [0, 1, 2]} | parts), ["f-0", "f-1", "f-2"])


def test_values_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"orient='values'.*write it with orient='split'"):
        read(tmp_path / "f.json", [["a", DICTS[0]], ["b", DICTS[1]]])


@pytest.mark.parametrize(
    "content", ['{"a": [1], "structure": 5}', '{"x": {"r1": 1}, "y": [1, 2]}', "17", '"x"']
)
def test_a_shape_is_not_told_as_a_mistake_of_syntax(tmp_path: Path, content: str) -> None:
    with pytest.raises(StructureFileError) as caught:
        read(tmp_path / "f.json", content)
    assert "not valid JSON" not in str(caught.value)


def test_mptrj_gives_frames_under_their_ids(tmp_path: Path) -> None:
    frames = {
        f"mp-{m}": {f"mp-{m}-0-{i}": {"structure": DICTS[i], "energy_per_atom": -1.0, "force": [[0, 0, 1]] * 2,
                                     "stress": [[1, 0, 0]] * 3} for i in range(3)}
        for m in (1, 2)
    }  # fmt: skip
    for content in (frames, {"mp-1": frames["mp-1"]}):
        result = read(tmp_path / "m.json", content)
        assert result.table.ids.tolist()[:3] == ["mp-1-0-0", "mp-1-0-1", "mp-1-0-2"]
        assert result.table.columns["mp_id"].tolist()[:3] == ["mp-1"] * 3
        assert set(result.table.atom_columns) == set()
        assert any("stress" in line and "force" in line for line in result.summary())
    mapped = read(tmp_path / "m.json", frames, results=ResultOptions({"force": "forces"}))
    np.testing.assert_array_equal(mapped.table.atom_columns["input_forces"][0], [0, 0, 1])


def test_mptrj_with_many_frames_of_one_material_is_read(tmp_path: Path) -> None:
    result = read(tmp_path / "m.json", {"mp-1": {f"mp-1-{i}": {"structure": DICTS[0]} for i in range(300)}})
    assert len(result.table) == 300
    assert result.table.ids[299] == "mp-1-299"


def optimade(index: int, **attributes: Any) -> dict[str, Any]:
    structure = STRUCTURES[index]
    symbols = [site.specie.symbol for site in structure]
    return {
        "id": IDS[index],
        "type": "structures",
        "attributes": {
            "lattice_vectors": structure.lattice.matrix.tolist(),
            "cartesian_site_positions": structure.cart_coords.tolist(),
            "species_at_sites": symbols,
            "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in set(symbols)],
            "dimension_types": [1, 1, 0],
            "_odbx_gap": 1.5,
        }
        | attributes,
    }


@pytest.mark.parametrize("before", [{}, {"links": {"next": None}, "meta": {"query": {}}}])
def test_optimade_is_read(tmp_path: Path, before: dict[str, Any]) -> None:
    result = read(tmp_path / "o.json", before | {"data": [optimade(i) for i in range(3)]} | {"included": []})
    assert_read(result, IDS)
    assert result.table.pbc.tolist() == [[True, True, False]] * 3
    assert result.table.columns["odbx_gap"].tolist() == [1.5] * 3
    assert_read(read(tmp_path / "o.json", before | {"data": optimade(0)}), IDS[:1], STRUCTURES[:1])


def test_optimade_json_lines_have_a_header(tmp_path: Path) -> None:
    lines = [
        {"x-optimade": {"meta": {"api_version": "1.2.0"}}},
        {"type": "info", "id": "structures", "properties": {}},
        *(optimade(i) for i in range(3)),
        {"type": "references", "id": "x", "attributes": {}},
    ]
    text = "\n".join(map(json.dumps, lines))
    for name in ("o.jsonl", "o.json"):
        assert_read(read(tmp_path / name, text), IDS)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {
                "species": [
                    {"name": s, "chemical_symbols": ["Mo", "W"], "concentration": [0.5, 0.5]}
                    for s in ("Mo", "W")
                ]
            },
            "site 0 is disordered",
        ),
        (
            {
                "species": [
                    {"name": s, "chemical_symbols": ["Mo", "vacancy"], "concentration": [0.9, 0.1]}
                    for s in "W"
                ]
            },
            "species",
        ),
        ({"cartesian_site_positions": None}, "no cartesian_site_positions"),
        ({"lattice_vectors": [[1, 2, 3]]}, "'lattice_vectors' has shape"),
        ({"dimension_types": [1, 1]}, r"dimension_types is \[1, 1\]: expected three numbers, each 0 or 1"),
        ({"dimension_types": [1, 2, 1]}, r"dimension_types is \[1, 2, 1\]"),
        ({"dimension_types": "110"}, "dimension_types is 110"),
        ({"species_at_sites": ["Mo", "Qq"], "species": []}, "'Qq': expected a chemical element"),
    ],
)
def test_optimade_is_refused_by_id(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    content = {"data": [optimade(0), optimade(1, **attributes), optimade(2)]}
    with pytest.raises(StructureFileError, match=f"agm2.*{reason}"):
        read(tmp_path / "o.json", content)
    result = read(tmp_path / "o.json", content, skip_invalid=True)
    assert result.table.ids.tolist() == ["agm1", "agm3"]


@pytest.mark.parametrize("cartesian", [True, False])
def test_jarvis_records_are_read(tmp_path: Path, cartesian: bool) -> None:
    records = [
        {
            "jid": row_id,
            "atoms": {
                "lattice_mat": s.lattice.matrix.tolist(),
                "coords": (s.cart_coords if cartesian else s.frac_coords).tolist(),
                "elements": [site.specie.symbol + " " for site in s],
                "cartesian": cartesian,
                "props": ["", ""],
            },
            "optb88vdw_bandgap": "na",
        }
        for row_id, s in zip(IDS, STRUCTURES, strict=True)
    ]
    assert_read(read(tmp_path / "j.json", records), IDS)


def test_thermo_documents_say_which_entry_they_are_about_or_the_option_does(tmp_path: Path) -> None:
    entries = {"GGA": entry(0), "R2SCAN": entry(1)}
    document = {"material_id": "mp-1", "thermo_type": "GGA_GGA+U_R2SCAN", "entries": entries}
    stated = read(tmp_path / "t.json", [document | {"energy_type": "R2SCAN"}]).table
    assert (stated.columns["energy"][0], stated.columns["entry_type"][0]) == (-21, "R2SCAN")
    with pytest.raises(
        StructureFileError, match=r"entries\.GGA, entries\.R2SCAN.*structure_key='entries\.GGA'"
    ):
        read(tmp_path / "t.json", [document])
    chosen = read(tmp_path / "t.json", [document], structure_key="entries.GGA").table
    assert (chosen.ids[0], chosen.columns["energy"][0]) == ("mp-1", -20)
    only = read(tmp_path / "t.json", [document | {"entries": {"GGA": entry(0)}}]).table
    assert only.columns["entry_type"].tolist() == ["GGA"]


@pytest.mark.parametrize("form", ["cif", "poscar", "json"])
def test_structures_as_text_are_read(tmp_path: Path, form: str) -> None:
    made = {"cif": lambda s: str(CifWriter(s)), "poscar": lambda s: Poscar(s).get_str(significant_figures=16),
            "json": lambda s: json.dumps(s.as_dict())}[form]  # fmt: skip
    records = [{"id": i, form: made(s), "gap": 1.0} for i, s in zip(IDS, STRUCTURES, strict=True)]
    for content in (records, pd.DataFrame(records).to_json(), pd.DataFrame(records).to_json(orient="split")):
        assert_read(read(tmp_path / "s.json", content), IDS)
    damaged = [*records[:2], records[2] | {form: records[2][form][: len(records[2][form]) // 2]}]
    result = read(tmp_path / "s.json", damaged, skip_invalid=True)
    assert result.table.ids.tolist() == IDS[:2]
    assert [problem.id for problem in result.problems] == ["agm3"]


@pytest.mark.parametrize("written", ["1e3", "1.10", "00540e0012", "123456789012345678901234567890", "-0.0"])
def test_numbers_as_ids_are_the_text_in_the_file(tmp_path: Path, written: str) -> None:
    if written.startswith("00"):  # no number of JSON
        written = "540e0012"
    record = json.dumps({"structure": DICTS[0]})
    one = f'{{"id": {written}, {record[1:]}'
    frame = f'{{"id": {{"0": {written}}}, "structure": {{"0": {json.dumps(DICTS[0])}}}}}'
    split = f'{{"columns": ["id", "structure"], "data": [[{written}, {json.dumps(DICTS[0])}]]}}'
    for name, content in (("a.json", f"[{one}]"), ("a.jsonl", one), ("a.json", frame), ("a.json", split)):
        assert read(tmp_path / name, content).table.ids.tolist() == [written], content[:30]


def test_selective_dynamics_are_held_along_lattice_vectors(tmp_path: Path) -> None:
    slab = STRUCTURES[0].copy(site_properties={"selective_dynamics": [[False] * 3, [True, True, False]]})
    table = read(
        tmp_path / "s.json", [{"id": "a", "structure": slab.as_dict()}, {"id": "b", "structure": DICTS[1]}]
    ).table
    held = table.atom_columns["fixed_scaled"]
    assert held.tolist() == [[True] * 3, [False, False, True], [False] * 3, [False] * 3]


def test_selective_dynamics_that_hold_nothing_make_no_column(tmp_path: Path) -> None:
    slab = STRUCTURES[0].copy(site_properties={"selective_dynamics": [[True] * 3] * 2})
    assert read(tmp_path / "s.json", slab.as_dict()).table.atom_columns == {}


def test_entries_without_structures_are_called_what_they_are(tmp_path: Path) -> None:
    raw = {"@class": "ComputedEntry", "energy": -10.8, "composition": {"Mo": 1.0}, "entry_id": "mp-129-GGA"}
    with pytest.raises(StructureFileError, match=r"mp-129-GGA.*without a structure.*reference of a hull"):
        read(tmp_path / "e.json", [raw])


def test_advice_on_several_structures_works_when_followed(tmp_path: Path) -> None:
    record = {"id": "a", "first": DICTS[0], "last": DICTS[1]}
    for content in (
        [record],
        pd.DataFrame([record]).to_json(),
        pd.DataFrame([record]).to_json(orient="split"),
    ):
        with pytest.raises(StructureFileError, match="structure_key='first'"):
            read(tmp_path / "s.json", content)
        assert_read(read(tmp_path / "s.json", content, structure_key="last"), ["a"], STRUCTURES[1:2])


def test_python_text_of_a_dictionary_is_read_and_never_run(tmp_path: Path) -> None:
    assert_read(read(tmp_path / "s.json", [{"id": "a", "structure": str(DICTS[0])}]), ["a"], STRUCTURES[:1])
    evil = str(DICTS[0]).replace("0.0", "__import__('os').getpid()", 1)
    with pytest.raises(StructureFileError, match="not valid JSON"):
        read(tmp_path / "s.json", [{"id": "a", "structure": evil}])


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("04-alexandria/alexandria_000.json.bz2", "agm000031", 4),
        ("05-matminer-split/split.json", "agm000031", 4),
        ("05-matminer-split/table.json", "agm000031", 4),
        ("06-mptrj/mptrj.json", "mp-91-0-0", 5),
        ("07-optimade/optimade.json", "agm000031", 4),
    ],
)
def test_cases_are_read(name: str, first: str, count: int) -> None:
    table = read_structures(CASES / name).table
    assert (table.ids[0], len(table)) == (first, count)
    assert table.volumes()[0] == pytest.approx(
        bulk("Mo", a=float(table.cells[0][0, 0]), cubic=True).cell.volume
    )


@pytest.mark.parametrize(
    "before", [{"version": 1}, {"about": {"a": 1}}, {"about": {"a": 1}, "elements": ["Mo", "W"]}]
)
def test_a_list_of_records_is_found_behind_other_fields(tmp_path: Path, before: dict[str, Any]) -> None:
    records = [{"id": i, "structure": d} for i, d in zip(IDS, DICTS, strict=True)]
    assert_read(read(tmp_path / "s.json", before | {"crystals": records, "n": 3}), IDS)
