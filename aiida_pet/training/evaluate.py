"""A model over labelled rows by the batched engine, in a folder of its own: what its errors are made of."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiida_pet.job.checkpoint import describe_checkpoint, load_checkpoint
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec, RowStatus
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.errors import Residuals
from aiida_pet.training.labels import Labels

logger = logging.getLogger(__name__)


def outputs_of(path: Path, sha256: str) -> list[str]:
    """Return the names of the outputs of the model ``path``."""
    found: list[str] = describe_checkpoint(load_checkpoint(path, sha256))["outputs"]
    return found


def residuals_of(
    model: tuple[Path, str],
    table: StructureTable,
    labels: Labels,
    folder: Path,
    settings: EngineSettings,
    *,
    variant: str | None = None,
) -> Residuals | None:
    """Return model minus label of the rows of ``table``, None if the engine could not.

    :param model: file and its SHA-256.
    :param labels: labels of the same rows, all of them.
    :param folder: to work in; a folder for each derivation is made in it.
    :param variant: variant of the outputs; where the model has none of that name, those without one are taken.
    """
    names = outputs_of(*model)
    own = variant if variant is not None and f"energy/{variant}" in names else None
    suffix = "" if own is None else f"/{own}"
    certain = "energy_uncertainty" in names
    sizes = np.diff(table.offsets)
    found = _run(
        model,
        table,
        folder / "conservative",
        settings,
        variant=own,
        uncertainty=certain,
    )
    if found is None:
        return None
    values: dict[str, Array] = {"energy": (found["energy"] - labels.energy) / np.maximum(sizes, 1)}
    if labels.forces is not None:
        values["forces"] = found["forces"] - labels.forces
    if labels.stress is not None:
        values["stress"] = found["stress"] - labels.stress
    z = uncertainty = None
    if certain:
        uncertainty = found["uncertainty"] / np.maximum(sizes, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (found["energy"] - labels.energy) / found["uncertainty"]
    forces, stress = (f"non_conservative_{name}{suffix}" in names for name in ("force", "stress"))
    forces, stress = forces and labels.forces is not None, stress and labels.stress is not None
    if forces or stress:
        heads = _run(model, table, folder / "direct", settings, forces=forces, stress=stress, variant=own)
        if heads is not None and forces:
            values["direct_forces"] = heads["forces"] - labels.forces
        if heads is not None and stress:
            values["direct_stress"] = heads["stress"] - labels.stress
    return Residuals(values, z, uncertainty)


def _run(
    model: tuple[Path, str],
    table: StructureTable,
    folder: Path,
    settings: EngineSettings,
    *,
    variant: str | None,
    forces: bool = False,
    stress: bool = False,
    uncertainty: bool = False,
) -> dict[str, Array] | None:
    """Return energy (N,), forces (A, 3), stress (N, 6) and perhaps uncertainty (N,), NaN for rows without an answer.

    :param forces, stress: whether they come from direct heads.
    """
    from aiida_pet.engine.run import Job  # noqa: PLC0415 - torch

    spec = JobSpec(
        task=Task.STATIC,
        parameters={
            "forces": "direct" if forces else "conservative",
            "stress": "direct" if stress else "conservative",
            "variant": variant,
            "symprecs": [],
            "dtype": "float32",
            "outputs": ["uncertainty"] if uncertainty else [],
        },
        model_sha256=model[1],
        model_path=str(model[0].resolve()),
        settings=replace(settings, walltime_s=None),
    )
    geometry = StructureTable(
        ids=table.ids,
        numbers=table.numbers,
        positions=table.positions,
        cells=table.cells,
        pbc=table.pbc,
        offsets=table.offsets,
    )
    job = JobFolder(folder)
    job.write_inputs(spec, geometry)
    status = Job(job).run()
    if status is not ExitStatus.OK:
        logger.warning(
            "the errors of the model were not computed: the engine ended as %s in %s", status.name, folder
        )
        return None
    results, _ = job.read_results()
    if results is None:
        return None
    results = results.select(table.ids)
    answered = results.columns["status"] == RowStatus.CONVERGED.value
    atoms = np.repeat(answered, np.diff(table.offsets))
    nan = np.full(len(table), np.nan)
    stresses = results.columns.get("stress", np.full((len(table), 6), np.nan))
    return {
        "energy": np.where(answered, results.columns["energy"], np.nan),
        "forces": np.where(atoms[:, None], results.atom_columns["forces"], np.nan),
        "stress": np.where(answered[:, None], stresses, np.nan),
        "uncertainty": np.where(answered, results.columns.get("uncertainty", nan), np.nan),
    }
