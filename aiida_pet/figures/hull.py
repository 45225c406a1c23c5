"""The convex hull of a chemical system of two or three elements, as points and straight pieces that can be drawn.

The pieces belong to the hull from which the columns were computed: a row whose energy above hull is known tells where
the hull is at its composition (formation energy minus energy above hull), whatever phases made it, references that are
no rows among them. Where no row has an energy above hull, the hull of the rows themselves is made, as pymatgen's
``PhaseDiagram`` does: elements are the lowest phases of pure elements, and formation energies refer to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from aiida_pet.analysis.funnel import OK_STATUSES
from aiida_pet.figures.source import NotDrawnError, Source, as_frame, framed, missing_columns
from aiida_pet.tables.arrays import Floats, Integers

ON_HULL = 1e-6
"""What is nearer to the hull than this is on it, eV/atom."""
TOLD_WITHIN = 1e-4
"""So near, in eV/atom, is the hull drawn to where the rows say that it is."""
MOST_CORNERS = 200
"""Of a hull, that are no rows."""
_PIECE = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


@dataclass(frozen=True)
class Hull:
    """Phases of a chemical system of d elements and the hull below them.

    :ivar system: the d symbols.
    :ivar ids: (N,) ids of the rows, including rows of subsystems.
    :ivar formulas: (N,).
    :ivar fractions: (N, d) atomic fractions in the order of ``system``.
    :ivar formation_energy: (N,) eV/atom.
    :ivar e_above_hull: (N,) eV/atom; NaN if it is not known.
    :ivar decomposition: (N,) decomposition products in words; empty if they are not known.
    :ivar vertex_fractions: (V, d) atomic fractions of the corners of the hull.
    :ivar vertex_energies: (V,) formation energies of the corners, eV/atom.
    :ivar facets: (F, d) the corners of each facet of the hull: lines for a binary, triangles for a ternary.
    :ivar n_left_out: rows of the system without an energy.
    """

    system: tuple[str, ...]
    ids: NDArray[np.str_]
    formulas: NDArray[np.str_]
    fractions: Floats
    formation_energy: Floats
    e_above_hull: Floats
    decomposition: NDArray[np.str_]
    vertex_fractions: Floats
    vertex_energies: Floats
    facets: Integers
    n_left_out: int

    @property
    def is_on_hull(self) -> NDArray[np.bool_]:
        """(N,) whether a phase is on the hull."""
        found: NDArray[np.bool_] = self.e_above_hull <= ON_HULL
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return a row per phase: ``id``, ``formula``, ``x_El`` per element, energies, ``decomposition``."""
        columns: dict[str, object] = {"id": self.ids, "formula": self.formulas}
        columns |= {f"x_{symbol}": self.fractions[:, place] for place, symbol in enumerate(self.system)}
        columns |= {
            "formation_energy": self.formation_energy,
            "e_above_hull": self.e_above_hull,
            "decomposition": self.decomposition,
        }
        return framed(columns, {"formation_energy": "eV/atom", "e_above_hull": "eV/atom"})


def triangle_places(fractions: Floats) -> Floats:
    """Return (N, 2) places of compositions (N, 3) in a triangle of side 1: A at (0, 0), B at (1, 0), C on top."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    places: Floats = fractions @ corners
    return places


def composition_of(formula: str) -> dict[str, float]:
    """Return symbol -> atoms of a formula without brackets: ``Mo3Ta``."""
    found: dict[str, float] = {}
    for symbol, amount in _PIECE.findall(formula):
        found[symbol] = found.get(symbol, 0.0) + float(amount or 1)
    return found


def systems_of(source: Source) -> list[tuple[str, ...]]:
    """Return the systems of two or three elements that rows belong to, those with most rows first."""
    frame = as_frame(source)
    missing_columns(frame, ["formula"], "a hull", "name a launch that holds crystals")
    systems = frame["formula"].astype(str).map(lambda formula: tuple(sorted(composition_of(formula))))
    counts = systems[systems.map(len).isin((2, 3))].value_counts()
    return list(counts.index)


def hull_of(source: Source, system: Sequence[str], references: pd.DataFrame | None = None) -> Hull:
    """Return the hull of a chemical system.

    :param source: with ``formula``, and ``formation_energy`` (of the stage or task hull) or ``energy`` and ``n_atoms``;
        ``e_above_hull`` and ``decomposition`` are used if they exist. Rows without an answer are left out.
    :param system: two or three symbols, in the order in which they are drawn.
    :param references: further phases, indexed by id, with ``formula`` and ``energy_per_atom`` (eV/atom); only where
        rows have no ``formation_energy``.
    :raises NotDrawnError: if columns are missing, or an element of the system has no phase.

    >>> frame = pd.DataFrame(
    ...     {"formula": ["Mo", "W", "MoW"], "n_atoms": [1, 1, 2], "energy": [-10.8, -12.9, -23.8]},
    ...     index=["a", "b", "c"],
    ... )
    >>> hull_of(frame, ("Mo", "W")).formation_energy.round(3).tolist()
    [0.0, 0.0, -0.05]
    """
    symbols = tuple(system)
    if len(symbols) not in (2, 3) or len(set(symbols)) < len(symbols) or set(symbols) - set(atomic_numbers):
        raise NotDrawnError(
            f"a hull can be drawn for two or three different elements, not for {'-'.join(symbols) or 'none'}"
        )
    frame = as_frame(source)
    missing_columns(frame, ["formula"], "a hull", "name a launch that holds crystals")
    phases = _of_system(frame, symbols)
    n_there = len(phases)
    phases = _answered(phases)
    if "formation_energy" in phases.columns and phases["formation_energy"].notna().any():
        phases = phases[phases["formation_energy"].notna()]
        energies = phases["formation_energy"].to_numpy(np.float64)
        _check_elements(phases["composition"], symbols)
    else:
        phases, energies = _formation_energies(phases, symbols, references)
    n_left_out = max(0, n_there - int(phases["is_row"].sum()))
    fractions = np.array([[c.get(s, 0.0) for s in symbols] for c in phases["composition"]]).reshape(
        -1, len(symbols)
    )
    fractions = fractions / np.maximum(fractions.sum(axis=1, keepdims=True), 1e-300)
    above = np.full(len(phases), np.nan)
    if "e_above_hull" in phases.columns:
        above = phases["e_above_hull"].to_numpy(np.float64, na_value=np.nan)
    vertices, levels, facets = _told_hull(fractions, energies, above)
    hull_at, products = _below(fractions, vertices, levels, facets)
    above = np.where(np.isfinite(above), above, np.maximum(energies - hull_at, 0.0))
    decomposition = [_told(amounts, vertices, symbols) for amounts in products]
    if "decomposition" in phases.columns:
        given = phases["decomposition"].fillna("").astype(str)
        decomposition = [one or other for one, other in zip(given, decomposition, strict=True)]
    return Hull(
        system=symbols,
        ids=np.asarray(phases.index, dtype=str),
        formulas=phases["formula"].to_numpy(dtype=str),
        fractions=fractions,
        formation_energy=energies,
        e_above_hull=above,
        decomposition=np.array(decomposition, dtype=str),
        vertex_fractions=vertices,
        vertex_energies=levels,
        facets=facets,
        n_left_out=n_left_out,
    )


def _of_system(frame: pd.DataFrame, symbols: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of ``frame`` of the system and its subsystems, with their ``composition`` and ``is_row``."""
    compositions = frame["formula"].astype(str).map(composition_of)
    inside = compositions.map(lambda one: bool(one) and set(one) <= set(symbols)).astype(bool)
    return frame[inside].assign(composition=compositions[inside], is_row=True)


def _answered(phases: pd.DataFrame) -> pd.DataFrame:
    for name in ("hull_status", "status"):
        if name in phases.columns:
            return phases[phases[name].isin(OK_STATUSES)]
    return phases


def _check_elements(compositions: Iterable[dict[str, float]], symbols: tuple[str, ...]) -> None:
    """:raises NotDrawnError: if no phase with a formation energy holds one of ``symbols``."""
    there = {symbol for one in compositions for symbol in one}
    lacking = [symbol for symbol in symbols if symbol not in there]
    if lacking:
        raise NotDrawnError(
            f"no phase with {' and none with '.join(lacking)} has a formation energy, so there is no hull of "
            f"{'-'.join(symbols)}: references of the elements may be missing"
        )


def _formation_energies(
    phases: pd.DataFrame, symbols: tuple[str, ...], references: pd.DataFrame | None
) -> tuple[pd.DataFrame, Floats]:
    """Return rows and references, and their formation energies (eV/atom) from the lowest phases of the elements."""
    missing_columns(phases, ["energy", "n_atoms"], "a hull", "relax the crystals, or launch a hull")
    per_atom = (phases["energy"] / phases["n_atoms"]).rename("energy_per_atom")
    both = phases.assign(energy_per_atom=per_atom)
    if references is not None:
        more = _of_system(references, symbols).assign(is_row=False)
        both = pd.concat([both, more])
    both = both[both["energy_per_atom"].notna()]
    elements = {}
    for symbol in symbols:
        own = both[both["composition"].map(lambda one, symbol=symbol: set(one) == {symbol})]  # type: ignore[misc]
        if own.empty:
            raise NotDrawnError(
                f"there is no phase of pure {symbol} among the rows: a hull of {'-'.join(symbols)} needs a phase of "
                "each pure element, in the set or among the `--references`"
            )
        elements[symbol] = float(own["energy_per_atom"].min())
    mixed = [
        sum(amount * elements[symbol] for symbol, amount in one.items()) / sum(one.values())
        for one in both["composition"]
    ]
    return both, both["energy_per_atom"].to_numpy(np.float64) - np.array(mixed)


def _told_hull(fractions: Floats, energies: Floats, above: Floats) -> tuple[Floats, Floats, Integers]:
    """Return the hull below rows of which some say how far they are above it, NaN for the others.

    Corners are rows; only where these leave the hull higher than a row says it is, is there a corner at what it says.
    """
    told = energies - np.where(np.isfinite(above), above, 0.0)
    used = ~(above > ON_HULL)
    for _ in range(MOST_CORNERS):
        found = _lower_hull(fractions[used], told[used])
        height, _products = _below(fractions, *found)
        too_high = np.where(used, -np.inf, height - told)
        if not len(too_high) or too_high.max() < TOLD_WITHIN:
            break
        used[int(too_high.argmax())] = True
    return found


def _lower_hull(fractions: Floats, energies: Floats) -> tuple[Floats, Floats, Integers]:
    """Return corners (V, d), their energies (V,) and pieces (F, d) of the lower hull; the elements are corners at 0."""
    size = fractions.shape[1]
    below = energies < -ON_HULL
    corners = np.concatenate([np.eye(size), fractions[below]])
    levels = np.concatenate([np.zeros(size), energies[below]])
    order = np.lexsort((levels, *np.round(corners, 9).T))
    corners, levels = corners[order], levels[order]
    first = np.r_[True, (np.abs(np.diff(corners, axis=0)) > 1e-9).any(axis=1)]
    corners, levels = corners[first], levels[first]
    if len(corners) == size:
        return corners, levels, np.arange(size)[None, :]
    points = np.column_stack([corners[:, 1:], levels])
    try:
        found = ConvexHull(points)
    except QhullError:  # all in one plane
        return corners[:size], levels[:size], np.arange(size)[None, :]
    facets = found.simplices[found.equations[:, -2] < -1e-12]
    used = np.unique(facets)
    return corners[used], levels[used], np.searchsorted(used, facets).astype(np.int64)


def _below(
    fractions: Floats, vertices: Floats, levels: Floats, facets: Integers
) -> tuple[Floats, list[list[tuple[int, float]]]]:
    """Return (N,) the energy of the hull at each composition, and the corners that it is a mixture of."""
    height = np.full(len(fractions), np.nan)
    products: list[list[tuple[int, float]]] = [[] for _ in fractions]
    for facet in facets:
        try:
            amounts = np.linalg.solve(vertices[facet].T, fractions.T).T
        except np.linalg.LinAlgError:  # a piece that stands upright
            continue
        inside = (amounts > -1e-8).all(axis=1)
        for row in np.flatnonzero(inside & np.isnan(height)):
            height[row] = float(amounts[row] @ levels[facet])
            pairs = zip(facet.tolist(), amounts[row].tolist(), strict=True)
            products[row] = [(corner, amount) for corner, amount in pairs if amount > 1e-6]
    return height, products


def _told(products: list[tuple[int, float]], vertices: Floats, symbols: tuple[str, ...]) -> str:
    """Return the products of a decomposition in words: ``0.5 Mo + 0.5 Mo0.25W0.75``."""
    pieces = []
    for corner, amount in sorted(products, key=lambda one: -one[1]):
        shares = zip(symbols, vertices[corner].tolist(), strict=True)
        formula = "".join(f"{s}{'' if x > 1 - 1e-9 else f'{x:.3g}'}" for s, x in shares if x > 1e-9)
        pieces.append(f"{amount:.3g} {formula}")
    return " + ".join(pieces)
