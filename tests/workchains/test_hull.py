"""Hulls of finished sets, references given or relaxed on the way. The engine that stands in gives -8 eV per atom."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import Atoms
from ase.build import bulk
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.entries.computed_entries import ComputedEntry

from aiida_pet.analysis.hull.reference_files import read_references
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.workchains.hull import HullWorkChain
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.relax import RelaxWorkChain

Inputs = Callable[..., dict[str, Any]]


def elements(*symbols: str, energy: float | None = None, **columns: Any) -> StructureSetData:
    """Pure crystals, with an energy per atom if given."""
    table = StructureTable.from_ase((f"el-{s}", bulk("W", a=3.2 + 0.01 * i)) for i, s in enumerate(symbols))
    table.numbers[:] = [bulk(s, "bcc", a=3).numbers[0] for s in symbols]
    if energy is not None:
        table.set_column("energy", [energy] * len(symbols), "eV")
        table.set_column("status", ["converged"] * len(symbols))
    for name, value in columns.items():
        table.set_column(name, [value] * len(symbols))
    return StructureSetData.from_table(table).store()


@pytest.fixture(scope="module")
def finished(module_inputs: Inputs) -> dict[str, Any]:
    """Inputs and results of a relaxation of four alloys of W with Nb, Mo, Ta and W, one of them not converged."""
    inputs = module_inputs(["a", "b", "max_steps", "d"])
    inputs["parameters"] = {"fmax": 0.03}
    _, node = run_get_node(RelaxWorkChain, **inputs)
    assert node.is_finished_ok
    return inputs | {"results": node.outputs.results}


def relax_inputs(finished: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    return {name: finished[name] for name in ("code", "model", "options")} | {
        "parameters": orm.Dict({"fmax": 0.03} | parameters)
    }


def test_hull_is_not_made_of_references_of_which_some_are_left(
    finished: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def requested(node: Any) -> bool:
        asked.append(node)
        return len(asked) > 1

    monkeypatch.setattr("aiida_pet.workchains.lane.is_stop_requested", requested)
    relax = relax_inputs(finished, max_steps=11) | {"job_size": orm.Int(1)}
    _, node = run_get_node(
        HullWorkChain,
        structures=finished["results"],
        reference_structures=elements("Nb", "Mo", "W"),
        relax=relax,
    )
    assert len(jobs_of(node)) == 1
    assert node.exit_status == 411
    assert "Stopped as asked, with 2 rows left" in node.exit_message
    assert "results" not in node.outputs


def test_references_are_relaxed_once_and_shared_by_campaigns(finished: dict[str, Any]) -> None:
    inputs = {
        "structures": finished["results"],
        "reference_structures": elements("Nb", "Mo", "W"),
        "relax": relax_inputs(finished),
    }
    _, node = run_get_node(HullWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.ids.tolist() == finished["results"].ids.tolist()
    # W with Nb, Mo, Ta, W
    assert results.column("hull_status").tolist() == ["ok", "ok", "not_converged", "ok"]
    assert results.column("e_above_hull")[[0, 1, 3]].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    summary = node.outputs.summary.get_dict()
    assert (summary["stable"], summary["not_converged"], summary["references"]) == (3, 1, 3)
    assert summary["models"] == {
        "structures": [finished["model"].sha256],
        "relaxed_references": [finished["model"].sha256],
    }
    assert len(jobs_of(node)) == 1
    assert node.outputs.relaxed_references.ids.tolist() == ["el-Nb", "el-Mo", "el-W"]

    again = inputs | {"reference_structures": elements("Nb", "Mo", "W")}
    _, second = run_get_node(HullWorkChain, **again)
    assert second.is_finished_ok
    assert jobs_of(second) == []
    assert second.outputs.relaxed_references.uuid == node.outputs.relaxed_references.uuid
    _, third = run_get_node(HullWorkChain, **again | {"relax": relax_inputs(finished, max_steps=9)})
    assert len(jobs_of(third)) == 1


def test_elements_without_reference_are_named(finished: dict[str, Any]) -> None:
    """Two sets of references that lack Nb."""
    _, node = run_get_node(
        HullWorkChain,
        structures=finished["results"],
        references={"some": elements("Mo", energy=-8.0), "more": elements("Ta", "W", energy=-8.0)},
        parameters={"hull": "references"},
    )
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.column("hull_status").tolist() == [
        "no_reference",
        "ok",
        "not_converged",
        "ok",
    ]
    assert node.outputs.results.row("a")["hull_message"] == "no reference for Nb"
    assert node.outputs.summary["missing_elements"] == ["Nb"]
    assert "relaxed_references" not in node.outputs
    assert node.outputs.summary["warnings"] == [
        "levels of theory were not compared, since they are not known for structures, more, some",
        "no reference for Nb",
    ]


def test_another_model_is_refused_before_anything_is_relaxed(finished: dict[str, Any], tmp_path: Any) -> None:
    from aiida_pet.data.model import PetModelData

    path = tmp_path / "other.ckpt"
    path.write_bytes(b"another")
    other = PetModelData.get_or_create(path, {"name": "other", "elements": ["W"], "outputs": ["energy"]})
    inputs = {
        "structures": finished["results"],
        "reference_structures": elements("Nb", "Mo", "Ta", "W"),
        "relax": relax_inputs(finished) | {"model": other},
    }
    _, node = run_get_node(HullWorkChain, **inputs)
    assert node.exit_status == 310
    assert re.search(
        f"structures is of .*model {finished['model'].sha256[:12]}, but relaxed_references", node.exit_message
    )
    assert node.called == []


def test_levels_in_words_are_compared_and_can_be_forced(finished: dict[str, Any]) -> None:
    inputs = {
        "structures": finished["results"],
        "references": {"mp": elements("Nb", "Mo", "Ta", "W", energy=-8.0, level_of_theory="PBE, VASP")},
        "parameters": {"level_of_theory": "r2SCAN"},
    }
    _, node = run_get_node(HullWorkChain, **inputs)
    assert node.exit_status == 310
    assert "but mp is PBE, VASP" in node.exit_message
    inputs["parameters"] = {"level_of_theory": "r2SCAN", "force_mixture": True}
    _, node = run_get_node(HullWorkChain, **inputs)
    assert node.is_finished_ok
    assert node.outputs.summary["warnings"][0].startswith(
        "different levels of theory are mixed, since force_mixture is set"
    )


def under_pressure(pressure: float, *symbols: str) -> StructureSetData:
    """Pure crystals of -8 eV/atom, with enthalpies at `pressure` GPa."""
    table = elements(*symbols, energy=-8.0).to_table()
    volumes = np.abs(np.linalg.det(table.cells))
    table.set_column("enthalpy", table.columns["energy"] + pressure * volumes / 160.21766, "eV")
    return StructureSetData.from_table(table).store()


def test_references_of_another_pressure_are_refused_before_anything_runs(finished: dict[str, Any]) -> None:
    given = {"structures": under_pressure(60.0, "W"), "references": {"mp": under_pressure(60.0, "Nb", "W")}}
    _, node = run_get_node(HullWorkChain, **given)
    assert node.is_finished_ok, node.exit_message
    assert set(node.outputs.results.column("hull_of").tolist()) == {"enthalpy at 60 GPa"}
    for other, told in (
        (elements("W", energy=-8.0), "energies at 0 GPa"),
        (under_pressure(30.0, "W"), "30 GPa"),
    ):
        _, node = run_get_node(HullWorkChain, **given | {"references": {"mp": other}})
        assert node.exit_status == 311
        assert told in node.exit_message
    relaxed = {"reference_structures": elements("W"), "relax": relax_inputs(finished)}
    _, node = run_get_node(HullWorkChain, structures=given["structures"], **relaxed)
    assert node.exit_status == 311
    assert "would be relaxed at 0 GPa" in node.exit_message
    assert node.called == []


def test_references_are_freed_as_the_set_of_a_screening_is(finished: dict[str, Any]) -> None:
    """A free relaxation from a rattle follows; both are done once."""
    inputs = {
        "structures": finished["results"],
        "reference_structures": elements("Nb", "Mo", "W"),
        "relax": relax_inputs(finished, symmetry="constrained", max_steps=77),
        "free": {"rattle": 0.05, "seed": 1, "min_gain": 0.001},
    }
    _, node = run_get_node(HullWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message
    jobs = jobs_of(node)
    assert sorted(job.inputs.parameters["symmetry"] for job in jobs) == ["constrained", "none"]
    assert all(job.inputs.parameters["max_steps"] == 77 for job in jobs)
    references = node.outputs.relaxed_references
    assert set(references.column("relaxation").tolist()) <= {"constrained", "free"}
    assert "energy_gained" in references.column_names
    _, again = run_get_node(HullWorkChain, **inputs)
    assert again.is_finished_ok
    assert jobs_of(again) == []
    builder = HullWorkChain.get_builder_from_protocol(
        references,
        reference_structures=elements("W"),
        code=finished["code"],
        model=finished["model"],
    )
    assert builder.free.get_dict() == inputs["free"]
    assert builder.relax["parameters"]["symmetry"] == "constrained"


def test_references_that_do_not_relax_end_it(finished: dict[str, Any]) -> None:
    table = elements("W").to_table()
    table.ids = table.ids.astype("U20")
    table.ids[0] = "max_steps-W"
    inputs = {
        "structures": finished["results"],
        "reference_structures": StructureSetData.from_table(table).store(),
        "relax": relax_inputs(finished),
    }
    _, node = run_get_node(HullWorkChain, **inputs)
    assert node.exit_status == 411
    assert "none of the 1 references 'relaxed_references' is converged" in node.exit_message


def test_builder_relaxes_references_as_the_set_was(finished: dict[str, Any]) -> None:
    builder = HullWorkChain.get_builder_from_protocol(
        finished["results"],
        reference_structures=elements("W"),
        code=finished["code"],
        model=finished["model"],
        options=finished["options"],
    )
    assert builder.relax.parameters.get_dict() == {"fmax": 0.03}
    builder = HullWorkChain.get_builder_from_protocol(
        finished["results"],
        reference_structures=elements("W"),
        code=finished["code"],
        model=finished["model"],
        protocol="precise",
    )
    assert builder.relax.parameters["fmax"] == 1e-4
    with pytest.raises(ValueError, match="give code and model"):
        HullWorkChain.get_builder_from_protocol(finished["results"], reference_structures=elements("W"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"structures": "bare"}, "the set has no column 'energy'"),
        ({"references": {"x": "bare"}}, "references 'x' have no column 'energy'"),
        (
            {"reference_structures": "bare"},
            "`reference_structures` and `relax` (code, model, parameters) go together",
        ),
        ({"parameters": {"hull": "references"}}, "hull = 'references' needs `references`"),
        ({"parameters": {"hull": "both"}}, "hull = 'both': expected all or references"),
        ({"references": {"structures": "good"}}, "references cannot be called 'structures'"),
    ],
)
def test_bad_inputs_are_refused_at_submission(
    finished: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    nodes = {"bare": elements("W"), "good": elements("W", energy=-8.0)}

    def filled(value: Any) -> Any:
        if isinstance(value, dict) and "hull" not in value:
            return {key: filled(item) for key, item in value.items()}
        return nodes[value] if isinstance(value, str) else value

    inputs = {"structures": finished["results"]} | filled(change)
    with pytest.raises(ValueError, match=re.escape(message)):
        run_get_node(HullWorkChain, **inputs)


# -- the numbers, against pymatgen's phase diagram ---------------------------------------------------------------------

ELEMENTS = ("Nb", "Mo", "Ta", "W")
# eV per atom
PURE = dict(zip(ELEMENTS, (-10.1, -10.9, -11.8, -12.9), strict=True))


def make_phases(count: int, seed: int, prefix: str) -> list[tuple[str, dict[str, int], float]]:
    """Random phases: id, atoms of each element, energy per atom (eV) around the mean of the elements."""
    rng = np.random.default_rng(seed)
    phases = []
    for index in range(count):
        chosen = rng.choice(ELEMENTS, rng.integers(2, 4), replace=False)
        atoms = {str(symbol): int(rng.integers(1, 4)) for symbol in chosen}
        mean = sum(n * PURE[symbol] for symbol, n in atoms.items()) / sum(atoms.values())
        phases.append((f"{prefix}-{index}", atoms, mean + rng.normal(-0.1, 0.15)))
    return phases


def set_of(phases: list[tuple[str, dict[str, int], float]]) -> StructureSetData:
    """A finished set of phases; where atoms are does not matter to a hull."""
    rows = [
        (name, Atoms("".join(f"{s}{n}" for s, n in atoms.items()), cell=5 * np.eye(3), pbc=True))
        for name, atoms, _ in phases
    ]
    table = StructureTable.from_ase(rows)
    energies = [energy * sum(atoms.values()) for _, atoms, energy in phases]
    table.set_column("energy", energies, "eV")
    table.set_column("status", ["converged"] * len(phases))
    return StructureSetData.from_table(table).store()


def entries_of(phases: list[tuple[str, dict[str, int], float]]) -> list[ComputedEntry]:
    return [
        ComputedEntry(atoms, energy * sum(atoms.values()), entry_id=name) for name, atoms, energy in phases
    ]


@pytest.fixture(scope="module")
def diagram(
    aiida_profile: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StructureSetData, TableData, list[ComputedEntry], list[ComputedEntry]]:
    """A set, a table of references read from a file, and the entries of both."""
    phases = make_phases(40, 0, "x")
    references = entries_of([(f"el-{s}", {s: 1}, energy) for s, energy in PURE.items()])
    references += entries_of(make_phases(12, 1, "ref"))
    path = tmp_path_factory.mktemp("references") / "competing.json.gz"
    with gzip.open(path, "wt") as handle:
        json.dump([entry.as_dict() for entry in references], handle)
    table = TableData.from_table(read_references(path, level_of_theory="PBE").to_table()).store()
    return set_of(phases), table, entries_of(phases), references


def hull_of(diagram: tuple[Any, ...], **parameters: Any) -> Any:
    node = run_get_node(
        HullWorkChain, structures=diagram[0], references={"competing": diagram[1]}, parameters=parameters
    ).node
    assert node.is_finished_ok, node.exit_message
    return node


def products_in(text: str) -> set[str]:
    """Ids of the products of a decomposition."""
    return set(re.findall(r"\(([^)]*)\)", text))


def test_hull_of_set_and_references_is_that_of_pymatgen(diagram: tuple[Any, ...]) -> None:
    results = hull_of(diagram).outputs.results
    *_, entries, references = diagram
    expected = PhaseDiagram(entries + references)
    assert results.column("e_above_hull").tolist() == pytest.approx(
        [expected.get_e_above_hull(entry) for entry in entries], abs=1e-9
    )
    assert results.column("formation_energy").tolist() == pytest.approx(
        [expected.get_form_energy_per_atom(entry) for entry in entries], abs=1e-9
    )
    assert results.column("is_stable").tolist() == [entry in expected.stable_entries for entry in entries]
    for entry, text in zip(entries, results.column("decomposition").tolist(), strict=True):
        found = expected.get_decomposition(entry.composition)
        assert products_in(text) == {phase.entry_id for phase in found}
    # both kinds of rows are there, and some decompose into references
    assert set(results.column("is_stable").tolist()) == {True, False}
    assert any("(ref-" in text for text in results.column("decomposition").tolist())


def test_hull_of_the_references_alone_is_that_of_pymatgen(diagram: tuple[Any, ...]) -> None:
    results = hull_of(diagram, hull="references").outputs.results
    *_, entries, references = diagram
    expected = PhaseDiagram(references)
    distances = [
        expected.get_decomp_and_e_above_hull(entry, allow_negative=True, check_stable=False)[1]
        for entry in entries
    ]
    assert results.column("e_above_hull").tolist() == pytest.approx(distances, abs=1e-9)
    assert min(distances) < -0.01
    assert "phase_separation_energy" not in results.column_names
    assert not any("(x-" in text for text in results.column("decomposition").tolist())


def test_stability_threshold_moves_what_counts_as_stable(diagram: tuple[Any, ...]) -> None:
    strict, loose = (hull_of(diagram, stability_threshold=value).outputs for value in (0.0, 0.1))
    distances = strict.results.column("e_above_hull")
    assert loose.results.column("e_above_hull").tolist() == distances.tolist()
    for outputs, threshold in ((strict, 1e-8), (loose, 0.1)):
        assert outputs.results.column("is_stable").tolist() == (distances <= threshold).tolist()
        assert outputs.summary["stable"] == int((distances <= threshold).sum())
    assert strict.summary["stable"] < loose.summary["stable"]


def test_level_of_a_file_of_references_is_compared(diagram: tuple[Any, ...]) -> None:
    node = hull_of(diagram)
    assert node.outputs.summary["warnings"] == [
        "levels of theory were not compared, since they are not known for structures"
    ]
    node = hull_of(diagram, level_of_theory="pbe")
    assert node.outputs.summary["warnings"] == []
    assert node.outputs.summary["levels_of_theory"] == {"structures": "pbe", "competing": "PBE"}
    refused = run_get_node(
        HullWorkChain,
        structures=diagram[0],
        references={"competing": diagram[1]},
        parameters={"level_of_theory": "r2SCAN"},
    ).node
    assert refused.exit_status == 310
    assert "structures is r2SCAN, but competing is PBE" in refused.exit_message
