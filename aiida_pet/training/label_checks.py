"""Whether energies, forces and stresses of a set fit each other: their signs and units.

Over pairs of near frames of one crystal (:mod:`~aiida_pet.training.label_pairs`), the change of the energy is the work
of the stresses and forces times a ratio each: 1 for eV, eV/A and eV/A^3, -1 for another sign, 1/160.2 for stresses in
GPa, 1/27.2 for energies in Hartree. Ratios are fitted in the least modulus, so that single absurd labels do not count.
They are judged only where change and work are clearly correlated.

A ratio of the stresses alone does not tell whether they or the energies are wrong. With the ratio of the forces it
does: if both are equal, the energies are wrong.

If most pairs fit no ratio, though labels predict clear changes, rows or atoms of some labels are in another order. Only
pairs are counted for this in which what is not known (forces that are missing or inexact) can do little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aiida_pet.tables.table import Array
from aiida_pet.training.label_pairs import NO_STRAIN, LabelPairs, independent
from aiida_pet.training.label_units import ALIKE, PER_ATOM, VIRIALS, Cause, causes_of
from aiida_pet.words import either

LEAST_PAIRS = 6
CLEAR = 0.6  # correlation
REFUSED = 2.0  # factor between a ratio and 1 that is refused
TOLD = 1.35  # factor that is told
_STRAINED = 1e-3
_ENOUGH = 10  # pairs of small strains, with which larger strains are left out, since the trapezoidal rule errs there
_STRAINS = (0.01, 0.02, 0.04, np.inf)
_STRAINS_OF_FORCES = (0.01, 0.03)  # the error of the stress work must not hide the work of the forces
_TELLING = 0.1  # of the stress work, that the rest of a change must exceed to tell something of forces
_SURE = 4.0  # times what may be wrong with it, that work must exceed
_DIGITS = 2e-5  # eV/atom, to which energies in files may be rounded
_WELL, _MIXED = 0.95, 0.15  # correlation, and share of pairs that do not fit
_ITERATIONS = 50
_NOISE = 3e-3  # eV/atom, that energies of calculations with other settings of convergence may differ by
_MANY, _STRANGERS = (
    15,
    0.5,
)  # strong pairs, and the share that must not fit, before labels belong to other rows
_UNRELATED = 0.5  # correlation
_ABSURD = 0.1  # eV/atom, by which energies of near frames do not differ from what labels predict for any other reason
_FITS = 0.5  # of the larger of change and work, that their difference may be
_STILL = 0.02  # A, displacement of which forces that are not known do not matter
_MOVES = (_STILL, 0.06)


@dataclass(frozen=True)
class LabelCheck:
    """What energies say of stresses, or of forces.

    :ivar pairs: of frames that could be compared.
    :ivar independent: those of them that do not follow from others; for stresses, those of different cells.
    :ivar ratio: of changes of the energy to what the labels say of them; NaN without pairs.
    :ivar correlation: between the two, without pairs that are far off.
    :ivar misfits: pairs that are far off.
    :ivar strong: independent pairs whose predicted changes are well above what energies may be wrong by.
    :ivar strangers: share of these pairs that do not fit, whatever the ratio.
    """

    pairs: int = 0
    independent: int = 0
    ratio: float = np.nan
    correlation: float = 0.0
    misfits: int = 0
    strong: int = 0
    strangers: float = 0.0

    @property
    def is_foreign(self) -> bool:
        """Whether energies and labels do not belong together: chance hardly lets so few pairs fit if half would, or
        energies do not even rise with what the labels predict.
        """
        if self.strong < _MANY:
            return False
        chance = self.strong**-0.5 if abs(self.correlation) > _UNRELATED else 0.0
        return self.strangers - chance > _STRANGERS

    @property
    def is_clear(self) -> bool:
        """Whether the ratio means something: chance does not give such a correlation of so few pairs."""
        least = max(CLEAR, 4 / (self.independent + 16) ** 0.5)
        return self.independent >= LEAST_PAIRS and abs(self.correlation) >= least

    @property
    def chance(self) -> float:
        """Factor by which chance may change the ratio (three standard errors)."""
        if not self.is_clear:
            return np.inf
        return float(np.exp(3 * np.sqrt(max(1 / self.correlation**2 - 1, 0.0) / self.independent)))

    @property
    def limit(self) -> float:
        """Factor between the ratio and 1 from which sign or unit must be wrong."""
        return max(REFUSED, self.chance)

    @property
    def is_wrong(self) -> bool:
        """Whether sign or unit must be wrong."""
        return self.is_clear and not 1 / self.limit <= self.ratio <= self.limit

    @property
    def is_odd(self) -> bool:
        """Whether the ratio is not 1, but not so far from 1 that sign or unit must be wrong."""
        most = max(TOLD, self.chance)
        sure = self.is_clear and self.independent >= _ENOUGH
        return sure and not self.is_wrong and not 1 / most <= self.ratio <= most

    @property
    def is_mixed(self) -> bool:
        """Whether most pairs fit each other well and many others do not fit them."""
        return self.is_clear and abs(self.correlation) > _WELL and self.misfits > _MIXED * self.pairs


@dataclass(frozen=True)
class LabelChecks:
    """What energies say of the other labels of a set.

    :ivar stress: of stresses.
    :ivar forces: of forces.
    :ivar problem: what is wrong with signs or units, empty if nothing is seen.
    """

    stress: LabelCheck
    forces: LabelCheck
    problem: str = ""


def check_units(pairs: LabelPairs) -> LabelChecks:
    """Return what the energies of ``pairs`` say of signs and units."""
    forces = _forces_of(pairs)
    strained, change = _strained(pairs, forces)
    stress = _fitted(strained.stress_work, change, strained.cells)
    judged = _judged(stress, strained, change, forces)
    if _is_blurred(pairs, forces, change):
        is_absurd = judged.is_foreign and float(np.median(np.abs(change))) > _ABSURD
        stress = LabelCheck(stress.pairs, stress.independent)
        judged = judged if is_absurd else stress
    odd_sizes = _odd_sizes(pairs, forces, strained, change, stress)
    stress = judged
    foreign = [("stresses", stress)] if stress.is_foreign else []
    foreign += [("forces", forces)] if forces.is_foreign else []
    if foreign and not any(is_certain for _, is_certain in odd_sizes):
        return LabelChecks(stress, forces, _told_foreign(foreign))
    if not (stress.is_wrong or forces.is_wrong or odd_sizes):
        return LabelChecks(stress, forces)
    causes = []
    if stress.is_wrong or forces.is_wrong:
        causes = causes_of(
            (stress.ratio, stress.chance) if stress.is_clear else None,
            (forces.ratio, forces.chance) if forces.is_clear else None,
        )
    certain = [cause for cause, is_certain in odd_sizes if is_certain]
    possible = [cause for cause, is_certain in odd_sizes if not is_certain]
    return LabelChecks(stress, forces, _problem(stress, forces, certain or [*causes, *possible]))


def _strained(pairs: LabelPairs, forces: LabelCheck) -> tuple[LabelPairs, Array]:
    """Return the pairs that tell something of stresses, those of the smallest strains if they are enough; and by how
    much their energy changes, without the work of the forces if it is known.
    """
    change = pairs.change - (forces.ratio * pairs.force_work if forces.is_clear else 0.0)
    exact = np.abs(pairs.stress_work) > _SURE * pairs.stress_error
    if forces.is_clear:
        exact &= np.abs(change) > _SURE * abs(forces.ratio) * pairs.force_error
    strained = (pairs.strains > _STRAINED) & (pairs.stress_work != 0) & exact
    if not pairs.force_work.any():  # without forces, atoms that move change the energy by what nothing tells
        for most in _MOVES:
            still = strained & (pairs.displacements < most)
            if independent(pairs.cells[still]) >= LEAST_PAIRS:
                strained = still
                break
    for most in _STRAINS:
        small = strained & (pairs.strains < most)
        if small.sum() >= _ENOUGH and independent(pairs.cells[small]) >= _ENOUGH:
            strained = small
            break
    return pairs.take(strained), change[strained]


def _judged(stress: LabelCheck, strained: LabelPairs, change: Array, forces: LabelCheck) -> LabelCheck:
    """Return ``stress`` with how many of the pairs do not fit in which little else than stresses does work.

    :param change: of the energy, without the work of the forces if it is known.
    """
    if not stress.strong:
        return stress
    unknown = _SURE * strained.force_error + (0.0 if forces.is_clear else np.abs(strained.force_work))
    small = unknown < 0.5 * np.maximum(np.abs(change), np.abs(strained.stress_work))
    alone = small & ((strained.force_work != 0) | (strained.displacements < _STILL))
    some, left = strained.take(alone), change[alone]
    strong = np.abs(some.stress_work) > _NOISE
    shares = [
        _strangers(work, new_change, strong)
        for work, new_change in (
            (some.stress_work, left),
            (some.stress_work, left * some.sizes),  # energies per atom
            (some.stress_work / some.volumes, left),  # virials
        )
    ]
    return replace(stress, strong=independent(some.cells[strong]), strangers=min(shares))


def _strangers(work: Array, change: Array, strong: Array) -> float:
    """Return the share of the pairs ``strong`` that do not fit the ratio of all."""
    if not strong.any():
        return 0.0
    ratio = _ratio(work, change)
    larger = np.maximum(np.abs(change), np.abs(ratio * work))
    return float((np.abs(change - ratio * work) > _FITS * larger)[strong].mean())


def _is_blurred(pairs: LabelPairs, forces: LabelCheck, change: Array) -> bool:
    """Return whether energies of one cell differ as much as those of several, so that they tell nothing of stresses.

    :param change: of the pairs that should tell of stresses.
    """
    still = pairs.take(pairs.strains <= _STRAINED)
    if len(still) < LEAST_PAIRS or not len(change):
        return False
    rest = still.change - (forces.ratio * still.force_work if forces.is_clear else 0.0)
    return bool(np.median(np.abs(change)) < _SURE * np.median(np.abs(rest)))


def _forces_of(pairs: LabelPairs) -> LabelCheck:
    """Return what energies say of forces, over pairs of nearly the same cell."""
    explained = (pairs.stress_work != 0) | (pairs.strains < 10 * NO_STRAIN)
    exact = np.abs(pairs.force_work) > _SURE * pairs.force_error
    displaced = pairs.take((pairs.force_work != 0) & explained & exact)
    found = LabelCheck()
    for most in _STRAINS_OF_FORCES:
        near = displaced.take(displaced.strains < most)
        if len(near) > 1:
            ratio = _both(near)
            rest = near.change - ratio * near.stress_work
            unknown = abs(ratio) * np.maximum(_TELLING * np.abs(near.stress_work), _SURE * near.stress_error)
            telling = (np.abs(rest) > unknown) & (np.abs(near.change) > _DIGITS)
            found = _fitted(near.force_work[telling], rest[telling], near.rows[telling])
        if found.independent >= _ENOUGH:
            break
    return found


def _both(pairs: LabelPairs) -> float:
    """Return the ratio of the stress work in a fit of both, in the least modulus, large work held down."""
    works = np.stack([pairs.stress_work, pairs.force_work], axis=1)
    typical = np.maximum(np.median(np.abs(works), axis=0), 1e-12)
    leverage = 1 / np.maximum((np.abs(works) / typical).max(axis=1), 1.0)
    floor = 1e-3 * max(float(np.median(np.abs(pairs.change))), 1e-12)
    weights, solution = leverage.copy(), np.zeros(2)
    for _ in range(_ITERATIONS):
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(works * root[:, None], pairs.change * root, rcond=None)[0]
        weights = leverage / np.maximum(np.abs(pairs.change - works @ solution), floor)
    return float(solution[0])


def _fitted(work: Array, change: Array, links: Array) -> LabelCheck:
    """Return the slope of ``change`` by ``work`` in the least modulus, and the correlation without far outliers.

    :param links: (P, 2) what each pair links.
    """
    there = work != 0
    work, change, free = work[there], change[there], independent(links[there])
    if len(work) < 2:
        return LabelCheck(len(work), free)
    ratio = _ratio(work, change)
    rest = np.abs(change - ratio * work)
    kept = rest <= max(7.4 * float(np.median(rest)), 0.3 * float(np.median(np.abs(change))))
    one, two = change[kept], work[kept]
    norm = float(np.linalg.norm(one) * np.linalg.norm(two))
    larger = np.maximum(np.abs(change), np.abs(ratio * work))
    misfits = int((~kept & (rest > _FITS * larger) & (larger > _DIGITS)).sum())
    strong = np.abs(work) > _NOISE
    return LabelCheck(
        len(work),
        free,
        ratio,
        float(one @ two) / norm if norm else 0.0,
        misfits,
        independent(links[there][strong]),
        _strangers(work, change, strong),
    )


def _ratio(work: Array, change: Array) -> float:
    """Return the weighted median of the slopes of single pairs; a pair of large work does not count for many."""
    weights = np.minimum(np.abs(work), 3 * np.median(np.abs(work)))
    order = np.argsort(change / work)
    summed = np.cumsum(weights[order])
    return float((change / work)[order][np.searchsorted(summed, 0.5 * summed[-1])])


def _odd_sizes(
    pairs: LabelPairs, forces: LabelCheck, strained: LabelPairs, change: Array, stress: LabelCheck
) -> list[tuple[Cause, bool]]:
    """Return whether energies per atom, or virials in place of stresses, explain the labels.

    Each comes with whether it is certain, as cells of several sizes tell.
    """
    if stress.is_clear:
        work, sizes, volumes, usual = strained.stress_work, strained.sizes, strained.volumes, stress
        links = strained.cells
    elif len(strained) < LEAST_PAIRS:
        near = pairs.take((pairs.strains < 10 * NO_STRAIN) & (pairs.force_work != 0))
        work, change, sizes, volumes, usual = near.force_work, near.change, near.sizes, None, forces
        links = near.rows
    else:
        return []
    if len(work) < LEAST_PAIRS:
        return []
    found = []
    rest = _rest(work, change, usual.ratio)
    for cause, new_work, new_change in (
        (PER_ATOM, work, change * sizes),
        *([] if volumes is None else [(VIRIALS, work / volumes, change)]),
    ):
        fit = _fitted(new_work, new_change, links)
        is_one = fit.is_clear and 1 / ALIKE < abs(fit.ratio) < ALIKE and (fit.ratio > 0 or cause is VIRIALS)
        better = _rest(new_work, new_change, fit.ratio) < 0.5 * rest
        # a stress that is right may seem to depend on the size by chance only if it fits badly
        if is_one and (usual.is_wrong or (better and cause is PER_ATOM)) and float(sizes.max()) > 1:
            found.append((cause, better))
    return found


def _rest(work: Array, change: Array, ratio: float) -> float:
    """Return the share of ``change`` that ``work`` does not explain."""
    return float(np.abs(change - ratio * work).sum() / max(float(np.abs(change).sum()), 1e-12))


def _told_foreign(foreign: list[tuple[str, LabelCheck]]) -> str:
    """Return which labels do not belong together, and the remedy."""
    names = " and ".join(name for name, _ in foreign)
    told = " and ".join(
        f"in {check.strangers:.0%} of {check.strong} pairs of frames of one crystal that tell of them, it is not what "
        f"the {name} predict"
        for name, check in foreign
    )
    return (
        f"the energies and the {names} do not belong together: the energy changes from frame to frame, but {told}, and "
        "no other sign or unit explains this. Rows or atoms of some labels may be in another order than the crystals, "
        "or labels may be of other calculations: look at how they were joined to the crystals"
    )


def _problem(stress: LabelCheck, forces: LabelCheck, causes: list[Cause]) -> str:
    """Return what does not fit, what may be the cause, and the remedy."""
    clear = [(name, check) for name, check in (("stresses", stress), ("forces", forces)) if check.is_clear]
    says = " and ".join(
        f"{check.ratio:.3g} times as much as the {name} predict (correlation {check.correlation:.2f}, {check.pairs} "
        "pairs of frames of one crystal)"
        for name, check in clear
    )
    names = [name for name, _ in clear]
    if not (stress.is_wrong or forces.is_wrong):  # with cells of one atom the ratio may be 1
        says += ", and in larger cells as much less as they have more atoms"
    doubt = f"Either the energies or the {names[0]} have another sign or unit. " if len(clear) == 1 else ""
    known = "; or ".join(f"{one.name} ({one.remedy})" for one in causes[:3])
    if known:
        known = f"This is what one finds with {known}"
    else:
        known = (
            "No unit that is known here gives this, so look at where the labels come from; rows or atoms of some "
            "labels may be in another order"
        )
    return (
        f"the energies do not fit the {either(names)}: from frame to frame they change {says}, expected 1 for eV of "
        f"the cell, eV/A, and eV/A^3 with tension positive. {doubt}{known}"
    )
