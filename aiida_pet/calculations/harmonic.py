"""Calcfunctions from the force constants of a row of phonon results: bands, densities, thermal properties, modes.

Everything belongs to the primitive cell of the row, in the orientation of the row; q-points are in its reciprocal
basis, and frequencies in THz, imaginary ones negative. The parameters are described in
:mod:`aiida_pet.calculations.harmonic_parameters`.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.mesh import MeshGRGridFallbackWarning

from aiida_pet.calculations.band_paths import ChosenPath, choose_path, symmetry_remarks
from aiida_pet.calculations.harmonic_parameters import (
    BandsParameters,
    DosParameters,
    HarmonicParameters,
    MeshParameters,
    ModesParameters,
    ThermalParameters,
    read_parameters,
)
from aiida_pet.calculations.records import scalar_columns
from aiida_pet.crystals.phonons.bands import band_structure, projected_dos
from aiida_pet.crystals.phonons.harmonic import harmonic_properties, phonopy_yaml, thermal_temperatures
from aiida_pet.crystals.phonons.modes import modes_at
from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.data.structures import StructureSetData
from aiida_pet.tables.crystals import StructureTable

PARAMS_FILE = "phonopy_params.yaml"
_REACH = 5.0  # Gaussians are followed this many standard deviations beyond the outermost modes


@calcfunction
def phonon_bands(
    results: StructureSetData,
    row_id: orm.Str,
    parameters: orm.Dict,
    parent: orm.StructureData | None = None,
    start: orm.StructureData | None = None,
) -> orm.BandsData:
    """Return the bands of row ``row_id`` along the path that :mod:`aiida_pet.calculations.band_paths` chooses.

    :param parent: structure whose path is wanted.
    :param start: the crystal before its relaxation, whose path is taken if the relaxation changed the space group.
    :return: THz; attributes ``path_spacegroup``, ``path_symprec`` (A), ``path_of`` (crystal, parent or start),
        ``spacegroup`` (the crystal's own at that tolerance) and ``warning``, empty if there is nothing to say.
    :raises OtherPathError: if the relaxation changed the space group, and the path of the start cannot be had.
    :raises ValueError: if the row has no force constants, or the lattice of ``parent`` is another.
    """
    given = read_parameters(BandsParameters, parameters)
    row, phonopy = _restored(results, row_id.value, given)
    chosen = choose_path(row, phonopy, given, parent=_atoms(parent), start=_atoms(start))
    bands = band_structure(phonopy, chosen.path, spacing=given.spacing)
    node = orm.BandsData()
    node.set_cell(phonopy.primitive.cell)  # type: ignore[no-untyped-call]
    node.set_kpoints(bands.qpoints, labels=bands.labels)  # type: ignore[no-untyped-call]
    node.set_bands(bands.frequencies, units="THz")  # type: ignore[no-untyped-call]
    _describe(
        node,
        path_spacegroup=chosen.path.spacegroup,
        path_symprec=given.path_symprec,
        path_of=chosen.of.value,
        spacegroup=chosen.spacegroup,
        warning="; ".join(chosen.warnings),
    )
    return node


@calcfunction
def phonon_dos(results: StructureSetData, row_id: orm.Str, parameters: orm.Dict) -> orm.XyData:
    """Return the density of states of row ``row_id``: ``total``, and the density of each atom of the primitive cell.

    :return: 1/THz over THz; atoms are called after place and element, ``0_Mo``; the integral of ``total`` is 3 x
        ``n_atoms`` (attribute), the integral of an atom is 3.
    :raises ValueError: if the row has no force constants.
    """
    given = read_parameters(DosParameters, parameters)
    _, phonopy = _restored(results, row_id.value, given)
    low, high = given.frequency_range or _all_frequencies(phonopy, given)
    dos = projected_dos(phonopy, np.linspace(low, high, given.n_points), mesh=given.mesh, sigma=given.sigma)
    names = [f"{place}_{chemical_symbols[number]}" for place, number in enumerate(phonopy.primitive.numbers)]
    node = orm.XyData()
    node.set_x(dos.frequencies, "frequency", "THz")
    node.set_y([dos.total, *dos.atoms], ["total", *names], ["1/THz"] * (1 + len(names)))
    _describe(node, n_atoms=len(names), mesh=given.mesh, sigma=given.sigma)
    return node


@calcfunction
def phonon_thermal(results: StructureSetData, row_id: orm.Str, parameters: orm.Dict) -> orm.XyData:
    """Return free energy, entropy and heat capacity of row ``row_id`` over temperatures, 300 K among them.

    Imaginary modes are left out, as phonopy leaves them out.

    :return: ``free_energy`` (kJ/mol), ``entropy`` and ``heat_capacity`` (J/(K mol)) over K, per mole of primitive cells
        of ``n_atoms`` atoms; attributes ``n_atoms`` and ``zero_point_energy`` (kJ/mol).
    :raises ValueError: if the row has no force constants.
    """
    given = read_parameters(ThermalParameters, parameters)
    _, phonopy = _restored(results, row_id.value, given)
    temperatures = thermal_temperatures(given.temperatures)
    found = harmonic_properties(
        phonopy, frequencies=np.linspace(0.0, 1.0, 2), mesh=given.mesh, temperatures=temperatures
    )
    node = orm.XyData()
    node.set_x(temperatures, "temperature", "K")
    node.set_y(
        [found.free_energy, found.entropy, found.heat_capacity],
        ["free_energy", "entropy", "heat_capacity"],
        ["kJ/mol", "J/(K mol)", "J/(K mol)"],
    )
    _describe(
        node,
        n_atoms=found.n_atoms_primitive,
        zero_point_energy=found.zero_point_energy,
        mesh=given.mesh,
    )
    return node


@calcfunction
def phonopy_params(results: StructureSetData, row_id: orm.Str, parameters: orm.Dict) -> orm.SinglefileData:
    """Return row ``row_id`` as a ``phonopy_params.yaml`` with force constants, which ``phonopy.load`` reads.

    :raises ValueError: if the row has no force constants.
    """
    given = read_parameters(HarmonicParameters, parameters)
    _, phonopy = _restored(results, row_id.value, given)
    return orm.SinglefileData(io.BytesIO(phonopy_yaml(phonopy).encode()), filename=PARAMS_FILE)


@calcfunction
def phonon_mesh(results: StructureSetData, row_id: orm.Str, parameters: orm.Dict) -> orm.BandsData:
    """Return the frequencies of row ``row_id`` on the irreducible points of a mesh, weights adding up to 1, THz.

    :raises ValueError: if the row has no force constants.
    """
    given = read_parameters(MeshParameters, parameters)
    _, phonopy = _restored(results, row_id.value, given)
    sampled = _sampled(phonopy, given)
    node = orm.BandsData()
    node.set_cell(phonopy.primitive.cell)  # type: ignore[no-untyped-call]
    weights = sampled.weights / sampled.weights.sum()
    node.set_kpoints(sampled.qpoints, weights=weights)  # type: ignore[no-untyped-call]
    node.set_bands(sampled.frequencies, units="THz")  # type: ignore[no-untyped-call]
    return node


@calcfunction
def mode_displacements(results: StructureSetData, row_id: orm.Str, parameters: orm.Dict) -> orm.ArrayData:
    """Return the 3 P modes of row ``row_id`` at ``q``.

    :return: ``q`` (3,); ``frequencies`` (3 P,), THz, ascending; ``eigenvectors`` (3 P, P, 3), complex, of unit norm;
        ``displacements`` (3 P, P, 3), complex, the largest atom's norm being 1; ``numbers`` (P,), ``positions`` (P, 3)
        and ``cell`` (3, 3), A, of the primitive cell that they belong to.
    :raises ValueError: if the row has no force constants.
    """
    given = read_parameters(ModesParameters, parameters)
    _, phonopy = _restored(results, row_id.value, given)
    modes = modes_at(phonopy, given.q)
    node = orm.ArrayData()
    for name in ("q", "frequencies", "eigenvectors", "displacements"):
        node.set_array(name, np.ascontiguousarray(getattr(modes, name)))
    for name in ("numbers", "positions", "cell"):
        node.set_array(name, np.array(getattr(phonopy.primitive, name)))
    return node


@calcfunction
def phonon_row_parameters(
    results: StructureSetData,
    row_id: orm.Str,
    parameters: orm.Dict,
    parent: orm.StructureData | None = None,
    start: orm.StructureData | None = None,
) -> orm.Dict:
    """Return the scalar columns of one row and their ``units``, and ``warnings`` of its symmetry and band path.

    The arguments are the same as for :func:`phonon_bands`; where that function raises an error, the error is among the
    warnings.
    """
    given = read_parameters(BandsParameters, parameters)
    row, phonopy = _restored(results, row_id.value, given)
    path: dict[str, Any] = {"path_symprec": given.path_symprec}
    try:
        chosen = choose_path(row, phonopy, given, parent=_atoms(parent), start=_atoms(start))
        path |= {"path_spacegroup": chosen.path.spacegroup, "path_of": chosen.of.value}
        said = list(chosen.warnings)
    except ValueError as error:
        said = [*symmetry_remarks(row, phonopy, given), str(error)]
    return orm.Dict(scalar_columns(results, row_id.value) | path | {"warnings": said})


def path_of_row(
    results: StructureSetData,
    row_id: str,
    parameters: orm.Dict,
    *,
    parent: orm.StructureData | None = None,
    start: orm.StructureData | None = None,
) -> ChosenPath:
    """Return the path that :func:`phonon_bands` puts the row on.

    :raises OtherPathError: if the relaxation changed the space group, and the path of the start cannot be had.
    :raises ValueError: if the row has no force constants, or the lattice of ``parent`` is another.
    """
    given = read_parameters(BandsParameters, parameters)
    row, phonopy = _restored(results, row_id, given)
    return choose_path(row, phonopy, given, parent=_atoms(parent), start=_atoms(start))


def _restored(
    results: StructureSetData, row_id: str, parameters: HarmonicParameters
) -> tuple[StructureTable, Phonopy]:
    """Return the one row, and its phonons."""
    row = results.select([row_id])
    return row, phonopy_of_row(row, row_id, symprec=parameters.phonon_symprec)


def _atoms(structure: orm.StructureData | None) -> Atoms | None:
    return None if structure is None else structure.get_ase()  # type: ignore[no-untyped-call]


def _sampled(phonopy: Phonopy, parameters: MeshParameters) -> Any:
    with warnings.catch_warnings():
        # a lattice may have no mesh of its own symmetry in the primitive basis; phonopy then takes one that does
        warnings.simplefilter("ignore", MeshGRGridFallbackWarning)
        return phonopy.run_mesh(parameters.mesh)


def _all_frequencies(phonopy: Phonopy, parameters: DosParameters) -> tuple[float, float]:
    """Return a range, THz, that holds all modes of the mesh, and zero."""
    frequencies: NDArray[np.float64] = _sampled(phonopy, parameters).frequencies
    margin = _REACH * parameters.sigma
    return min(0.0, float(frequencies.min())) - margin, float(frequencies.max()) + margin


def _describe(node: orm.Data, **attributes: Any) -> None:
    for name, value in attributes.items():
        node.base.attributes.set(name, value)
