"""How the reader of each format is called with a file and the options of an import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiida_pet.io.ase_database import read_ase_database
from aiida_pet.io.cif import read_cif
from aiida_pet.io.crystal import Item
from aiida_pet.io.extxyz import read_extxyz
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.phonopy_yaml import read_phonopy_yaml
from aiida_pet.io.poscar import read_poscar
from aiida_pet.io.pymatgen_json import AseDatabaseFoundError, JsonOptions, read_json, read_json_lines
from aiida_pet.io.sources import Source
from aiida_pet.io.tabular import Row, read_csv, read_parquet

if TYPE_CHECKING:
    from aiida_pet.io.readers import ReadOptions


def extxyz(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the frames of an extxyz file."""
    with source.open() as text:
        yield from read_extxyz(text, options.id_key, left_out, options.results)


def cif(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the crystals of a CIF."""
    with source.open() as text:
        yield from read_cif(text, options.id_key, left_out)


def poscar(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the structures of a POSCAR, CONTCAR or XDATCAR."""
    with source.open() as text:
        yield from read_poscar(text, options.id_key, left_out)


def ase_database(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the rows of an ASE database."""
    with source.as_path() as path:
        json_form = path.suffix == ".json"
        yield from read_ase_database(path, json_form, options.id_key, left_out, options.results)


def json(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the crystals of a JSON file, which may be an ASE database."""
    try:
        with source.open() as text:
            yield from read_json(text, _json_options(options, left_out))
    except AseDatabaseFoundError:
        with source.as_path() as path:
            yield from read_ase_database(path, True, options.id_key, left_out, options.results)


def json_lines(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the crystal of each line."""
    with source.open() as text:
        yield from read_json_lines(text, _json_options(options, left_out))


def phonopy(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item]:
    """Yield the crystal of a yaml file of phonopy or phono3py."""
    with source.open() as text:
        yield from read_phonopy_yaml(text, left_out)


def csv(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item | Row]:
    """Yield the crystals or rows of a csv file."""
    yield from read_csv(source.open, _json_options(options, left_out))


def parquet(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item | Row]:
    """Yield the crystals or rows of a parquet file."""
    with source.as_path() as path:
        yield from read_parquet(path, _json_options(options, left_out))


def _json_options(options: ReadOptions, left_out: LeftOut) -> JsonOptions:
    return JsonOptions(options.id_key, options.structure_key, left_out, options.results)
