"""How the total energy drifts in dynamics: conservative forces, direct ones, both together, and random rotations.

``verdi run examples/energy_drift.py`` after ``aiida-pet setup``. Two crystals of 16 atoms move without a thermostat
from 1,000 K on, in four ways: with the derivative of the energy (C), with the direct heads (NC), with direct forces
inside and conservative ones at every eighth step (NC with RESPA), and with conservative forces in a new random rotation
at every step. The figure is like Figure 7 in the paper of Orb-v3 (arXiv:2504.06231).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory
from ase.build import bulk
from ase.units import kB
from matplotlib.figure import Figure

from aiida_pet import models
from aiida_pet.campaigns.trajectories import open_trajectories
from aiida_pet.job.trajectory_files import Frames

KELVIN = 1000.0
FEMTOSECONDS = 8.0  # of an outer step of RESPA, and between two frames
WAYS: dict[str, dict[str, Any]] = {
    "C": {"timestep": 2.0},
    "NC": {"timestep": 2.0, "forces": "direct", "stress": "direct"},
    "NC with RESPA": {"timestep": 1.0, "respa": {"every": 8}},
    "C, random rotation": {"timestep": 2.0, "rotation": "random"},
}
"""Name of a way -> its parameters."""


@dataclass(frozen=True)
class EnergyPath:
    """The energy of one crystal along its path.

    :ivar way: of :data:`WAYS`.
    :ivar crystal: its id.
    :ivar times: (F,) ps.
    :ivar energies: (F,) total energies, eV/atom, 0 at the start.
    :ivar row: its row of results.
    """

    way: str
    crystal: str
    times: Any
    energies: Any
    row: dict[str, Any]


def crystals() -> dict[str, ase.Atoms]:
    """Return bcc tungsten and an ordered alloy of tantalum and tungsten, 16 atoms each."""
    tungsten = bulk("W", a=3.19, cubic=True) * (2, 2, 2)
    alloy = tungsten.copy()
    alloy.numbers[::2] = 73
    alloy.set_cell(2 * 3.25 * np.eye(3), scale_atoms=True)
    return {"W": tungsten, "TaW": alloy}


def parameters_of(way: str, length: float) -> dict[str, Any]:
    """Return the parameters of a way, for ``length`` ps."""
    own = WAYS[way]
    step = own["timestep"] * own.get("respa", {}).get("every", 1)
    every = round(FEMTOSECONDS / step)
    return {
        "ensemble": "nve",
        "temperature": KELVIN,
        "exact_temperature": True,
        "equilibration_steps": 0,
        "steps": round(1000.0 * length / step),
        "sample_every": every,
        "frames_every": every,
        "dtype": "float64",
        "symprecs": [],
    } | own


def total_energies(frames: Frames) -> Any:
    """Return the (F,) total energies of frames of a crystal whose centre of mass is at rest, eV/atom."""
    n_atoms = len(frames.numbers)
    kinetic = 0.5 * (3 * n_atoms - 3) * kB * frames.series["temperatures"]
    return (frames.series["energies"] + kinetic) / n_atoms


def run_ways(model: Any, code: Any, length: float) -> Iterator[EnergyPath]:
    """Yield the path of each crystal in each way; a model without direct heads has only the conservative ones."""
    structures = DataFactory("pet.structures").from_iterator(crystals().items()).store()
    has_direct = any(output.startswith("non_conservative_force") for output in model.outputs)
    for way in WAYS:
        if "NC" in way and not has_direct:
            print(f"{model.name} has no direct heads: {way} is left out")
            continue
        builder = WorkflowFactory("pet.md").get_builder_from_protocol(
            code=code,
            model=model,
            structures=structures,
            overrides={"parameters": parameters_of(way, length)},
        )
        outputs, node = run_get_node(builder)
        if not node.is_finished_ok:
            raise SystemExit(f"process {node.pk} ended with {node.exit_status}: {node.exit_message}")
        with open_trajectories(node) as trajectories:
            for crystal in crystals():
                frames = trajectories.read(crystal)
                energies = total_energies(frames)
                times = frames.series["times"] / 1000.0
                row = outputs["results"].row(crystal)
                yield EnergyPath(way, crystal, times, energies - energies[0], row)


def table_of(paths: Sequence[EnergyPath]) -> str:
    """Return the paths as lines of text."""
    lines = [f"{'forces':<20}{'crystal':<9}{'status':<11}{'ps':>5}{'K':>7}{'drift, eV/atom/ps':>19}"]
    for path in paths:
        row = path.row
        lines.append(
            f"{path.way:<20}{path.crystal:<9}{row['status']:<11}{path.times[-1]:>5.2f}"
            f"{row['mean_temperature']:>7.0f}{row['drift']:>19.2e}"
        )
    return "\n".join(lines)


def draw(paths: Sequence[EnergyPath], title: str) -> Figure:
    """Return the figure: a panel for each crystal, a line for each way."""
    names = list(dict.fromkeys(path.crystal for path in paths))
    figure, panels = plt.subplots(1, len(names), figsize=(9, 3.9), layout="constrained", squeeze=False)
    figure.suptitle(title)
    for axes, name in zip(panels[0], names, strict=True):
        for path in (one for one in paths if one.crystal == name):
            axes.plot(path.times, 1000.0 * path.energies, linewidth=1.2, label=path.way)
        axes.set_yscale("symlog", linthresh=0.1)
        axes.axhline(0.0, color="0.6", linewidth=0.6)
        axes.set_title(name)
        axes.set_xlabel("Time (ps)")
    panels[0][0].set_ylabel("Change of the total energy (meV/atom)")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--code", default="pet-engine@localhost", help="label of the code")
    parser.add_argument("--length", type=float, default=2.0, help="of each path, ps")
    parser.add_argument("--figure", type=Path, default=Path("energy_drift.png"), help="file to write")
    given = parser.parse_args(arguments)
    mpl.use("Agg")
    model = DataFactory("pet.model").from_file(models.embedded_path())
    paths = list(run_ways(model, orm.load_code(given.code), given.length))
    print(table_of(paths))
    figure = draw(paths, f"{model.name}: total energy without a thermostat, from {KELVIN:g} K")
    figure.savefig(given.figure, dpi=90)
    plt.close(figure)
    print(f"energies of {len(paths)} paths in {given.figure}")


if __name__ == "__main__":
    main()
