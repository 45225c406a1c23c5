"""What servers and data sets wrap around crystals: pages, errors, groups; and crystals that are not whole."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import ImportResult, ReadOptions, read_structures

STRUCTURE = Structure(Lattice.cubic(3.16), ["W", "Mo"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DICT = STRUCTURE.as_dict()
ATTRIBUTES = {
    "lattice_vectors": STRUCTURE.lattice.matrix.tolist(),
    "cartesian_site_positions": STRUCTURE.cart_coords.tolist(),
    "species_at_sites": ["W", "Mo"],
    "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in ("W", "Mo")],
    "nsites": 2,
    "dimension_types": [1, 1, 1],
    "structure_features": [],
}


def optimade(row_id: str, **changed: Any) -> dict[str, Any]:
    return {"id": row_id, "type": "structures", "attributes": copy.deepcopy(ATTRIBUTES) | changed}


def read(tmp_path: Path, content: Any, skip: bool = True) -> ImportResult:
    (tmp_path / "set.json").write_text(json.dumps(content))
    return read_structures(tmp_path / "set.json", ReadOptions(skip_invalid=skip))


def assert_ids(result: ImportResult, ids: list[str]) -> None:
    """The ids are these, and every crystal is :data:`STRUCTURE`."""
    assert result.table.ids.tolist() == ids
    assert result.problems == []
    np.testing.assert_allclose(result.table.cells, [STRUCTURE.lattice.matrix] * len(ids))
    np.testing.assert_allclose(result.table.positions, np.tile(STRUCTURE.cart_coords, (len(ids), 1)))
    assert result.table.numbers.tolist() == list(STRUCTURE.atomic_numbers) * len(ids)


# -- pages and answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told", [{"meta": {"more_data_available": True, "data_returned": 500}}, {"links": {"next": "page2"}}]
)
def test_page_of_an_answer_says_that_there_are_more(tmp_path: Path, told: dict[str, Any]) -> None:
    for content in ({"data": [optimade("0012")]} | told, told | {"data": [optimade("0012")]}):
        result = read(tmp_path, content)
        assert_ids(result, ["0012"])
        assert any("one page" in line and "links.next" in line for line in result.summary())
    whole = read(
        tmp_path, {"data": [optimade("a")], "meta": {"more_data_available": False}, "links": {"next": None}}
    )
    assert not whole.left_out.remarks


def test_error_of_a_server_is_told(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"set\.json: .*error instead of structures: 'bad filter'"):
        read(tmp_path, {"errors": [{"status": "400", "detail": "bad filter"}], "meta": {}}, skip=False)


def test_answers_of_several_servers_are_read(tmp_path: Path) -> None:
    answers = {"https://a": {"data": [optimade("a")], "meta": {}}, "https://b": {"data": [optimade("b")]}}
    assert_ids(read(tmp_path, {"structures": {"nelements=2": answers}}), ["a", "b"])
    assert_ids(read(tmp_path, {"results": {"docs": [{"id": "c", "structure": DICT}]}}), ["c"])


def test_texts_of_cif_in_an_old_answer_are_read(tmp_path: Path) -> None:
    records = [{"material_id": "mp-1", "cif": str(CifWriter(STRUCTURE))}]
    assert_ids(read(tmp_path, {"valid_response": True, "response": records}), ["mp-1"])


# -- groups ----------------------------------------------------------------------------------------------------------


def test_frames_under_any_name_of_the_structure_are_read(tmp_path: Path) -> None:
    frames = {"mp-1-0-0": {"crystal": DICT, "total_energy": -20.0}, "mp-1-0-1": {"crystal": DICT}}
    result = read(tmp_path, {"mp-1": frames, "mp-2": {"mp-2-0-0": {"crystal": DICT}}})
    assert_ids(result, ["mp-1-0-0", "mp-1-0-1", "mp-2-0-0"])
    assert result.table.columns["mp_id"].tolist() == ["mp-1", "mp-1", "mp-2"]


def test_several_lists_of_records_are_read_with_their_names(tmp_path: Path) -> None:
    result = read(
        tmp_path, {"mp-1": [{"structure": DICT}, {"structure": DICT}], "mp-2": [{"structure": DICT}]}
    )
    assert_ids(result, ["mp-1-0", "mp-1-1", "mp-2-0"])
    assert result.table.columns["group"].tolist() == ["mp-1", "mp-1", "mp-2"]
    named = {part: [{"id": f"{part}1", "structure": DICT}] for part in ("train", "test")}
    assert_ids(read(tmp_path, named), ["train1", "test1"])


# -- what is not whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nsites": 3}, "nsites is 3, but species_at_sites names 2"),
        ({"structure_features": ["implicit_atoms"]}, "not among its sites"),
        (
            {"assemblies": [{"sites_in_groups": [[0], [1]], "group_probabilities": [0.5, 0.5]}]},
            "alternatives",
        ),
        (
            {"species": [{"name": "W", "chemical_symbols": ["W", "Mo"], "concentration": [0.5, 0.5]}]},
            "disordered",
        ),
    ],
)
def test_optimade_that_is_not_the_crystal_is_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    result = read(tmp_path, {"data": [optimade("bad", **changed), optimade("good")]})
    assert result.table.ids.tolist() == ["good"]
    assert [problem.id for problem in result.problems] == ["bad"]
    assert message in result.problems[0].reason


def test_species_of_concentration_0_is_none(tmp_path: Path) -> None:
    species = copy.deepcopy(ATTRIBUTES["species"])
    species[0] |= {"chemical_symbols": ["W", "vacancy"], "concentration": [1.0, 0.0]}  # type: ignore[index]
    assert_ids(read(tmp_path, {"data": [optimade("a", species=species)]}), ["a"])


def test_values_of_sites_and_a_charge_are_told(tmp_path: Path) -> None:
    charged = Structure(
        STRUCTURE.lattice,
        STRUCTURE.species,
        STRUCTURE.frac_coords,
        charge=1,
        site_properties={"magmom": [1.0, 2.0]},
    ).as_dict()
    for content in ([{"id": "a", "structure": charged}], {"structure": {"a": charged}}):
        result = read(tmp_path, content)
        assert_ids(result, ["a"])
        assert result.table.columns["charge"].tolist() == [1]
        assert "left out of the set: magmom: 1 crystal" in result.summary()


@pytest.mark.parametrize(
    "record",
    [
        {"entry_id": "x", "unit_cell": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "sites": ["W @ 0 0 0"]},
        {"entry_id": "x", "archive": {"run": [{"system": [{"atoms": {"labels": ["W"]}}]}]}},
        {"auid": "x", "geometry": [3, 3, 3, 90, 90, 90], "positions_fractional": [[0, 0, 0]]},
    ],
)
def test_forms_that_are_not_read_say_which_are(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(StructureFileError, match=r"structure 'x'.*pymatgen Structures.*OPTIMADE interface"):
        read(tmp_path, {"data": [record]}, skip=False)


def test_missing_values_written_as_words_are_missing(tmp_path: Path) -> None:
    records = [
        {"jid": "JVASP-0012", "ehull": "na", "structure": DICT},
        {"jid": "b", "ehull": 0.1, "structure": DICT},
    ]
    result = read(tmp_path, records)
    np.testing.assert_array_equal(result.table.columns["ehull"], [np.nan, 0.1])
    assert "'na' in column 'ehull' is not a number, so it counts as missing: 1 crystal" in result.summary()


# -- columns as lists, and keys that are numbers ---------------------------------------------------------------------


def test_lists_before_the_crystals_are_columns_and_lists_behind_are_told(tmp_path: Path) -> None:
    for name in ("material_id", "ids"):
        result = read(tmp_path, {name: ["007", "b"], "gap": [1.0, 2.0], "structure": [DICT, DICT]})
        assert_ids(result, ["007", "b"])
        assert result.table.columns["gap"].tolist() == [1.0, 2.0]
    behind = read(tmp_path, {"structures": [DICT, DICT], "gap": [1.0, 2.0]})
    assert_ids(behind, ["set-0", "set-1"])
    assert any(
        "the list 'gap' comes after the crystals and was left out" in line for line in behind.summary()
    )


@pytest.mark.parametrize("record", [DICT, {"structure": DICT, "gap": 1.0}])
def test_keys_that_are_numbers_are_ids_unless_they_count_rows(tmp_path: Path, record: dict[str, Any]) -> None:
    assert_ids(read(tmp_path, {"000123": record, "53751": record}), ["000123", "53751"])
    assert_ids(read(tmp_path, {"0": record, "1": record}), ["set-0", "set-1"])
