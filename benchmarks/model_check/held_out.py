"""Errors on held-out crystals, by domain and element, and whether the uncertainty tells them."""

from __future__ import annotations

import io
import lzma
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import iread

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training.errors import NORMAL_MEDIAN, Judged, Residuals, error_table
from aiida_pet.training.evaluate import residuals_of
from aiida_pet.training.labels import read_labels
from aiida_pet.training.parameters import parse_training
from benchmarks.model_check.engine import Model

FIRST_STEPS = 4  # of a relaxation: forces there are larger than those that anyone relaxes with
ALLOY_AIMS = (0.010, 0.045)  # eV/atom, eV/A
ALL_AIMS = (0.040, 0.110)
SCALE = (0.7, 1.4)
MAX_SPREAD = 2.0


def read_frames(paths: list[Path], elements: set[int]) -> tuple[StructureTable, np.ndarray[Any, Any]]:
    """Return the labelled frames of ``paths`` that the model can evaluate, and the step of each.

    Their ids are ``FILE:NUMBER``; ``kind`` is ``DFT`` for frames that say none.
    """
    named, kinds, steps, energies, forces, stresses = [], [], [], [], [], []
    for path in paths:
        for i, atoms in enumerate(iread(_text(path), format="extxyz", index=":")):
            if not set(atoms.numbers.tolist()) <= elements:
                continue
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
            stresses.append(atoms.get_stress())
            kinds.append(str(atoms.info.get("kind", "DFT")))
            steps.append(int(atoms.info.get("step", 0)))
            atoms.calc = None
            atoms.info = {}
            named.append((f"{path.name.split('.')[0]}-{i}", atoms))
    table = StructureTable.from_ase(named)
    table.set_column("input_energy", np.array(energies), "eV")
    table.set_column("input_stress", np.array(stresses), "eV/A^3")
    table.set_column("kind", np.array(kinds, dtype=str))
    table.atom_columns["input_forces"] = np.concatenate(forces)
    return table, np.array(steps)


def _text(path: Path) -> io.StringIO:
    """Return the text of a file, unpacked: seeking in a packed one takes minutes."""
    content = path.read_bytes()
    return io.StringIO((lzma.decompress(content) if path.suffix == ".xz" else content).decode())


def residuals(model: Model, table: StructureTable) -> Residuals:
    """Return model minus label.

    :raises RuntimeError: if the engine ended otherwise than well.
    """
    labels = read_labels(table, parse_training({}))
    with tempfile.TemporaryDirectory(prefix="aiida-pet-check-") as folder:
        found = residuals_of((model.path, model.sha256), table, labels, Path(folder), model.settings)
    if found is None:
        raise RuntimeError("the engine did not evaluate the held-out frames")
    return found


def errors_by_part(
    table: StructureTable, steps: np.ndarray[Any, Any], found: Residuals
) -> list[dict[str, Any]]:
    """Return errors of all frames, and of those without the first steps of a relaxation, by kind and element."""
    later = np.flatnonzero((steps == 0) | (steps > FIRST_STEPS))
    judged = [
        Judged("all steps", table, found, kinds=table.columns["kind"]),
        Judged(
            "later steps", table.take(later), _taken(found, table, later), kinds=table.columns["kind"][later]
        ),
    ]
    errors = error_table(judged)
    return [
        {"id": str(name)} | {column: _plain(values[i]) for column, values in errors.columns.items()}
        for i, name in enumerate(errors.ids)
    ]


def verdicts(
    rows: list[dict[str, Any]], found: Residuals, table: StructureTable
) -> Iterator[tuple[str, str, bool]]:
    """Yield what was asked, what was found, and whether that is good enough."""
    by_id = {row["id"]: row for row in rows}
    for name, (energy, force) in (("all steps kind alloys", ALLOY_AIMS), ("all steps", ALL_AIMS)):
        if name not in by_id:
            continue
        row = by_id[name]
        yield (
            f"{name}: {1e3 * energy:.0f} meV/atom, {1e3 * force:.0f} meV/A",
            f"{1e3 * row['energy_mae']:.1f} meV/atom, {1e3 * row['forces_mae']:.0f} meV/A",
            row["energy_mae"] <= energy and row["forces_mae"] <= force,
        )
    if found.z is None or found.uncertainty is None:
        return
    good = np.isfinite(found.z) & np.isfinite(found.uncertainty)
    scale = float(np.median(np.abs(found.z[good])) / NORMAL_MEDIAN)
    spread = float(found.z[good].std())
    yield (
        f"LLPR: median |z| / 0.6745 in {SCALE[0]}-{SCALE[1]}",
        f"{scale:.2f}",
        SCALE[0] <= scale <= SCALE[1],
    )
    yield (f"LLPR: standard deviation of z below {MAX_SPREAD:g}", f"{spread:.2f}", spread < MAX_SPREAD)
    error = np.abs(found.values["energy"][good])
    uncertain = found.uncertainty[good] >= np.quantile(found.uncertainty[good], 0.9)
    ratio = float(error[uncertain].mean() / error.mean())
    yield ("LLPR: the most uncertain tenth has twice the mean error", f"{ratio:.2f} times", ratio >= 2)


def _taken(found: Residuals, table: StructureTable, rows: np.ndarray[Any, Any]) -> Residuals:
    owner = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    atoms = np.isin(owner, rows)
    values = {
        name: array[atoms] if name.endswith("forces") else array[rows] for name, array in found.values.items()
    }
    return Residuals(
        values,
        None if found.z is None else found.z[rows],
        None if found.uncertainty is None else found.uncertainty[rows],
    )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
