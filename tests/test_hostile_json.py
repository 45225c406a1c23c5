"""JSON files that name a module wherever a file can: it must not be imported, as monty and pymatgen would.

A file is read as if the names were not there, or refused with file and id.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from aiida_pet.analysis.hull.reference_files import ReferenceFileError, read_references
from aiida_pet.io.readers import ReadOptions, read_structures

Way = tuple[str | int, ...]


@dataclass
class Trap:
    """A module that must not be imported.

    :ivar names: what a file calls it.
    :ivar mark: is there once it was imported.
    """

    names: dict[str, str]
    mark: Path


# What of an entry's dictionary a trap is put into: the way to it, the last step of which may be new.
OF_SITE: list[Way] = [
    ("structure", "sites", 0, "properties", "magmom"),
    ("structure", "sites", 0, "properties"),
    ("structure", "sites", 0, "label"),
    ("structure", "sites", 0, "abc"),
    ("structure", "sites", 0),
]
OF_SPECIES: list[Way] = [
    ("structure", "sites", 0, "species", 0, "properties"),
    ("structure", "sites", 0, "species", 0, "spin"),
    ("structure", "sites", 0, "species", 0, "oxidation_state"),
    ("structure", "sites", 0, "species", 0, "element"),
    ("structure", "sites", 0, "species", 0, "occu"),
]
OF_STRUCTURE: list[Way] = [
    ("structure", "properties", "any"),
    ("structure", "properties"),
    ("structure", "charge"),
    ("structure", "lattice"),
    ("structure", "lattice", "a"),
    ("structure", "lattice", "pbc"),
    ("structure", "lattice", "matrix"),
    ("structure",),
]
OF_ENTRY: list[Way] = [
    ("data", "any"),
    ("data", "oxide_type"),
    ("data", "oxidation_states"),
    ("data",),
    ("parameters", "any"),
    ("parameters", "run_type"),
    ("parameters", "hubbards"),
    ("parameters",),
    ("energy_adjustments", 0),
    ("energy_adjustments",),
    ("composition",),
    ("energy",),
    ("correction",),
]
EVERYWHERE: list[Way] = [*OF_SITE, *OF_SPECIES, *OF_STRUCTURE, *OF_ENTRY, ()]
# What nobody reads costs no crystal and changes no correction.
UNREAD: list[Way] = [OF_SITE[0], OF_SPECIES[0], *OF_STRUCTURE[:2], ("data", "any"), ("parameters", "any")]


@pytest.fixture(params=["@class", "@callable"])
def trap(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """A module of its own for each test, as monty remembers what it has looked up."""
    mark, module = tmp_path / "imported", f"named_in_a_file_{uuid.uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    return Trap({"@module": module, request.param: "Any"}, mark)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def written(content: Any) -> Path:
        path = tmp_path / "foreign.json"
        path.write_text(json.dumps(content))
        return path

    return written


def entry(by_parameters: bool) -> dict[str, Any]:
    """The dictionary of FeO, corrected by MP2020; its lattice as lengths and angles is what only pymatgen reads."""
    structure = Structure(
        Lattice.cubic(4.2), ["Fe2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]], site_properties={"magmom": [4, 0]}
    )
    parameters = {"run_type": "GGA+U", "hubbards": {"Fe": 5.3, "O": 0.0}}
    raw: dict[str, Any] = ComputedStructureEntry(
        structure, -12.0, correction=-1.0, parameters=parameters, data={"gap": 1.0}, entry_id="mp-1"
    ).as_dict()
    if by_parameters:
        del raw["structure"]["lattice"]["matrix"]
    return raw


def with_trap(raw: Any, way: Way, trap: Trap) -> Any:
    """Return ``raw`` with the names of ``trap`` at the end of ``way``, added to what is there if that is an object."""
    if not way:
        return raw | trap.names if isinstance(raw, dict) else trap.names
    step = way[0]
    if isinstance(raw, list):
        return [with_trap(value, way[1:], trap) if i == step else value for i, value in enumerate(raw)]
    return raw | {step: with_trap(raw.get(step), way[1:], trap)}


def names_of(ways: list[Way]) -> list[str]:
    return [".".join(map(str, way)) or "itself" for way in ways]


def test_trap_springs_where_a_file_is_decoded(trap: Trap) -> None:
    raw = with_trap(entry(False), ("structure", "sites", 0, "properties", "magmom"), trap)
    with contextlib.suppress(AttributeError):  # the module holds no such class
        Structure.from_dict(raw["structure"])
    assert trap.mark.exists()


@pytest.mark.parametrize("by_parameters", [False, True], ids=["matrix", "parameters"])
@pytest.mark.parametrize("way", EVERYWHERE, ids=names_of(EVERYWHERE))
def test_structure_file_imports_no_module(trap: Trap, write: Any, way: Way, by_parameters: bool) -> None:
    good = entry(by_parameters) | {"entry_id": "mp-2"}
    path = write([with_trap(entry(by_parameters), way, trap), good])
    found = read_structures(path, ReadOptions(skip_invalid=True))
    assert not trap.mark.exists()
    assert sorted([*found.table.ids, *(problem.id for problem in found.problems)]) == ["mp-1", "mp-2"]
    assert {problem.file for problem in found.problems} <= {str(path)}
    for atoms in found.table.iter_ase():
        assert atoms.numbers.tolist() == [26, 8]
        np.testing.assert_allclose(atoms.cell, 4.2 * np.eye(3), rtol=0, atol=1e-12)
    if way in UNREAD:
        assert not found.problems


@pytest.mark.parametrize("energies", ["corrected", "mp2020"])
@pytest.mark.parametrize("way", EVERYWHERE, ids=names_of(EVERYWHERE))
def test_reference_file_imports_no_module(trap: Trap, write: Any, way: Way, energies: str) -> None:
    honest = read_references(write([entry(False)]), energies=energies)
    path = write([with_trap(entry(False), way, trap)])
    found, refusal = None, ""
    try:
        found = read_references(path, energies=energies)
    except ReferenceFileError as error:
        refusal = str(error)
    assert not trap.mark.exists()
    if found is None:
        # a scheme that rejects the only entry leaves none
        assert refusal.startswith((f"{path}: entry mp-1", f"{path}: no entries in it"))
    else:
        assert found.ids.tolist() == ["mp-1"]
    if way in UNREAD:
        assert found is not None
        assert found.energy_per_atom.tolist() == honest.energy_per_atom.tolist()
        assert found.energy_per_atom[0] < -12.0 / 2
