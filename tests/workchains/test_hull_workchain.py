"""Hulls of finished sets, references given or relaxed on the way. The engine that stands in gives -8 eV per atom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.data.structures import StructureSetData
from aiida_pet.engine.table import StructureTable
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
        "level of theory unknown, not compared: structures, more, some",
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
    assert node.outputs.summary["warnings"][0].startswith("levels of theory are mixed, as was forced")


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
