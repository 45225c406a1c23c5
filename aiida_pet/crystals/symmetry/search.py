"""What moyo searches for symmetry: the cell of a crystal, or boxes around what is not one.

Atoms of which something is held get numbers of their own, so that moyo maps them onto each other only. Free of torch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import moyopy
import numpy as np
from numpy.typing import NDArray

from aiida_pet.crystals.vacuum import boxes_around
from aiida_pet.tables.arrays import Floats, Integers

logger = logging.getLogger(__name__)
# moyo reports for each supercell the operations that its lattice lacks: lines by the thousand, nothing to do.
logging.getLogger("moyo").setLevel(logging.ERROR)
logging.getLogger("moyopy").setLevel(logging.ERROR)

#: More than any number of a group or an element: what is put beside such a number is counted in units of this.
KINDS = 1000


@dataclass(frozen=True)
class SearchedCell:
    """A crystal with volume and finite numbers, or a row that is not one in a box with vacuum.

    :ivar cell: (3, 3), A, of the crystal or the box.
    :ivar fractional: (A, 3) coordinates in it.
    :ivar numbers: (A,), atoms of one number may be mapped onto each other.
    :ivar across: (3, 3) projector on the directions that are not periodic.
    :ivar allowed: (A, 3, 3) projectors on the directions in which atoms may move; None if all may.
    """

    cell: Floats
    fractional: Floats
    numbers: Integers
    across: Floats
    allowed: Floats | None = None

    @staticmethod
    def search(given: Any, symprec: float) -> Any:
        """Return what moyo says of ``given``."""
        return moyopy.MoyoDataset(given, symprec=symprec)

    @property
    def basis(self) -> Floats:
        """The cell as the search wants it, (3, 3)."""
        return self.cell

    def dataset(self, symprec: float) -> Any | None:
        """Return what moyo finds with a tolerance of at most ``symprec``, None where it finds nothing.

        moyo widens the tolerance by itself where a search fails; then it is asked again with a narrower one.
        """
        given = moyopy.Cell(self.basis.tolist(), self.fractional.tolist(), self.numbers.tolist())
        for fraction in (1.0, 0.7, 0.4, 0.1):
            try:
                dataset = self.search(given, fraction * symprec)
            except ValueError:
                continue
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # of Rust; does not derive from Exception
                    raise
                logger.warning("moyo gave up on %d atoms: %s", len(self.numbers), error)
                return None
            if dataset.symprec <= symprec * (1 + 1e-9):
                return dataset
        return None

    @staticmethod
    def type_of(rotations: Integers, translations: Floats, lattice: Floats) -> int:
        """Return the number of the group with these operations in the basis ``lattice``."""
        found = moyopy.SpaceGroup(rotations.tolist(), translations.tolist(), basis=lattice.tolist())
        return int(found.number)


class SearchedLayer(SearchedCell):
    """A slab in a box whose third vector is perpendicular to the other two, which are periodic."""

    @staticmethod
    def search(given: Any, symprec: float) -> Any:
        """Return what moyo says of the layer ``given``."""
        return moyopy.MoyoLayerDataset(given, symprec=symprec)

    @property
    def basis(self) -> Floats:
        """The cell turned until the layer lies in the plane of x and y."""
        return np.linalg.cholesky(self.cell @ self.cell.T)

    @staticmethod
    def type_of(rotations: Integers, translations: Floats, lattice: Floats) -> int:
        """Return the number of the layer group with these operations in the basis ``lattice``."""
        turned = np.linalg.cholesky(lattice @ lattice.T)
        return int(moyopy.LayerGroup(rotations.tolist(), translations.tolist(), basis=turned.tolist()).number)


def cells_to_search(
    cell: Floats,
    positions: Floats,
    numbers: NDArray[Any],
    pbc: NDArray[np.bool_],
    allowed: Floats | None = None,
) -> list[SearchedCell]:
    """Return the cell, or the boxes, in which the group of a row is looked for.

    None where there are no atoms, no volume (or area, or length), or numbers that are not finite.
    """
    if not len(numbers) or not np.isfinite(cell).all() or not np.isfinite(positions).all():
        return []
    cell = np.asarray(cell, dtype=np.float64)
    boxes = [cell] if pbc.all() else boxes_around(cell, positions, numbers, pbc)
    kind = SearchedLayer if pbc.sum() == 2 else SearchedCell
    labels = np.asarray(numbers, dtype=np.int64)
    if allowed is not None:
        labels = labels + KINDS * (3 - np.trace(allowed, axis1=1, axis2=2).round().astype(np.int64))
    crystals = []
    for box in boxes:
        if not abs(np.linalg.det(box)) > 1e-8 * np.prod(np.linalg.norm(box, axis=1)):
            continue
        along = np.linalg.pinv(cell[pbc]) @ cell[pbc]
        fractional = np.linalg.solve(box.T, positions.T).T
        crystals.append(kind(box, fractional, labels, np.eye(3) - along, allowed))
    return crystals
