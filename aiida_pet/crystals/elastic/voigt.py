"""Symmetric tensors as vectors and matrices: Voigt's form, which is stored, and Mandel's, which rotates.

Order xx yy zz yz xz xy. In Voigt's form a strain has doubled shears (engineering strains), a stress has not,
and C_ij of stress = C strain are the components of the tensor C_ijkl themselves. Mandel's form (also called
Kelvin's) scales each shear by sqrt(2) instead, of strains and stresses alike: then dot products, eigenvalues
and rotations of the 6-vectors are those of the tensors (Mehrabadi and Cowin, doi:10.1093/qjmam/43.1.15).
"""

from __future__ import annotations

import numpy as np

from aiida_pet.tables.arrays import Floats
from aiida_pet.units import VOIGT_PAIRS, VOIGT_PLACES

_FIRST, _SECOND = np.array(VOIGT_PAIRS).T
_ENGINEERING = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
_MANDEL = np.sqrt(_ENGINEERING)
_PLACE = np.array(VOIGT_PLACES)
_BASIS = (np.eye(6) / _MANDEL)[:, _PLACE]  # orthonormal symmetric matrices, one per entry of Mandel's vector


def stress_to_voigt(stress: Floats) -> Floats:
    """Return (..., 6) of symmetric (..., 3, 3)."""
    return stress[..., _FIRST, _SECOND]


def voigt_to_stress(voigt: Floats) -> Floats:
    """Return symmetric (..., 3, 3) of (..., 6)."""
    return voigt[..., _PLACE]


def strain_to_voigt(strain: Floats) -> Floats:
    """Return (..., 6), shears doubled, of symmetric (..., 3, 3)."""
    return strain[..., _FIRST, _SECOND] * _ENGINEERING


def to_mandel(tensor: Floats) -> Floats:
    """Return Mandel's form of elastic tensors (..., 6, 6) in Voigt's."""
    return tensor * _MANDEL[:, None] * _MANDEL


def from_mandel(tensor: Floats) -> Floats:
    """Return Voigt's form of elastic tensors (..., 6, 6) in Mandel's."""
    return tensor / _MANDEL[:, None] / _MANDEL


def mandel_rotations(rotations: Floats) -> Floats:
    """Return the orthogonal matrices (..., 6, 6) that turn symmetric tensors in Mandel's form as R t R^T does.

    :param rotations: R, (..., 3, 3), proper or not.
    """
    return np.einsum("Iij,...ia,...jb,Jab->...IJ", _BASIS, rotations, rotations, _BASIS, optimize=True)


def rotate_tensor(tensor: Floats, rotations: Floats) -> Floats:
    """Return elastic tensors with C'_ijkl = R_ia R_jb R_kc R_ld C_abcd.

    :param tensor: (..., 6, 6), Voigt's form.
    :param rotations: R, (..., 3, 3), of leading dimensions that go with those of ``tensor``. Where its rows are the
        axes of a new frame, the result are the components in this frame.
    """
    turn = mandel_rotations(rotations)
    return from_mandel(turn @ to_mandel(tensor) @ np.swapaxes(turn, -1, -2))
