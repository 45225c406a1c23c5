"""What an unconstrained potential does to the symmetry of a crystal, and what its phonons make of it.

``verdi run examples/symmetry_breaking.py`` after ``aiida-pet setup``. One element in two starts, fcc and bcc, is
relaxed held to its space group and freely, by the derivative of the energy (C) and by the direct heads (NC): eight
cases, each with bands, density of states and its space group at three tolerances. After ``aiida-pet model import
pet-oam-xl`` the same for titanium is ``verdi run examples/symmetry_breaking.py --element Ti --model pet-oam-xl``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from aiida_pet import models
from aiida_pet.calculations.band_paths import OtherPathError
from aiida_pet.calculations.functions import extract_structure
from aiida_pet.calculations.harmonic import path_of_row, phonon_bands, phonon_dos

STARTS = ("fcc", "bcc")
SYMMETRIES = {"constrained": "held", "none": "free"}
HEADS = {"conservative": "C", "direct": "NC"}
SYMPRECS = ("0_1", "0_01", "0_001")
# Direct forces are the derivative of nothing: a minimum is where they vanish, no closer than their noise.
DIRECT = {"forces": "direct", "stress": "direct", "fmax": 0.01, "stress_max": 0.1}


@dataclass(frozen=True)
class Case:
    """One crystal, relaxed one way.

    :ivar start: fcc or bcc.
    :ivar heads: C or NC.
    :ivar symmetry: held or free.
    :ivar row: its row of results.
    :ivar bands: of it; None if it has no phonons.
    :ivar dos: of it; None if it has no phonons.
    """

    start: str
    heads: str
    symmetry: str
    row: dict[str, Any]
    bands: orm.BandsData | None = None
    dos: orm.XyData | None = None

    @property
    def groups(self) -> list[int]:
        """Space groups, at the loosest tolerance first."""
        return [int(self.row[f"spacegroup_{label}"]) for label in SYMPRECS]

    @property
    def path(self) -> str:
        """Which band path it is on."""
        if self.bands is None:
            return "none"
        attributes = self.bands.base.attributes
        whose = {"crystal": "own", "start": "start's", "parent": "parent's"}[attributes.get("path_of")]
        return f"{whose}, {attributes.get('path_spacegroup')}"


def starts_of(element: str) -> list[tuple[str, Atoms]]:
    """Return the fcc and the bcc crystal of ``element``, with the volume per atom that its own crystal has."""
    own = bulk(element)
    volume = own.get_volume() / len(own)
    return [
        (name, bulk(element, name, a=np.cbrt(atoms * volume))) for name, atoms in (("fcc", 4), ("bcc", 2))
    ]


def find_model(name: str) -> Any:
    """Return the node of a model by its name.

    :raises SystemExit: if it was not imported.
    """
    node_class: Any = DataFactory("pet.model")
    if name == models.EMBEDDED_NAME:
        return node_class.from_file(models.embedded_path())
    query = orm.QueryBuilder().append(node_class, filters={"attributes.name": name}, tag="model")
    node = query.order_by({"model": {"id": "desc"}}).first(flat=True)
    if node is None:
        raise SystemExit(f"there is no model {name!r} in this profile: `aiida-pet model import {name}`")
    return node


def run_cases(element: str, model: Any, protocol: str, overrides: dict[str, Any]) -> Iterator[Case]:
    """Yield the cases, those of C before those of NC; a model without direct heads has no NC."""
    structures = DataFactory("pet.structures").from_iterator(starts_of(element)).store()
    wanted = list(HEADS)
    if not any(output.startswith("non_conservative_force") for output in model.outputs):
        print(f"{model.name} has no direct heads: the cases of NC are left out")
        wanted.remove("direct")
    for heads in wanted:
        for symmetry, shown in SYMMETRIES.items():
            parameters = {"symmetry": symmetry} | (DIRECT if heads == "direct" else {}) | overrides
            builder = WorkflowFactory("pet.phonons").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                model=model,
                structures=structures,
                protocol=protocol,
                overrides={"parameters": parameters},
            )
            outputs, node = run_get_node(builder)
            if not node.is_finished_ok:
                raise SystemExit(f"process {node.pk} ended with {node.exit_status}: {node.exit_message}")
            for start in STARTS:
                yield make_case(structures, outputs["results"], start, HEADS[heads], shown)


def make_case(structures: Any, results: Any, start: str, heads: str, symmetry: str) -> Case:
    """Return a case with bands on the path of its start where that fits its lattice, else on its own."""
    row = results.row(start)
    if row["status"] != "converged":
        return Case(start, heads, symmetry, row)
    row_id, parameters = orm.Str(start), orm.Dict({"spacing": 0.01})
    begun = extract_structure(structures, row_id)
    try:
        path_of_row(results, start, parameters, start=begun)
    except OtherPathError:
        parameters = orm.Dict({"spacing": 0.01, "allow_other_path": True})
    bands = phonon_bands(results=results, row_id=row_id, parameters=parameters, start=begun)
    dos = phonon_dos(results=results, row_id=row_id, parameters=orm.Dict({"n_points": 301}))
    return Case(start, heads, symmetry, row, bands, dos)


def table_of(cases: Sequence[Case]) -> str:
    """Return the cases as lines of text."""
    lines = [
        f"{'case':<13}{'status':<11}{'eV/atom':>10}{'A^3/atom':>10}  {'0.1 A':>6}{'0.01 A':>7}{'0.001 A':>8}"
        f"  {'band path':<13}{'lowest':>8}{'highest':>9}"
    ]
    for case in cases:
        row = case.row
        energy, volume = row["energy"] / row["n_atoms"], row["volume"] / row["n_atoms"]
        groups = "{:>6}{:>7}{:>8}".format(*case.groups)
        lines.append(
            f"{case.start:<4}{case.heads:<3}{case.symmetry:<6}{row['status']:<11}{energy:>10.4f}"
            f"{volume:>10.3f}  {groups}  {case.path:<13}"
            f"{row['min_frequency']:>8.2f}{row['max_frequency']:>9.2f}"
        )
    return "\n".join([*lines, "space groups at three tolerances; lowest and highest frequency in THz"])


def draw(cases: Sequence[Case], title: str) -> Figure:
    """Return the figure: a row of panels for each start, bands and density of states in each panel."""
    columns = len(cases) // len(STARTS)
    figure = plt.figure(figsize=(3.6 * columns, 6.6), layout="constrained")
    figure.suptitle(title)
    panels = figure.subfigures(len(STARTS), columns, squeeze=False)
    known = [case for case in cases if case.bands is not None]
    frequencies = np.concatenate([case.bands.get_bands().ravel() for case in known]) if known else np.zeros(1)
    limits = (min(0.0, frequencies.min()) - 0.3, frequencies.max() + 0.3)
    for place, start in enumerate(STARTS):
        for column, case in enumerate(case for case in cases if case.start == start):
            _draw_case(panels[place, column], case, limits)
    return figure


def _draw_case(panel: SubFigure, case: Case, limits: tuple[float, float]) -> None:
    left, right = panel.subplots(1, 2, sharey=True, width_ratios=(3, 1), gridspec_kw={"wspace": 0.03})
    groups = " / ".join(map(str, case.groups))
    panel.suptitle(
        f"{case.start}, {case.heads}, {case.symmetry}\n{groups} at 0.1 / 0.01 / 0.001 A", fontsize=9
    )
    for axes in (left, right):
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.tick_params(labelsize=7)
        axes.set_ylim(*limits)
    if case.bands is None or case.dos is None:
        left.text(0.5, 0.5, case.row["status"], transform=left.transAxes, ha="center")
        return
    _draw_bands(left, case.bands)
    left.set_ylabel("THz", fontsize=8)
    left.set_xlabel(f"path: {case.path}", fontsize=8)
    total = next(values for name, values, _ in case.dos.get_y() if name == "total")
    right.fill_betweenx(
        case.dos.get_x()[1], total / case.dos.base.attributes.get("n_atoms"), color="C0", alpha=0.5
    )
    right.set_xlim(0)
    right.set_xticks([])
    right.set_xlabel("DOS", fontsize=8)


def _draw_bands(axes: Axes, bands: orm.BandsData) -> None:
    """Draw one segment after the other; imaginary modes in red.

    Labels side by side are where the path breaks off; elsewhere a segment begins where the last one ended.
    """
    reciprocal = np.linalg.inv(np.asarray(bands.cell))
    points, values, begin = bands.get_kpoints(), bands.get_bands(), 0.0
    ticks: list[tuple[float, str]] = []
    for (first, start), (last, end) in pairwise(bands.labels):
        if last == first + 1:
            continue
        part = slice(first + 1 if ticks and first and ticks[-1][1] == start else first, last + 1)
        steps = np.linalg.norm(np.diff(points[part], axis=0) @ reciprocal.T, axis=1)
        distances = begin + np.concatenate([[0.0], np.cumsum(steps)])
        segment = values[part]
        axes.plot(distances, segment, color="C0", linewidth=0.8)
        axes.plot(distances, np.where(segment < 0, segment, np.nan), color="C3", linewidth=0.9)
        if ticks and ticks[-1][1] != start:
            ticks[-1] = (begin, f"{ticks[-1][1]}|{start}")
        elif not ticks:
            ticks.append((begin, start))
        begin = float(distances[-1])
        ticks.append((begin, end))
    axes.set_xlim(0, begin)
    axes.set_xticks([at for at, _ in ticks], [name.replace("GAMMA", "$\\Gamma$") for _, name in ticks])
    for at, _ in ticks:
        axes.axvline(at, color="0.85", linewidth=0.5)
    axes.tick_params(axis="x", labelsize=6)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--element", default="W", help="chemical symbol")
    parser.add_argument("--model", default=models.EMBEDDED_NAME, help="name of a model in this profile")
    parser.add_argument("--protocol", default="fast", help="of the phonons: fast, moderate, precise")
    parser.add_argument("--min-image", type=float, help="of the supercells, A, instead of the protocol's")
    parser.add_argument("--figure", type=Path, default=Path("symmetry_breaking.png"), help="file to write")
    given = parser.parse_args(arguments)
    mpl.use("Agg")
    overrides = {} if given.min_image is None else {"min_image": given.min_image}
    cases = list(run_cases(given.element, find_model(given.model), given.protocol, overrides))
    print(table_of(cases))
    figure = draw(cases, f"{given.element}, {given.model}: C and NC heads, held to the space group and free")
    figure.savefig(given.figure, dpi=90)
    plt.close(figure)
    print(f"bands and densities of states of {len(cases)} cases in {given.figure}")


if __name__ == "__main__":
    main()
