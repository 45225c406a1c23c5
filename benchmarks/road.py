"""Against the usual road: the same alloys relaxed as a batch, by a job per crystal, and by aiida-ase per crystal.

(a) a RelaxWorkChain over all of them, in two lanes on two cores; (b) a RelaxCalculation for each, the same engine;
(c) a PetAseCalculation for each, which is aiida-ase with PET. All have the model that (a) staged, the same protocol
(moderate: float64, FIRE, 0.02 eV/A), and one thread per job.

The jobs of (b) and (c) are submitted all at once and wait in a queue with a slot per core (:mod:`benchmarks.slots`): a
window of so many submissions would leave cores empty while AiiDA uploads and parses, and all programs at once would
take the cores from each other. Wall time is from storing the first crystal to the end of the last process.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    ROOT,
    Measurement,
    check_daemon,
    check_ended_well,
    folder_bytes,
    isolated_profile,
    lanes,
    threads,
    wait_for,
)
from benchmarks.slots import Slots

N_CRYSTALS, N_QUICK = 200, 4
TARGET = 20.0  # times the batch's wall time is what a job per crystal shall take at least
UNITS = {"wall_s": "s", "nodes": "nodes", "repository_bytes": "B", "database_bytes": "B"}
# A relaxation stops anywhere below its bounds, and ASE's on the cell is another (stress x volume against fmax).
AGREEMENT = 1e-3  # eV/atom
STALL_S = 900.0  # without the end of a job that takes seconds
POLL_S = 0.5

Crystals = list[tuple[str, Any]]


@dataclass(frozen=True)
class Stored:
    """What a profile holds.

    :ivar nodes: of the provenance.
    :ivar repository_bytes: of the file repository.
    :ivar database_bytes: of the pages in use: those that ended processes leave free are filled by the next ones.
    """

    nodes: int
    repository_bytes: int
    database_bytes: int

    @classmethod
    def now(cls) -> Stored:
        """Return what the loaded profile, one with SQLite, holds now."""
        from aiida import orm
        from aiida.manage import get_manager

        folder = Path(get_manager().get_profile_storage().profile.storage_config["filepath"])
        with closing(sqlite3.connect(f"file:{folder / 'database.sqlite'}?mode=ro", uri=True)) as database:
            pages, free, size = (
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        nodes = orm.QueryBuilder().append(orm.Node).count()
        return cls(nodes, folder_bytes(folder / "container"), (pages - free) * size)


@dataclass(frozen=True)
class Relaxed:
    """What a way returns.

    :ivar energies: of the relaxed cells, eV, by id.
    :ivar n_jobs: programs that were started.
    :ivar engine_s: seconds from their starts to their ends, summed.
    """

    energies: dict[str, float]
    n_jobs: int
    engine_s: float


@dataclass(frozen=True)
class Journey:
    """What a way took; nodes and bytes are those made on it, crystals and results included.

    :ivar wall_s: from storing the first crystal to the end of the last process.
    """

    n_jobs: int
    wall_s: float
    engine_s: float
    nodes: int
    repository_bytes: int
    database_bytes: int


def run(quick: bool = False) -> Iterator[Measurement]:
    """Relax 200 alloys in the three ways.

    :param quick: four alloys.
    :raises RuntimeError: if a relaxation failed, did not converge, or ended elsewhere than in the batch.
    """
    sys.path.append(str(ROOT / "examples"))
    from alloys import ordered_alloys

    crystals = list(ordered_alloys(limit=N_QUICK if quick else N_CRYSTALS))
    atoms = {name: len(crystal) for name, crystal in crystals}
    with isolated_profile(), Slots(Path(os.environ["AIIDA_PATH"]) / "slots", lanes()) as slots:
        site = Site.make(slots.prepend_text)
        batch, expected = travel(lambda: relax_batch(site, crystals))
        detail = {
            "n_crystals": len(crystals),
            "atoms_per_crystal": sum(atoms.values()) / len(crystals),
            "lanes": lanes(),
            "threads": threads(),
        }
        yield Measurement("road/batch", batch.wall_s, "s", "none", None, asdict(batch) | detail)
        for name, way in (("job_per_crystal", relax_one_by_one), ("aiida_ase", relax_with_ase)):
            found, energies = travel(lambda way=way: way(site, crystals))
            apart = largest_difference(expected, energies, atoms)
            yield from compared(name, found, batch, detail | {"largest_difference_meV_per_atom": 1e3 * apart})


def compared(name: str, found: Journey, batch: Journey, detail: dict[str, Any]) -> Iterator[Measurement]:
    """Yield what way ``name`` took, and how many times as much of everything as the batch."""
    yield Measurement(f"road/{name}", found.wall_s, "s", "none", None, asdict(found) | detail)
    for key, unit in UNITS.items():
        reference = getattr(batch, key)
        times = getattr(found, key) / reference
        against = f"batch: {reference:.4g} {unit}"
        if key == "wall_s":
            yield Measurement(
                f"road/{name}/{key}", times, "times", f"target {TARGET:g}; {against}", times / TARGET
            )
        else:
            yield Measurement(f"road/{name}/{key}", times, "times", against, times)


@dataclass(frozen=True)
class Site:
    """What all ways have in common.

    :ivar parameters: of a relaxation by the moderate protocol.
    :ivar queue: lines of a job's script that wait for its turn.
    """

    code: Any
    model: Any
    parameters: dict[str, Any]
    queue: str

    @classmethod
    def make(cls, queue: str) -> Site:
        """Return the engine and the model of the loaded profile."""
        from aiida import orm

        from aiida_pet import models
        from aiida_pet.data.model import PetModelData
        from aiida_pet.job.folder import Task
        from aiida_pet.workchains.protocols import protocol_inputs

        return cls(
            orm.load_code("pet-engine@localhost"),
            PetModelData.from_file(models.embedded_path()),
            protocol_inputs(Task.RELAX, None, None).parameters,
            queue,
        )

    @property
    def staged_model(self) -> Any:
        """The folder on the computer that holds the model.

        :raises RuntimeError: if there is none.
        """
        from aiida_pet.calculations.staging import find_staged_model

        found = find_staged_model(self.model, self.code.computer)
        if found is None:
            raise RuntimeError("the model is not on the computer, where the batch should have left it")
        return found


def travel(way: Callable[[], Relaxed]) -> tuple[Journey, dict[str, float]]:
    """Go ``way`` and return what it took, and the energies by id."""
    before, start = Stored.now(), time.perf_counter()
    relaxed = way()
    wall_s = time.perf_counter() - start
    after = Stored.now()
    journey = Journey(
        n_jobs=relaxed.n_jobs,
        wall_s=wall_s,
        engine_s=relaxed.engine_s,
        nodes=after.nodes - before.nodes,
        repository_bytes=after.repository_bytes - before.repository_bytes,
        database_bytes=after.database_bytes - before.database_bytes,
    )
    return journey, relaxed.energies


def relax_batch(site: Site, crystals: Crystals) -> Relaxed:
    """Relax ``crystals`` in one WorkChain.

    :raises RuntimeError: if it failed, or one did not converge.
    """
    from aiida.engine import submit

    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.relax import RelaxWorkChain

    node = submit(
        RelaxWorkChain.get_builder_from_protocol(
            site.code,
            site.model,
            StructureSetData.from_iterator(crystals).store(),
            settings={"threads": threads()},
            lanes=lanes(),
        )
    )
    wait_for(node, POLL_S)
    check_ended_well(node, f"the batch of {len(crystals)} alloys")
    summary = node.outputs.summary.get_dict()
    return Relaxed(energies_of(node.outputs.results), summary["n_jobs"], float(summary["engine_s"]))


def relax_one_by_one(site: Site, crystals: Crystals) -> Relaxed:
    """Relax each of ``crystals`` in a job of the engine.

    :raises RuntimeError: if one failed or did not converge.
    """
    from aiida import orm
    from aiida.engine import submit

    from aiida_pet.calculations.relax import RelaxCalculation
    from aiida_pet.data.structures import StructureSetData

    staged, parameters = site.staged_model, orm.Dict(site.parameters).store()
    jobs = {
        name: submit(
            RelaxCalculation,
            code=site.code,
            model=site.model,
            remote_model=staged,
            structures=StructureSetData.from_iterator([(name, atoms)]).store(),
            parameters=parameters,
            settings={"threads": threads()},
            metadata={"options": {"prepend_text": site.queue}},
        )
        for name, atoms in crystals
    }
    wait_for_all(jobs)
    energies: dict[str, float] = {}
    for job in jobs.values():
        energies |= energies_of(job.outputs.results)
    return Relaxed(energies, len(jobs), sum(job.outputs.summary["engine_s"] for job in jobs.values()))


def relax_with_ase(site: Site, crystals: Crystals) -> Relaxed:
    """Relax each of ``crystals`` in a job of aiida-ase.

    :raises RuntimeError: if one failed or did not converge.
    """
    from aiida import orm
    from aiida.engine import submit

    from aiida_pet.calculations.ase import PetAseCalculation, relax_parameters

    same = ("fmax", "max_steps", "optimizer", "cell", "dtype")
    parameters = timed(relax_parameters(**{key: site.parameters[key] for key in same}))
    shared, staged = orm.Dict(parameters).store(), site.staged_model
    python = orm.InstalledCode(
        label="python", computer=site.code.computer, filepath_executable=sys.executable
    ).store()
    one_thread = f"export OMP_NUM_THREADS={threads()} MKL_NUM_THREADS={threads()}"
    jobs = {
        name: submit(
            PetAseCalculation,
            code=python,
            model=site.model,
            remote_model=staged,
            structure=orm.StructureData(ase=atoms).store(),
            parameters=shared,
            metadata={"options": {"prepend_text": f"{one_thread}\n{site.queue}"}},
        )
        for name, atoms in crystals
    }
    wait_for_all(jobs)
    found = {name: job.outputs.parameters.get_dict() for name, job in jobs.items()}
    open_ended = [name for name, values in found.items() if not values["converged"]]
    if open_ended:
        raise RuntimeError(f"ASE did not converge {', '.join(open_ended)}")
    energies = {name: float(values["potential_energy"]) for name, values in found.items()}
    return Relaxed(energies, len(jobs), sum(values["process_s"] for values in found.values()))


def timed(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` with the seconds since the start of the process added to the results."""
    line = "results['process_s'] = time.time() - psutil.Process().create_time()"
    return parameters | {"extra_imports": ["psutil", "time"], "post_lines": [line]}


def energies_of(results: Any) -> dict[str, float]:
    """Return the energies of a table of relaxed crystals, eV by id.

    :raises RuntimeError: if one did not converge.
    """
    rows = zip(results.ids.tolist(), results.column("status").tolist(), results.column("energy"), strict=True)
    energies = {}
    for name, status, energy in rows:
        if status != "converged":
            raise RuntimeError(f"{name} ended as {status}")
        energies[name] = float(energy)
    return energies


def largest_difference(expected: dict[str, float], found: dict[str, float], atoms: dict[str, int]) -> float:
    """Return the largest difference between two ways, eV/atom.

    :param expected: energies, eV by id.
    :param found: the same of the other way.
    :param atoms: of each crystal.
    :raises RuntimeError: if a crystal is missing, or one ended elsewhere.
    """
    if found.keys() != atoms.keys() or expected.keys() != atoms.keys():
        raise RuntimeError(f"{len(atoms)} alloys, but {len(expected)} and {len(found)} energies")
    apart = {name: abs(found[name] - expected[name]) / atoms[name] for name in atoms}
    worst = max(apart, key=lambda name: apart[name])
    if not apart[worst] <= AGREEMENT:
        raise RuntimeError(f"{worst} differs by {apart[worst]:.2e} eV/atom, more than {AGREEMENT:g}")
    return apart[worst]


def wait_for_all(jobs: dict[str, Any]) -> None:
    """Return when all of ``jobs`` have ended well.

    :raises RuntimeError: as soon as one has not, or if none ends for a quarter of an hour.
    """
    from aiida import orm

    names = {job.pk: name for name, job in jobs.items()}
    ended = {"in": ["finished", "excepted", "killed"]}
    moved = time.monotonic()
    while names:
        filters = {"id": {"in": list(names)}, "attributes.process_state": ended}
        gone = orm.QueryBuilder().append(orm.CalcJobNode, filters=filters, project="id").all(flat=True)
        for pk in gone:
            check_ended_well(orm.load_node(pk), f"the job of {names.pop(pk)}")
        if gone:
            moved = time.monotonic()
        elif time.monotonic() > moved + STALL_S:
            check_daemon()
            raise RuntimeError(f"{len(names)} jobs are left, and none has ended for {STALL_S:g} s")
        time.sleep(POLL_S)
