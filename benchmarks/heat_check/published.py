"""Published forces of five crystals through the transport, on the whole mesh of the benchmark.

Bounds are those that repeating the published run with phono3py by hand suggests: the cell of the published run was
relaxed, and a conductivity goes as one over the length of the cell.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.analysis.metrics.conductivity import relative_mode_error
from aiida_pet.crystals.conductivity.cells import displaced_supercells, make_phono3py
from aiida_pet.crystals.conductivity.plan import cells_as_given
from aiida_pet.crystals.conductivity.transport import Transport, conductivity
from aiida_pet.io.mode_conductivities import ModeConductivity, read_mode_conductivities
from benchmarks.heat_check.verdict import Verdict

NAMES = ("MgO-rs", "NaF-rs", "AlAs-zb", "PbTe-rs")
"""GaAs-wz takes more than five minutes of a core, and is run when it is asked for by name."""
KAPPA, SRME, ONE_ANOTHER, FREQUENCY = 0.03, 0.01, 0.015, 2e-6  # relative, absolute, absolute, THz


def verdicts(data: Path, crystals: dict[str, Atoms], names: Iterable[str] = NAMES) -> Iterator[Verdict]:
    """Yield the conductivity of each crystal beside the published one."""
    for name in names:
        with gzip.open(data / "phonondb" / f"mace-0b-{name}.json.gz") as handle:
            row = json.load(handle)
        yield _judged(name, row, crystals[name], reference(data, row["mp_id"]))


def reference(data: Path, mp_id: str) -> ModeConductivity:
    """Return the conductivity by PBE of the crystal ``mp_id``.

    :raises ValueError: if there is none.
    """
    found = read_mode_conductivities(data / "phonondb" / "kappa-pbe.json.gz").get(mp_id)
    if found is None:
        raise ValueError(f"kappa-pbe.json.gz has no conductivity of {mp_id}")
    return found


def _modes(weights: Any, modes: Any) -> ModeConductivity:
    """Return conductivities (Q, B, 6) of modes as their means."""
    return ModeConductivity(np.asarray(modes)[..., :3].mean(axis=-1), np.asarray(weights))


def _judged(name: str, row: dict[str, Any], atoms: Atoms, pbe: ModeConductivity) -> Verdict:
    began, cpu = time.perf_counter(), time.process_time()
    chosen = cells_as_given(
        atoms.cell[:],
        atoms.positions,
        atoms.numbers,
        fc2_matrix=atoms.info["fc2_supercell"],
        fc3_matrix=atoms.info["fc3_supercell"],
    )
    phono3py = make_phono3py(chosen.cells)
    displaced_supercells(phono3py, distance=0.03)
    transport = Transport(mesh=tuple(atoms.info["q_mesh"]), boundary=1e6)
    found = conductivity(phono3py, np.array(row["fc2_set"]), np.array(row["fc3_set"]), transport)
    shift = float(np.abs(phono3py.get_phonon_data()[0] - np.array(row["frequencies"])).max())
    spent = f"{time.process_time() - cpu:.0f} s of CPU, {time.perf_counter() - began:.0f} s"
    good = shift < FREQUENCY
    if found.modes is None:
        told = f"{found.skipped}; published as {'imaginary' if row['imaginary_freqs'] else 'stable'}"
        return Verdict(name, f"{told}; {spent}", bool(row["imaginary_freqs"]) and good)
    modes = found.modes
    published = _modes(row["weights"], np.array(row["mode_kappa_TOT"])[0])
    ours = _modes(modes.weights, modes.kappa[0])
    change = ours.kappa / published.kappa - 1
    errors = [relative_mode_error(one, pbe) for one in (ours, published)]
    between = relative_mode_error(ours, published)
    same = np.allclose(modes.qpoints, row["q_points"], atol=1e-8) and list(modes.weights) == row["weights"]
    good = (
        good and same and abs(change) < KAPPA and abs(errors[0] - errors[1]) < SRME and between < ONE_ANOTHER
    )
    return Verdict(
        name,
        f"kappa {ours.kappa:.4f}, published {published.kappa:.4f} W/(m K) ({change:+.2%}); SRME to PBE "
        f"{errors[0]:.4f}, of the published modes {errors[1]:.4f}; SRME to the published modes {between:.4f}; "
        f"frequencies within {shift:.1e} THz; {spent}",
        good,
    )
