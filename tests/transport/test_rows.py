"""Rows of forces through the transport, against phono3py by hand and against what they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.crystals.conductivity.transport import Transport, conductivity
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.columns import columns_of
from aiida_pet.transport.rows import MODES, transport_of_row, with_answers
from support.third_order import copper, forces_rows, solve

GIVEN = {"mesh": (5, 5, 5), "temperatures": (100.0,), "symprecs": (), "opposites": "auto"}


def parameters(**further):
    return parse_parameters(Task.CONDUCTIVITY, GIVEN | further)


@pytest.fixture(scope="module")
def row():
    return forces_rows({"Cu": bulk("Cu", "fcc", a=3.55)})


def test_conductivity_is_that_of_the_forces(row):
    solved = solve(copper())
    hand = conductivity(solved.phono3py, solved.fc2, solved.fc3, Transport((5, 5, 5), (100.0,)))
    answer = transport_of_row(row, parameters())
    assert answer.failed == ""
    np.testing.assert_allclose(answer.columns["kappa"], hand.mean, rtol=1e-4)  # single precision
    assert answer.columns["kappa_300"] == answer.columns["kappa"][1]
    assert answer.columns["kappa_mesh"].tolist() == [5, 5, 5]
    assert answer.columns["cumulative_kappa"][-1] == pytest.approx(answer.columns["kappa_300"])
    assert answer.columns["cumulative_kappa_paths"][-1] == pytest.approx(answer.columns["kappa_300"])
    assert answer.ragged == {}


def test_modes_on_request_add_up(row):
    answer = transport_of_row(row, parameters(modes=True))
    sums = answer.ragged["kappa_modes"].sum(axis=0) / answer.ragged["kappa_weights"].sum()
    assert sums[:3].mean() == pytest.approx(answer.columns["kappa_300"])
    assert len(answer.ragged["kappa_frequencies"]) == 3 * len(answer.ragged["kappa_qpoints"])


def test_columns_are_those_of_the_catalogue(row):
    given = parameters(modes=True)
    found = with_answers(row, transport_of_row(row, given), given)
    wanted = {column.name: column for column in columns_of("conductivity", given)}
    assert "fc2_forces" not in found.ragged
    from aiida_pet.tables.columns import find_columns

    sizes = {"K": 2, "C": given.cumulative_points}
    new = {*found.columns, *found.ragged} - {*row.columns, *row.ragged}
    assert new == {column.name for column in columns_of_transport()}
    for name in new:
        (column,) = [one for one in find_columns(name) if one.name == name]
        values = found.ragged[name].values if name in found.ragged else found.columns[name]
        shape = column.shape[1:] if name in found.ragged else column.shape
        assert values.shape[1:] == tuple(int(one) if one.isdigit() else sizes[one] for one in shape), name
        assert found.units.get(name, "") == column.unit, name
    assert wanted


def columns_of_transport():
    from aiida_pet.tables.catalogue.conductivity import CONDUCTIVITY

    return [column for column in CONDUCTIVITY if column.of_the_set]


def test_rows_without_forces_pass_with_nothing_in_them(row):
    failed = replace(row, columns=row.columns | {"status": np.array(["max_steps"])})
    given = parameters(modes=True)
    found = with_answers(failed, transport_of_row(failed, given), given)
    assert found.columns["status"].tolist() == ["max_steps"]
    assert np.isnan(found.columns["kappa_300"]).all()
    assert np.isnan(found.columns["has_imaginary_modes"]).all()
    assert found.columns["conductivity_skipped"].tolist() == [""]
    assert all(not len(found.ragged[name].values) for name in MODES)


def test_imaginary_modes_are_data():
    row = forces_rows({"Cu": bulk("Cu", "fcc", a=4.3)})
    answer = transport_of_row(row, parameters())
    assert answer.columns["has_imaginary_modes"]
    assert answer.columns["conductivity_skipped"].startswith("imaginary modes")
    assert np.isnan(answer.columns["kappa_300"])


def test_changed_space_group_ends_it(row):
    groups = {"initial_spacegroup_0_01": np.array([225]), "spacegroup_0_01": np.array([139])}
    changed = replace(row, columns=row.columns | groups)
    answer = transport_of_row(changed, parameters(symprecs=(0.01, 0.1)))
    assert "from 225 to 139" in answer.columns["conductivity_skipped"]
    assert np.isnan(answer.columns["kappa_300"])
    assert not answer.columns["has_imaginary_modes"]


def test_other_displacements_than_the_forces_are_told(row):
    answer = transport_of_row(row, parameters(opposites="always"))
    assert "install the same versions of phono3py" in answer.failed
    found = with_answers(row, answer, parameters())
    assert found.columns["status"].tolist() == ["failed"]


def test_curve_of_mean_free_paths_begins_where_they_carry_heat(row):
    columns = transport_of_row(row, parameters()).columns
    lengths, carried = columns["cumulative_paths"], columns["cumulative_kappa_paths"]
    assert (np.diff(lengths) > 0).all()
    assert 1e-3 * carried[-1] < carried[0] < 0.2 * carried[-1]
    assert carried[-1] == pytest.approx(columns["kappa_300"], rel=1e-6)


def test_panic_of_a_library_is_the_error_of_its_row(row, monkeypatch):
    class PanicException(BaseException):
        """As pyo3 raises it: no Exception, and nothing that can be pickled."""

    def panic(*_, **__):
        raise PanicException("index out of bounds")

    monkeypatch.setattr("aiida_pet.transport.rows.conductivity", panic)
    assert transport_of_row(row, parameters()).failed == "PanicException: index out of bounds"
    monkeypatch.setattr(
        "aiida_pet.transport.rows.conductivity", lambda *_, **__: (_ for _ in ()).throw(SystemExit)
    )
    with pytest.raises(SystemExit):
        transport_of_row(row, parameters())


def test_mesh_of_the_row_stands_over_that_of_parameters(row):
    given = replace(row, columns=row.columns | {"q_mesh": np.array([[4, 4, 4]])})
    assert transport_of_row(given, parameters()).columns["kappa_mesh"].tolist() == [4, 4, 4]
    wrong = replace(row, columns=row.columns | {"q_mesh": np.array([[2.5, 4, 4]])})
    assert transport_of_row(wrong, parameters()).failed.startswith(
        "q_mesh = [2.5, 4.0, 4.0]: expected 3 positive"
    )
    ignored = transport_of_row(given, parameters(given_cells=False))
    assert ignored.columns["kappa_mesh"].tolist() == [5, 5, 5]


def test_dipoles_raise_the_optical_branch_of_a_conventional_cell():
    crystal = bulk("CuAu", "rocksalt", a=5.4, cubic=True)
    row = forces_rows({"x": crystal}, size=2)
    charges = np.where(row.numbers[:, None, None] == 29, 1.0, -1.0) * np.eye(3)
    charged = replace(
        row,
        columns=row.columns | {"dielectric_tensor": 2 * np.eye(3)[None]},
        atom_columns={"born_charges": charges},
    )
    without, corrected = (transport_of_row(one, parameters()) for one in (row, charged))
    assert without.failed == corrected.failed == ""
    assert without.columns["mesh_min_frequency"] != corrected.columns["mesh_min_frequency"]
    off = transport_of_row(charged, parameters(nac=False))
    assert off.columns["mesh_min_frequency"] == without.columns["mesh_min_frequency"]
