"""Whether two campaigns over the same crystals came to the same rows."""

from __future__ import annotations

import numpy as np

from support.services.profile import Row

# the same crystals in the same jobs on the same processor: what is left is the order of sums in threads
TOLERANCE = 1e-8  # eV, A^3
SAME = ("status", "formula", "n_steps", "spacegroup_0_01", "symmetry_kept_0_01")


def assert_same_rows(found: dict[str, Row], expected: dict[str, Row]) -> None:
    """Assert that each id has its row, with the same status, space groups, steps and energy."""
    assert {row["status"] for row in expected.values()} == {"converged"}
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert {key: found[name][key] for key in SAME} == {key: row[key] for key in SAME}, name
    for column in ("energy", "volume"):
        values = [[rows[name][column] for name in expected] for rows in (found, expected)]
        np.testing.assert_allclose(values[0], values[1], rtol=0, atol=TOLERANCE, err_msg=column)
