"""StructureSetData: N crystals as one node, in flat arrays, with columns per row and per atom.

Beside the arrays of :class:`~aiida_pet.data.table.TableData` these are stored: ``numbers`` (A,),
``positions`` (A, 3) A, ``cells`` (N, 3, 3) A, ``pbc`` (N, 3), ``offsets`` (N + 1,), and ``atoms_<name>`` (A,
...) for columns per atom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import StructureData
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike

from aiida_pet.data.description import check_name
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import within
from aiida_pet.tables.table import Array, Table

if TYPE_CHECKING:
    from aiida_pet.io.crystal import ImportProblem

_GEOMETRY = ("numbers", "positions", "cells", "pbc", "offsets")
_ATOMS = "atoms_"


class StructureSetData(TableData):
    """N crystals, each with a unique id (a string).

    Attributes in addition to the attributes of a table: ``elements`` (symbols, by atomic number), ``n_atoms`` of all
    crystals together, ``sizes`` {min, max, mean} of atoms per crystal, ``atom_columns`` {name: unit or ""}.

    .. code-block:: python

        from aiida_pet.data import StructureSetData

        crystals = StructureSetData.from_file("alloys.xyz", label="alloys").store()
        print(len(crystals), crystals.elements)
        atoms = crystals.get_ase("MoTa-0013")
        frame = crystals.to_dataframe()
    """

    _calculated: dict[str, Array] | None

    # -- in --------------------------------------------------------------------------------------------------

    def __init__(self, crystals: Any = None, **kwargs: Any) -> None:
        """Return an unstored node of ``crystals``, what :meth:`from_iterator` takes; empty without any.

        :param kwargs: further keywords of the node, such as ``label``.
        """
        super().__init__(**kwargs)
        if crystals is not None:
            from aiida_pet.io.from_python import table_of_crystals  # noqa: PLC0415 - ase.constraints

            self.set_table(table_of_crystals(crystals))

    @classmethod
    def from_iterator(
        cls,
        structures: Any,
        columns: Mapping[str, ArrayLike] | None = None,
        units: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return an unstored node from crystals in Python, which are read one at a time.

        Held atoms and results of a calculator become columns (:mod:`aiida_pet.io.from_python`).

        :param structures: an iterable of ASE Atoms, pymatgen Structures or ComputedStructureEntries, StructureData, or
            pairs (id, one of these); or a mapping id -> one of these. A crystal without an id gets one.
        :param columns: name -> array of N values.
        :param units: name -> unit of a column.
        :raises DuplicateIdError: if an id occurs more than once.
        :raises TypeError: if an item is not a crystal; the message has its place and type.
        :raises ValueError: if there are no crystals, if a crystal cannot be stored, or if a column has another number
            of rows.

        .. code-block:: python

            from ase.build import bulk

            from aiida_pet.data import StructureSetData

            crystals = StructureSetData.from_iterator({"Mo": bulk("Mo"), "W": bulk("W")}, {"group": ["a", "b"]})
        """
        from aiida_pet.io.from_python import table_of_crystals  # noqa: PLC0415 - ase.constraints

        table = table_of_crystals(structures)
        for name, values in (columns or {}).items():
            table.set_column(name, values)
        table.units = {
            name: unit for name, unit in table.units.items() if name not in (columns or {})
        } | dict(units or {})
        return cls.from_table(table, **kwargs)

    @classmethod
    def from_file(
        cls,
        paths: str | Path | Iterable[str | Path],
        *,
        skip_invalid: bool = False,
        problems: list[ImportProblem] | None = None,
        summary: list[str] | None = None,
        file_format: str | None = None,
        id_key: str | None = None,
        structure_key: str | None = None,
        column_map: Mapping[str, str] | None = None,
        virial_sign: str | None = None,
        stress_unit: str = "eV/A^3",
        stress_sign: str = "plus",
        **kwargs: Any,
    ) -> Self:
        """Return an unstored node of all structures in files, archives and folders.

        docs/formats.md says which formats can be read, and where ids come from.

        :param paths: one path or several paths.
        :param skip_invalid: if a structure or file is broken, import the rest instead of stopping.
        :param problems: list to which the broken structures are appended, if ``skip_invalid``.
        :param summary: list to which sentences about fields that were left out, and about equal crystals, are appended.
        :param file_format: format of all files; with None the name of each file decides.
        :param id_key: field that holds the id, instead of the usual fields; empty to number the structures.
        :param structure_key: field that holds the structure, if JSON records have several structures.
        :param column_map: name of a field of extxyz or an ASE database -> ``energy``, ``free_energy``, ``forces``,
            ``stress`` or ``virial``, or the name of the column that it becomes.
        :param virial_sign: ``minus`` or ``plus`` reads virials (eV) as stress = -virial or virial / volume.
        :param stress_unit: unit of stresses in the files: ``eV/A^3``, ``GPa`` or ``kbar``.
        :param stress_sign: ``minus`` if compression is positive in the files.
        :raises StructureFileError: at the first broken structure (unless ``skip_invalid``), or if there are no
            structures.
        :raises DuplicateImportError: if structures have the same id; the message lists ids and files.

        .. code-block:: python

            from aiida_pet.data import StructureSetData

            problems = []
            crystals = StructureSetData.from_file(["alloys.xyz", "poscars"], skip_invalid=True, problems=problems)
        """
        from aiida_pet.io.readers import ReadOptions, read_structures  # noqa: PLC0415 - ase.io, ase.db, scipy

        options = ReadOptions.of(
            file_format,
            id_key,
            structure_key,
            skip_invalid,
            column_map=dict(column_map or {}),
            virial_sign=virial_sign,
            stress_unit=stress_unit,
            stress_sign=stress_sign,
        )
        result = read_structures(paths, options)
        if problems is not None:
            problems.extend(result.problems)
        if summary is not None:
            summary.extend(result.summary())
        return cls.from_table(result.table, **kwargs)

    def set_table(self, table: Table) -> None:
        """Set the crystals of ``table`` as the content, replacing the earlier content.

        :raises ModificationNotAllowed: if the node is stored.
        :raises ValueError: if it is empty or not a StructureTable, or a column's name cannot stand in a
            query.
        """
        if not isinstance(table, StructureTable):
            raise ValueError(f"a {type(self).__name__} needs a StructureTable, got {type(table).__name__}")
        for name in table.atom_columns:
            check_name(name)
        super().set_table(table)

    def _arrays_of(self, table: Table) -> dict[str, Array]:
        arrays = super()._arrays_of(table)
        if isinstance(table, StructureTable):
            arrays |= {name: getattr(table, name) for name in _GEOMETRY}
            arrays |= {_ATOMS + name: values for name, values in table.atom_columns.items()}
        return arrays

    def _describe(self, names: Sequence[str], units: Mapping[str, str], get: Callable[[str], Array]) -> None:
        super()._describe(names, units, get)
        if "numbers" not in names:
            return
        sizes = np.diff(get("offsets"))
        atom_columns = [name.removeprefix(_ATOMS) for name in names if name.startswith(_ATOMS)]
        attributes = {
            "elements": [chemical_symbols[number] for number in np.unique(get("numbers")).tolist()],
            "n_atoms": int(sizes.sum()),
            "sizes": {"min": int(sizes.min()), "max": int(sizes.max()), "mean": float(sizes.mean())},
            "atom_columns": {name: units.get(name, "") for name in atom_columns},
        }
        for key, value in attributes.items():
            self.base.attributes.set(key, value)

    @classmethod
    def _offsets_of(cls, name: str) -> str | None:
        if name in ("numbers", "positions", "offsets") or name.startswith(_ATOMS):
            return "offsets"
        return super()._offsets_of(name)

    def _validate(self) -> bool:
        super()._validate()
        n_atoms = self.base.attributes.get("n_atoms", None)
        names = [
            "numbers",
            "positions",
            *(_ATOMS + name for name in self.base.attributes.get("atom_columns", {})),
        ]
        for name in names:
            shape = self.base.attributes.get(f"{self.array_prefix}{name}", None)
            if not shape or shape[0] != n_atoms:
                if shape == [0] and n_atoms == 0:
                    continue
                raise ValidationError(f"array {name!r} must have {n_atoms} atoms, got shape {shape}")
        return True

    # -- out -------------------------------------------------------------------------------------------------

    @property
    def elements(self) -> list[str]:
        """Symbols of all elements in the set, by atomic number."""
        return list(self.base.attributes.get("elements"))

    def atom_column(self, name: str) -> Array:
        """Return the column per atom ``name``, (A, ...), read-only; the atoms of row i are ``offsets[i]:offsets[i +
        1]``.

        :raises KeyError: if there is no such column; the message lists the columns.
        """
        known = self.base.attributes.get("atom_columns", {})
        if name not in known:
            raise KeyError(f"no column per atom {name!r}, there are: {', '.join(known) or 'none'}")
        return self._array(_ATOMS + name)

    def atom_column_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes (A, ...) of the columns per atom by name, without reading any."""
        return {name: self.get_shape(_ATOMS + name) for name in self.base.attributes.get("atom_columns", {})}

    def atom_unit(self, name: str) -> str:
        """Return the unit of the column per atom ``name``, empty if it has none."""
        return str(self.base.attributes.get("atom_columns", {}).get(name, ""))

    def geometry(self) -> dict[str, Any]:
        """Return numbers, positions, cells, pbc and offsets by name, read-only and shared with the node."""
        return {name: self._array(name) for name in _GEOMETRY}

    def to_table(self) -> StructureTable:
        """Return all crystals; the arrays are read-only and shared with the node."""
        atom_columns = self.base.attributes.get("atom_columns", {})
        return StructureTable(
            ids=self.ids,
            columns=self._columns(),
            ragged=self._ragged(),
            units=self._units(),
            **self.geometry(),
            atom_columns={name: self.atom_column(name) for name in atom_columns},
        )

    def _units(self) -> dict[str, str]:
        atom_columns = self.base.attributes.get("atom_columns", {})
        return super()._units() | {name: unit for name, unit in atom_columns.items() if unit}

    def select(self, ids: Any) -> StructureTable:
        """Return the crystals ``ids``, in that order.

        :raises KeyError: if an id is missing; the message lists missing ids.
        """
        return self.to_table().select(ids)

    def get_ase(self, row_id: str) -> Atoms:
        """Return crystal ``row_id`` as ASE atoms (a copy); ``info["id"]`` is its id.

        If the set has energy (eV), forces (eV/A) and stress (eV/A^3), they are in a calculator of the atoms.

        :raises KeyError: if there is no such row.
        """
        return self._ase_at(self.place(row_id))

    def get_pymatgen(self, row_id: str) -> Any:
        """Return crystal ``row_id`` as a pymatgen Structure, or as a Molecule if it is not periodic.

        :raises KeyError: if there is no such row.
        """
        from pymatgen.io.ase import AseAtomsAdaptor  # noqa: PLC0415 - pymatgen takes seconds to import

        atoms = self._ase_at(self.place(row_id))
        atoms.calc = None
        adaptor = AseAtomsAdaptor()
        return adaptor.get_structure(atoms) if atoms.pbc.any() else adaptor.get_molecule(atoms)

    def get_structure(self, row_id: str) -> StructureData:
        """Return crystal ``row_id`` as an unstored StructureData, labelled by its id.

        :raises KeyError: if there is no such row.

        .. code-block:: python

            from aiida import orm

            structure = orm.load_node(label="alloys").get_structure("MoTa-0013").store()  # for PwRelaxWorkChain
        """
        atoms = self._ase_at(self.place(row_id))
        node = StructureData(ase=atoms, label=row_id)
        if self.is_stored:
            node.base.extras.set("taken_from", {"uuid": self.uuid, "id": row_id})
        return node

    def iter_ase(self) -> Iterator[Atoms]:
        """Yield each crystal as ASE atoms, one at a time, in order."""
        for index in range(len(self)):
            yield self._ase_at(index)

    def _ase_at(self, index: int) -> Atoms:
        offsets = self._array("offsets")
        part = slice(int(offsets[index]), int(offsets[index + 1]))
        atoms = Atoms(
            numbers=self._array("numbers")[part],
            positions=self._array("positions")[part],
            cell=self._array("cells")[index],
            pbc=self._array("pbc")[index],
            info={"id": str(self.ids[index])},
        )
        results = self._results_at(index, part)
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms

    def _row_at(self, place: int) -> Atoms:
        return self._ase_at(place)

    def _results_at(self, index: int, part: slice) -> dict[str, Any]:
        """Return what ASE's calculators call energy, forces and stress of a row, as far as it has them."""
        if self._calculated is None:
            self._calculated = self._read_calculated()
        of_row = {
            name: values[part if name == "forces" else index] for name, values in self._calculated.items()
        }
        return {name: value for name, value in of_row.items() if np.isfinite(value).all()}

    def _read_calculated(self) -> dict[str, Array]:
        columns, per_atom = (self.base.attributes.get(key, {}) for key in ("columns", "atom_columns"))
        units = (("energy", "eV", 1), ("stress", "eV/A^3", 2))
        found = {name: self.column(name) for name, unit, _ in units if columns.get(name) == unit}
        found = {name: found[name] for name, _, dim in units if name in found and found[name].ndim == dim}
        return found | ({"forces": self.atom_column("forces")} if per_atom.get("forces") == "eV/A" else {})

    def _clear(self) -> None:
        super()._clear()
        self._calculated = None

    def row_sizes(self) -> Array:
        """Return (N,) atoms of each row."""
        return np.diff(self._array("offsets"))

    def count_element(self, symbol: str) -> Array:
        """Return (N,) atoms of element ``symbol`` in each row.

        :raises KeyError: if there is no such element.
        """
        places = np.flatnonzero(self._array("numbers") == atomic_numbers[symbol])
        rows = np.searchsorted(self._array("offsets"), places, side="right") - 1
        return np.bincount(rows, minlength=len(self))

    def formulas(self, places: Array | None = None) -> Array:
        """Return (N,) chemical formulas of the whole cells, elements in alphabetical order: ``Mo3Ta``.

        :param places: positions of the rows; all rows if not given.
        """
        from aiida_pet.tables.frame import formulas  # noqa: PLC0415 - pandas takes a second to import

        numbers, offsets = self._array("numbers"), self._array("offsets")
        if places is not None:
            sizes = np.diff(offsets)[places]
            numbers, offsets = numbers[within(offsets, places)], np.concatenate([[0], np.cumsum(sizes)])
        return formulas(numbers, offsets)
