"""Sets of strains for elastic constants, and the crystals under them.

A strain here is Green-Lagrange's, E = (F^T F - 1) / 2, as in pymatgen, matcalc and atomate2. The deformation
F that makes it is the symmetric one, F = (1 + 2 E)^(1/2), which equals 1 + E to first order: nothing turns the
crystal, which matters to a model that is not exactly equivariant (pymatgen and matcalc take the triangular F
of the same E, which turns it by about E). A lattice vector v becomes F v.

A normal strain of 0.01 is E_xx = 0.01, and a shear of 0.01 is E_yz = E_zy = 0.01, an engineering shear of
0.02, again as in pymatgen. Voigt order xx yy zz yz xz xy. Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_pet.crystals.elastic.voigt import voigt_to_stress
from aiida_pet.tables.arrays import Floats


@dataclass(frozen=True)
class StrainAmounts:
    """How far a crystal is strained along each of the six Voigt directions.

    :ivar normal: amounts along xx, yy and zz.
    :ivar shear: amounts along yz, xz and xy, as components of the tensor.
    """

    normal: tuple[float, ...]
    shear: tuple[float, ...]

    def __post_init__(self) -> None:
        """:raises ValueError: if a list is empty, or has a zero, repeated or impossible amount."""
        for name, amounts in (("normal", self.normal), ("shear", self.shear)):
            if not amounts:
                raise ValueError(f"no {name} strains: expected at least one, such as (-0.005, 0.005)")
            if len(set(amounts)) != len(amounts):
                raise ValueError(f"{name} strains must differ from each other, got {list(amounts)}")
            bad = [amount for amount in amounts if not 0 < abs(amount) < 0.5]
            if bad:
                raise ValueError(f"{name} strains must be between -0.5 and 0.5 and not zero, got {bad}")


# `linear` is as small as the noise of relaxed ions allows: a force of 1e-4 eV/A leaves some 1e-4 GPa of stress, so
# 0.02 GPa of a modulus at 0.5 %. The second order of the strain cancels between plus and minus, in all three sets; what
# is left of the third is 0.1 % of the moduli of CuAu with EMT. A rougher model shows more, in the residual.
PROTOCOLS = {
    "linear": StrainAmounts((-0.005, -0.0025, 0.0025, 0.005), (-0.005, -0.0025, 0.0025, 0.005)),
    # de Jong et al., doi:10.1038/sdata.2015.9; matcalc's ElasticityCalc
    "materials_project": StrainAmounts((-0.01, -0.005, 0.005, 0.01), (-0.06, -0.03, 0.03, 0.06)),
    # Rhodes et al., arXiv:2504.06231
    "orb_v3": StrainAmounts((-0.1, -0.05, 0.05, 0.1), (-0.02, -0.01, 0.01, 0.02)),
}


def strain_tensors(amounts: StrainAmounts) -> Floats:
    """Return the strains E (K, 3, 3): every amount along every Voigt direction, xx yy zz yz xz xy."""
    strains = [
        amount * np.eye(6)[direction]
        for direction in range(6)
        for amount in (amounts.normal if direction < 3 else amounts.shear)
    ]
    return voigt_to_stress(np.array(strains))


def deformation_gradients(strains: Floats) -> Floats:
    """Return the symmetric F (..., 3, 3) with F F = 1 + 2 E.

    :param strains: E, (..., 3, 3).
    :raises ValueError: if a strain flattens the crystal: an eigenvalue of E of -0.5 or less.
    """
    values, vectors = np.linalg.eigh(np.eye(3) + 2 * strains)
    if not (values > 0).all():
        raise ValueError(
            f"a strain with the principal value {(values.min() - 1) / 2:g} flattens a crystal: expected more than -0.5"
        )
    return (vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
