"""Young's modulus and the linear compressibility of a crystal along every direction.

J. F. Nye, Physical Properties of Crystals (Oxford University Press, 1957), chapter VIII: with the compliances S_ijkl
and a unit vector n, 1 / E = S_ijkl n_i n_j n_k n_l (section 6), and the linear compressibility beta = S_ijkk n_i n_j
(section 8). Tensors are in GPa in Voigt's form, order xx yy zz yz xz xy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from aiida_pet.crystals.elastic.voigt import to_mandel
from aiida_pet.figures.source import NotDrawnError, Source, array_of_row, as_frame, framed
from aiida_pet.tables.arrays import Floats
from aiida_pet.units import VOIGT_PAIRS

REMEDY = "`aiida-pet launch elastic SET` makes this column, or the stage elastic of a screening"
DIRECTIONS = {
    "[100]": (1, 0, 0),
    "[010]": (0, 1, 0),
    "[001]": (0, 0, 1),
    "[110]": (1, 1, 0),
    "[111]": (1, 1, 1),
}
"""Directions whose values are listed, along the axes of the tensor."""
PLANES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}
"""Planes through the surface: the axes of each."""
_IEEE, _OWN = "elastic_tensor_ieee", "elastic_tensor"


@dataclass(frozen=True)
class ElasticSurface:
    """Elastic moduli by direction, on a grid of T polar and P azimuthal angles.

    :ivar id: id of the row.
    :ivar axes: description of x, y and z in words.
    :ivar tensor: (6, 6) GPa.
    :ivar theta: (T,) polar angle from z, radians.
    :ivar phi: (P,) azimuth from x, radians; the last angle is the same direction as the first.
    :ivar youngs_modulus: (T, P) GPa.
    :ivar compressibility: (T, P) linear, 1/TPa.
    :ivar directions: name -> (Young's modulus in GPa, linear compressibility in 1/TPa).
    :ivar angles: (K,) radians, of the sections.
    :ivar sections: ``xy``, ``xz``, ``yz`` -> (K,) Young's modulus in GPa over ``angles``, from the first axis.
    """

    id: str
    axes: str
    tensor: Floats
    theta: Floats
    phi: Floats
    youngs_modulus: Floats
    compressibility: Floats
    directions: dict[str, tuple[float, float]]
    angles: Floats
    sections: dict[str, Floats]

    def points(self, values: Floats | None = None) -> Floats:
        """Return (T, P, 3), a surface whose distance from the origin is ``values`` (default: Young's modulus)."""
        radius = self.youngs_modulus if values is None else values
        return _unit_vectors(self.theta, self.phi) * radius[..., None]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per direction of the grid: ``x``, ``y``, ``z``, ``youngs_modulus``, ``compressibility``."""
        vectors = _unit_vectors(self.theta, self.phi).reshape(-1, 3)
        columns: dict[str, object] = {axis: vectors[:, place] for place, axis in enumerate("xyz")}
        columns |= {
            "youngs_modulus": self.youngs_modulus.ravel(),
            "compressibility": self.compressibility.ravel(),
        }
        return framed(columns, {"youngs_modulus": "GPa", "compressibility": "1/TPa"})


def youngs_modulus_along(tensor: Floats, directions: ArrayLike) -> Floats:
    """Return (...,) GPa, Young's modulus along ``directions`` (..., 3), which need not be unit vectors.

    :param tensor: (6, 6) GPa.
    """
    vectors = _normalised(directions)
    stress = _mandel_of(vectors)
    return 1.0 / np.einsum("...i,ij,...j->...", stress, _compliance(tensor), stress)


def compressibility_along(tensor: Floats, directions: ArrayLike) -> Floats:
    """Return (...,) 1/TPa, the linear compressibility along ``directions`` (..., 3).

    :param tensor: (6, 6) GPa.
    """
    vectors = _normalised(directions)
    pressure = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    return 1000.0 * _mandel_of(vectors) @ (_compliance(tensor) @ pressure)


def elastic_surface(
    tensor: ArrayLike,
    row_id: str = "",
    *,
    axes: str = "axes of the tensor",
    n_theta: int = 61,
    n_phi: int = 121,
) -> ElasticSurface:
    """Return elastic moduli by direction from an elastic tensor.

    :param tensor: (6, 6) GPa.
    :param axes: description of its axes, in words.
    :raises NotDrawnError: if the crystal is not mechanically stable, since then some directions have no modulus.

    >>> tungsten = np.diag([522.0, 522.0, 522.0, 161.0, 161.0, 161.0])  # GPa
    >>> tungsten[:3, :3] += 204.0 * (1 - np.eye(3))
    >>> youngs, compressibility = elastic_surface(tungsten).directions["[100]"]
    >>> print(round(youngs), "GPa", round(compressibility, 2), "1/TPa")
    407 GPa 1.08 1/TPa
    """
    given = np.asarray(tensor, dtype=np.float64)
    lowest = float(np.linalg.eigvalsh(to_mandel(given)).min()) if np.isfinite(given).all() else np.nan
    if not lowest > 0:
        raise NotDrawnError(
            f"row {row_id!r}: the smallest eigenvalue of the elastic tensor is {lowest:.3g} GPa; only a mechanically "
            "stable crystal has a modulus along every direction"
        )
    theta, phi = np.linspace(0, np.pi, n_theta), np.linspace(0, 2 * np.pi, n_phi)
    vectors = _unit_vectors(theta, phi)
    sections = {}
    for name, (first, second) in PLANES.items():
        lines = np.zeros((n_phi, 3))
        lines[:, first], lines[:, second] = np.cos(phi), np.sin(phi)
        sections[name] = youngs_modulus_along(given, lines)
    named = {
        name: (float(youngs_modulus_along(given, one)), float(compressibility_along(given, one)))
        for name, one in DIRECTIONS.items()
    }
    return ElasticSurface(
        id=row_id,
        axes=axes,
        tensor=given,
        theta=theta,
        phi=phi,
        youngs_modulus=youngs_modulus_along(given, vectors),
        compressibility=compressibility_along(given, vectors),
        directions=named,
        angles=phi,
        sections=sections,
    )


def elastic_surface_of_row(source: Source, row_id: str, *, ieee: bool = True) -> ElasticSurface:
    """Return elastic moduli by direction from the elastic tensor of a row.

    :param source: with ``elastic_tensor_ieee`` or ``elastic_tensor``.
    :param ieee: in the setting of IEEE Std 176-1987, where x is [100] of a cubic crystal; otherwise in the axes of the
        row's cell.
    :raises NotDrawnError: if the row has no tensor, or is not mechanically stable.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        surface = elastic_surface_of_row(rows("elastic of alloys").to_table(), "MoTa-0013")
        print(surface.directions["[111]"])
    """
    columns = source.columns if isinstance(source, pd.DataFrame) else source.columns.keys()
    has_ieee = any(str(name).startswith(_IEEE) for name in columns)
    name = _IEEE if ieee and has_ieee else _OWN
    tensor = array_of_row(_without(source, name), name, row_id, REMEDY, (6, 6))
    axes = "IEEE setting" if name == _IEEE else "axes of the cell of the crystal"
    return elastic_surface(tensor, row_id, axes=axes)


def _without(source: Source, name: str) -> Source:
    """Return ``source`` without what only begins like ``name``."""
    if name == _IEEE or not isinstance(source, pd.DataFrame):
        return source
    frame = as_frame(source)
    return frame[[column for column in frame.columns if not str(column).startswith(_IEEE)]]


def _compliance(tensor: Floats) -> Floats:
    """(6, 6) in Mandel's form, 1/GPa: the inverse of the stiffness in this form is the compliance in it."""
    return np.linalg.inv(to_mandel(np.asarray(tensor, dtype=np.float64)))


def _mandel_of(vectors: Floats) -> Floats:
    """(..., 6) n n^T in Mandel's form."""
    first, second = np.array(VOIGT_PAIRS).T
    scale = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    return vectors[..., first] * vectors[..., second] * scale


def _normalised(directions: ArrayLike) -> Floats:
    vectors = np.asarray(directions, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _unit_vectors(theta: Floats, phi: Floats) -> Floats:
    """(T, P, 3)."""
    polar, azimuth = np.meshgrid(theta, phi, indexing="ij")
    return np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    )


__all__ = [
    "DIRECTIONS",
    "PLANES",
    "ElasticSurface",
    "compressibility_along",
    "elastic_surface",
    "elastic_surface_of_row",
    "youngs_modulus_along",
]
