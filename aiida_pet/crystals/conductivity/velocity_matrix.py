"""A work-around for velocity matrices of phono3py 4, which lose a part on lines of symmetry.

phono3py 4.0 to 4.10 takes the diagonals of its velocity matrices as a view (``np.einsum("qaii->qia", ...).real``) and
projects that view in place on the directions that the little group of the q-point leaves alone, so that the matrices
themselves are changed. Modes that are not degenerate do not notice. Of degenerate pairs on lines of symmetry the
traceless part is lost, up to 15 % of the conductivity of a q-point of SiC. Conductivities of Wigner's kind ("SMM19")
are made of these matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

__all__ = ["whole_velocity_matrices"]


@contextmanager
def whole_velocity_matrices() -> Iterator[None]:
    """Let phono3py keep its velocity matrices whole; group velocities are projected as before.

    In a release that has no such fault nothing changes.
    """
    from phono3py.phonon.velocity_matrix import VelocityMatrix  # noqa: PLC0415 - an extra

    run = VelocityMatrix.run

    def whole(self: Any, q_points: Any, perturbation: Any = None) -> None:
        self._get_projector = lambda _: np.eye(3)
        try:
            run(self, q_points, perturbation)
        finally:
            del self._get_projector
        velocities = np.array(self._group_velocities)
        for place, q in enumerate(np.asarray(q_points, dtype=np.float64)):
            velocities[place] = velocities[place] @ self._get_projector(q).T
        self._group_velocities = velocities

    with patch.object(VelocityMatrix, "run", whole):
        yield
