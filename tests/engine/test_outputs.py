"""Further outputs and variants from the parameters of a job to the columns of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from aiida_pet.engine.run import Job
from aiida_pet.job.checkpoint import sha256_of
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.job.parameters import Output, ParameterError, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_llpr, tiny_pet


@pytest.fixture
def run_job(tmp_path, alloys):
    """Run a job of a calibrated model with two variants, over four alloys and a copper atom that it does not know."""
    path = tmp_path / "model.ckpt"
    torch.save(tiny_llpr(tiny_pet(variants=(None, "pbe")), members=8).get_checkpoint(), path)
    copper = StructureTable.from_ase([("copper", Atoms("Cu", cell=3 * np.eye(3), pbc=True))])
    table = StructureTable.concatenate([alloys(4), copper])

    def run(name: str, task: Task = Task.STATIC, model: Path = path, **parameters: Any) -> StructureTable:
        folder = JobFolder(tmp_path / name)
        settings = EngineSettings(device="cpu", flush_interval_s=0.0)
        spec = JobSpec(task, parameters, sha256_of(model), str(model), settings)
        folder.write_inputs(spec, table)
        assert Job(folder).run() is ExitStatus.OK, folder.read_progress().message
        return folder.read_results()[0].select(table.ids)

    return run


@pytest.mark.parametrize("task", [Task.STATIC, Task.RELAX])
def test_outputs_become_columns_with_units(run_job, task):
    few = {} if task is Task.STATIC else {"max_steps": 2}
    plain = run_job("plain", task, **few)
    result = run_job("all", task, outputs=list(Output), **few)
    assert set(result.columns) - set(plain.columns) == {"features", "uncertainty", "ensemble", "invariance"}
    assert set(result.atom_columns) - set(plain.atom_columns) == {"energies"}
    assert {name: result.units.get(name) for name in Output} == {
        "energies": "eV", "features": None, "uncertainty": "eV", "ensemble": "eV", "invariance": "eV",
    }  # fmt: skip
    np.testing.assert_allclose(result.columns["energy"], plain.columns["energy"], atol=1e-10)
    assert np.isfinite(result.columns["features"][:4]).all()
    assert (result.columns["uncertainty"][:4] > 0).all()
    assert result.columns["ensemble"].shape == (5, 8)
    np.testing.assert_allclose(
        result.columns["ensemble"][:4].mean(axis=1), result.columns["energy"][:4], atol=1e-9
    )
    sums = [result.atom_columns["energies"][result.atoms_of(row)].sum() for row in range(4)]
    np.testing.assert_allclose(sums, result.columns["energy"][:4], atol=1e-10)
    # the row that never entered has the same columns, empty
    assert result.columns["status"][4] == "unsupported_element"
    assert np.isnan(result.columns["features"][4]).all()
    assert np.isnan(result.columns["ensemble"][4]).all()
    assert np.isnan(result.atom_columns["energies"][result.atoms_of(4)]).all()


def test_variant_changes_energies_and_uncertainties(run_job):
    plain, other = (run_job(f"v-{v}", variant=v, outputs=["uncertainty"]) for v in (None, "pbe"))
    assert (np.abs(plain.columns["energy"] - other.columns["energy"])[:4] > 1e-3).all()
    assert (np.abs(plain.columns["uncertainty"] - other.columns["uncertainty"])[:4] > 1e-3).all()


def test_job_of_a_model_that_is_not_plain_goes_through_metatomic(run_job, tmp_path):
    path = tmp_path / "zbl.ckpt"
    torch.save(tiny_pet(zbl=True).get_checkpoint(), path)
    result = run_job("zbl", model=path, outputs=["energies", "features", "invariance"])
    assert result.columns["status"].tolist() == ["converged"] * 4 + ["unsupported_element"]
    assert np.isfinite(result.columns["features"][:4]).all()


def test_job_that_asks_for_what_its_model_lacks_ends_as_bad_model(run_job, tmp_path):
    path = tmp_path / "plain.ckpt"
    torch.save(tiny_pet().get_checkpoint(), path)
    with pytest.raises(
        AssertionError,
        match="BAD_MODEL: outputs has uncertainty, but the model, a PET, has no uncertainty",
    ):
        run_job("lacking", model=path, outputs=["uncertainty"])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["charges"], r"outputs.0 = 'charges': expected energies, features"),
        (["features"] * 2, "must differ from each other"),
    ],
)
def test_outputs_that_cannot_be_are_refused(outputs, message):
    with pytest.raises(ParameterError, match=message):
        parse_parameters(Task.STATIC, {"outputs": outputs})
