"""The Materials Project's corrections of 2020 for crystals: what PBE and PBE+U energies need to stand on its hulls.

The numbers are pymatgen's ``MaterialsProject2020Compatibility`` (Wang et al., Sci. Rep. 11, 15496 (2021)): so much for
each anion, and for each transition metal that is calculated with a U. The run type follows the Materials Project's
rule: +U where O or F stands beside Co, Cr, Fe, Mn, Mo, Ni, V or W, with the values of pymatgen's ``MPRelaxSet``.
Pseudopotentials are not checked: of a model nobody knows them.

A correction depends on the composition alone, but for O (oxide, peroxide, superoxide, ozonide) and S (sulfide,
sulfate), which pymatgen tells by distances. So compositions are worked out once, and crystals without any of the
elements in question cost nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_pet.analysis.hull.compositions import Compositions
from aiida_pet.tables.crystals import StructureTable

NAME = "MP2020"
# Elements without which no compound is corrected; a test compares them with pymatgen's.
CORRECTED_ELEMENTS = ("H", "N", "O", "F", "Si", "S", "Cl", "Se", "Br", "Sb", "Te", "I")
# How far apart bonded O may be, in units of the bond lengths of pymatgen's OxideType: as its scheme calls it.
_OXIDE_CUTOFF = 1.05
_ANIONS_OF_U = ("F", "O")  # the more electronegative first: it decides


@dataclass(frozen=True)
class Corrections:
    """What N crystals are corrected by.

    :ivar values: (N,) float64, eV per cell, to be added to the energy; NaN where the scheme refuses the crystal.
    :ivar terms: for each crystal its parts in words, ``oxide -5.496, Fe -9.024``; why, where it is refused.
    """

    values: NDArray[np.float64]
    terms: list[str]


def run_type_of(symbols: set[str]) -> tuple[str, dict[str, float]]:
    """Return ``GGA`` or ``GGA+U``, and the U (eV) of each element, by the Materials Project's rule.

    :param symbols: elements of a crystal.
    """
    anion = next((symbol for symbol in _ANIONS_OF_U if symbol in symbols), None)
    values = _hubbards().get(anion, {}) if anion else {}
    found = {symbol: float(values[symbol]) for symbol in sorted(symbols) if values.get(symbol)}
    return ("GGA+U" if found else "GGA"), found


def mp2020_corrections(table: StructureTable) -> Corrections:
    """Return what MaterialsProject2020Compatibility corrects the energy of each row by."""
    compositions = Compositions.of_table(table)
    values, terms = np.zeros(len(table)), [""] * len(table)
    known: dict[tuple[Any, ...], tuple[float, str]] = {}
    sizes = (compositions.numbers > 0).sum(axis=1)
    relevant = can_be_corrected(compositions)
    reduced = compositions.reduced()
    totals = compositions.totals
    for row in np.flatnonzero(relevant).tolist():
        numbers = compositions.numbers[row, : sizes[row]].tolist()
        formula = {
            chemical_symbols[z]: amount
            for z, amount in zip(numbers, reduced[row, : sizes[row]].tolist(), strict=True)
        }
        types = _anion_types(table, row, formula)
        key = (*formula.items(), *types.items())
        if key not in known:
            known[key] = _of_formula(formula, types)
        value, text = known[key]
        scale = totals[row] / sum(formula.values())
        values[row], terms[row] = value * scale, text
    return Corrections(values, terms)


def can_be_corrected(compositions: Compositions) -> NDArray[np.bool_]:
    """Return (N,) whether each composition is a compound with an element that the scheme corrects."""
    numbers = [chemical_symbols.index(symbol) for symbol in CORRECTED_ELEMENTS]
    found: NDArray[np.bool_] = np.isin(compositions.numbers, numbers).any(axis=1)
    return found & ((compositions.numbers > 0).sum(axis=1) > 1)


def needs_correction(symbols: set[str]) -> bool:
    """Return whether the scheme corrects any compound of ``symbols``, whatever its structure and amounts."""
    if len(symbols) < 2:
        return False
    return bool(symbols & {"O", "F", "Cl"})


def _of_formula(formula: Mapping[str, float], types: Mapping[str, str]) -> tuple[float, str]:
    """Return the correction, eV per formula, and its parts in words, eV per atom of the element."""
    from pymatgen.entries.compatibility import CompatibilityError  # noqa: PLC0415 - seconds to import
    from pymatgen.entries.computed_entries import ComputedEntry  # noqa: PLC0415

    run_type, hubbards = run_type_of(set(formula))
    parameters = {"run_type": run_type, "hubbards": hubbards, "is_hubbard": bool(hubbards)}
    entry = ComputedEntry(dict(formula), 0.0, parameters=parameters, data=dict(types))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of oxidation states that cannot be guessed: pymatgen's own rule follows
            adjustments = _scheme().get_adjustments(entry)
    except (CompatibilityError, KeyError) as error:
        return float("nan"), f"{NAME} refuses it: {str(error).split(' for {')[0]}"
    value = float(sum(adjustment.value for adjustment in adjustments))
    return value, ", ".join(_told(adjustment) for adjustment in adjustments)


def _told(adjustment: Any) -> str:
    """Return an adjustment in words: ``oxide -0.687``, ``Fe +U -2.256`` (eV per atom)."""
    what = str(adjustment.name).rpartition("(")[2].rstrip(")")
    mixing = " +U" if "mixing" in str(adjustment.name) else ""
    return f"{what}{mixing} {adjustment.value / adjustment.n_atoms:.3f}"


def _anion_types(table: StructureTable, row: int, formula: Mapping[str, float]) -> dict[str, str]:
    """Return what pymatgen's scheme reads from the crystal itself, if it holds O or S."""
    from pymatgen.analysis.structure_analyzer import oxide_type, sulfide_type  # noqa: PLC0415 - seconds
    from pymatgen.io.ase import AseAtomsAdaptor  # noqa: PLC0415

    found: dict[str, str] = {}
    # a sulfate's S has neighbours that are more electronegative than it is; without such elements there is none
    asks = "S" in formula and bool(set(formula) & _beyond_sulfur())
    if "S" in formula and not asks:
        found["sulfide_type"] = "sulfide"
    if "O" not in formula and not asks:
        return found
    structure = AseAtomsAdaptor.get_structure(table.ase_at(row))
    if "O" in formula:
        found["oxide_type"] = str(oxide_type(structure, _OXIDE_CUTOFF))
    if asks:
        found["sulfide_type"] = str(sulfide_type(structure) or "sulfate")
    return found


@lru_cache(maxsize=1)
def _scheme() -> Any:
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility  # noqa: PLC0415 - seconds

    return MaterialsProject2020Compatibility(check_potcar=False)


@lru_cache(maxsize=1)
def _hubbards() -> Mapping[str, Mapping[str, float]]:
    found: Mapping[str, Mapping[str, float]] = _scheme().u_settings
    return found


@lru_cache(maxsize=1)
def _beyond_sulfur() -> frozenset[str]:
    from pymatgen.core import Element  # noqa: PLC0415 - seconds to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noble gases without an electronegativity
        sulfur = Element("S").X
        return frozenset(element.symbol for element in Element if sulfur < element.X)
