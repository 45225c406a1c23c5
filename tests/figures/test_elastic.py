"""Young's modulus by direction against formulas by hand and against pymatgen's elastic tensors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.elasticity import ElasticTensor

from aiida_pet.figures.elastic import (
    compressibility_along,
    elastic_surface,
    elastic_surface_of_row,
    youngs_modulus_along,
)
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.tables.table import Table


def cubic(c11: float, c12: float, c44: float) -> np.ndarray:
    tensor = np.diag([c11 - c12] * 3 + [c44] * 3)
    tensor[:3, :3] += c12
    return tensor


COPPER = cubic(168.4, 121.4, 75.4)


def triclinic() -> np.ndarray:
    given = np.random.default_rng(3).normal(size=(6, 6))
    return 100 * np.eye(6) + 5 * (given + given.T)


def test_copper_along_100_110_111_is_what_the_formulas_of_nye_say() -> None:
    c11, c12, c44 = 168.4, 121.4, 75.4
    s11 = (c11 + c12) / ((c11 - c12) * (c11 + 2 * c12))
    s12 = -c12 / ((c11 - c12) * (c11 + 2 * c12))
    s44 = 1 / c44
    shape = s11 - s12 - s44 / 2  # 1 / E = s11 - 2 (s11 - s12 - s44/2) (l2m2 + m2n2 + n2l2)
    expected = {"[100]": 1 / s11, "[110]": 1 / (s11 - shape / 2), "[111]": 1 / (s11 - 2 / 3 * shape)}
    found = elastic_surface(COPPER).directions
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value)
    assert found["[100]"][0] == pytest.approx(66.7, abs=0.1)  # GPa, as handbooks have it
    assert found["[111]"][0] == pytest.approx(191.1, abs=0.5)


def test_compressibility_of_a_cubic_crystal_is_a_third_of_the_volumes_in_all_directions() -> None:
    bulk = (168.4 + 2 * 121.4) / 3
    assert elastic_surface(COPPER).compressibility == pytest.approx(1000 / (3 * bulk))


def test_triclinic_tensor_agrees_with_pymatgens_compliance() -> None:
    tensor, rng = triclinic(), np.random.default_rng(4)
    compliance = np.array(ElasticTensor.from_voigt(tensor).compliance_tensor)
    for n in rng.normal(size=(20, 3)):
        unit = n / np.linalg.norm(n)
        expected = 1 / np.einsum("ijkl,i,j,k,l", compliance, unit, unit, unit, unit)
        assert youngs_modulus_along(tensor, n) == pytest.approx(expected)
        beta = 1000 * np.einsum("ijkk,i,j", compliance, unit, unit)
        assert compressibility_along(tensor, n) == pytest.approx(beta)


def test_surface_and_sections_hold_the_directions() -> None:
    found = elastic_surface(triclinic(), n_theta=5, n_phi=9)
    assert found.youngs_modulus.shape == (5, 9)
    assert found.youngs_modulus[0] == pytest.approx(found.directions["[001]"][0])  # the pole
    assert found.youngs_modulus[2, 0] == pytest.approx(found.directions["[100]"][0])
    assert found.sections["xy"][1] == pytest.approx(found.directions["[110]"][0])
    assert found.sections["yz"][0] == pytest.approx(found.directions["[010]"][0])
    radius = np.linalg.norm(found.points(), axis=-1)
    assert radius == pytest.approx(found.youngs_modulus)
    assert len(found.to_frame()) == 45


def test_row_is_taken_in_the_setting_that_is_asked_for() -> None:
    own, ieee = triclinic(), COPPER
    columns = {"elastic_tensor": np.array([own]), "elastic_tensor_ieee": np.array([ieee])}
    table = Table(np.array(["a"]), columns)
    frame = pd.DataFrame(
        {f"{name}_{i}": value.reshape(1, 36)[:, i] for name, value in columns.items() for i in range(36)},
        index=["a"],
    )
    for source in (table, frame):
        assert elastic_surface_of_row(source, "a").tensor == pytest.approx(ieee)
        assert elastic_surface_of_row(source, "a", ieee=False).tensor == pytest.approx(own)


def test_unstable_crystal_and_missing_tensor_are_said() -> None:
    with pytest.raises(NotDrawnError, match="'a': the smallest eigenvalue of the elastic tensor is -10"):
        elastic_surface(cubic(100, 110, 50), "a")
    with pytest.raises(NotDrawnError, match="launch elastic"):
        elastic_surface_of_row(Table(np.array(["a"])), "a")
    nothing = Table(
        np.array(["a"]), {"elastic_tensor": np.full((1, 6, 6), np.nan), "status": np.array(["left"])}
    )
    with pytest.raises(NotDrawnError, match="'a' has no elastic_tensor: it ended as left"):
        elastic_surface_of_row(nothing, "a")
