"""How a relaxing row ends: converged, lost, out of steps, or at the noise of a model in single precision.

A network in float32 gives forces with a noise of some 1e-5 eV/A, more for large forces. A row whose bound lies below
that wanders about its minimum until its steps are spent. It is *stagnant*, and ends earlier, when its forces and its
stress are small and have not come closer to their bounds for many steps. A soft crystal whose stress falls slowly, such
as one of molecules, is not. In float64 no row is: there a slow row is only slow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import RelaxParameters
from aiida_pet.tables.warnings import Warned

PATIENCE = 60  # steps without progress
PROGRESS = 0.9  # of the smallest excess so far: what counts as progress is below that
QUIET = 2e-3  # eV/A; noise moves no row whose forces are larger
QUIET_STRESS = 0.02  # GPa; the same of the stress, for some 16 A^3 per atom


@dataclass
class Approach:
    """How near rows have come to their bounds.

    :ivar least: (N,) the smallest excess so far: the larger of force and stress, each in units of its bound.
    :ivar since: (N,) int64, the step of it.
    :ivar first: (N,) the excess at the first step.
    """

    least: Tensor
    since: Tensor
    first: Tensor

    @staticmethod
    def start(size: int, device: torch.device) -> Approach:
        """Return the state of ``size`` rows that are about to begin."""
        unknown = torch.full((size,), torch.inf, dtype=torch.float64, device=device)
        return Approach(unknown, torch.zeros(size, dtype=torch.long, device=device), unknown)

    def note(self, excess: Tensor, steps: Tensor) -> None:
        """Take note of the (N,) ``excess`` at ``steps`` (N,)."""
        self.first = torch.where(torch.isinf(self.first), excess, self.first)
        is_nearer = excess < PROGRESS * self.least
        self.least = torch.where(is_nearer, excess, self.least)
        self.since = torch.where(is_nearer, steps, self.since)


@dataclass(frozen=True)
class Now:
    """Where rows are.

    :ivar energy: (N,) eV.
    :ivar force: (N,) largest norm of a free force, eV/A.
    :ivar stress: (N,) largest component of the free stress, GPa; 0 where the cell is fixed.
    :ivar steps: (N,) int64, taken.
    :ivar may_converge: (N,) bool, false of rows whose average has not begun.
    """

    energy: Tensor
    force: Tensor
    stress: Tensor
    steps: Tensor
    may_converge: Tensor


def ends_of(
    now: Now, approach: Approach, p: RelaxParameters, *, is_noisy: bool
) -> dict[int, tuple[RowStatus, str, Warned | None]]:
    """Return place of a row that ends -> status, why, and what is to be warned of.

    :param approach: takes note of where rows are.
    :param is_noisy: whether the model is evaluated in single precision.
    """
    finite = torch.isfinite(now.energy) & torch.isfinite(now.force) & torch.isfinite(now.stress)
    approach.note(torch.maximum(now.force / p.fmax, now.stress / p.stress_max), now.steps)
    converged = finite & (now.force <= p.fmax) & (now.stress <= p.stress_max) & now.may_converge
    capped = finite & (now.force > p.force_cap)
    is_quiet = (now.force < QUIET) & ((now.stress < QUIET_STRESS) | (now.stress <= p.stress_max))
    stagnant = (now.steps - approach.since >= PATIENCE) & is_quiet & now.may_converge & is_noisy
    ended = (
        (converged | ~finite | capped | stagnant | (now.steps >= p.max_steps)).nonzero().flatten().tolist()
    )
    if not ended:
        return {}
    forces, stresses, steps = now.force.tolist(), now.stress.tolist(), now.steps.tolist()
    is_finite, is_converged, is_capped = finite.tolist(), converged.tolist(), capped.tolist()
    is_stagnant = stagnant.tolist()
    ends: dict[int, tuple[RowStatus, str, Warned | None]] = {}
    for place in ended:
        force, stress, step = forces[place], stresses[place], steps[place]
        left = (
            f"the largest force is {force:.3g} eV/A (fmax = {p.fmax:g}), the largest stress {stress:.3g} GPa "
            f"(stress_max = {p.stress_max:g})"
        )
        warned = None
        if not is_finite[place]:
            status, why = (
                RowStatus.DIVERGED,
                (
                    f"the model gives no finite number at step {step}: energy {now.energy[place]:g} eV, "
                    f"force {force:g} eV/A, stress {stress:g} GPa"
                ),
            )
        elif is_converged[place]:
            status, why = RowStatus.CONVERGED, ""
        elif is_capped[place]:
            status, why = (
                RowStatus.DIVERGED,
                (f"at step {step} force {force:.3g} eV/A exceeds force_cap = {p.force_cap:g} eV/A"),
            )
        elif is_stagnant[place]:
            status, warned = RowStatus.MAX_STEPS, Warned.STAGNANT
            why = (
                f"stagnant: no progress since step {int(approach.since[place])} of {step}: {left}. Forces and "
                f"stresses in dtype = {p.dtype.value} have noise of this size: use float64, or larger values of fmax "
                "and stress_max"
            )
        else:
            status, why = RowStatus.MAX_STEPS, f"after {p.max_steps} steps {left}"
        ends[place] = (status, why, warned)
    return ends
