"""What a report says, against what the nodes hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from aiida_pet.campaigns.errors import NoSuchColumnError, NoSuchRowError
from aiida_pet.cli import main
from aiida_pet.report import Choices, Document, make_document
from aiida_pet.report.citations import GENERAL, SHIPPED
from aiida_pet.report.source import source_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "archives"


@pytest.fixture(scope="module")
def told() -> Any:
    """What the version that made the archive said of its launches."""
    return json.loads((FOLDER / "version-0.1.0.json").read_text())


@pytest.fixture(scope="module")
def screening(archive: Callable[..., Any]) -> Document:
    """The report of a screening of four crystals, compared with a relaxation of the same."""
    with archive() as launch:
        return make_document([launch("screening"), launch("loose")], Choices(best=2))


def test_head_says_model_level_parameters_and_cost(screening: Document) -> None:
    asked = screening.campaigns[0]
    facts = {fact.name: fact.value for fact in asked.facts}
    assert facts["model"].startswith("pet-refractory-xs 1.0.0")
    assert facts["level of theory"] == "PBE"
    assert len(facts["SHA-256"]) == 64
    assert facts["crystals"] == "4 crystals of 'crystals': Mo Ta"
    assert facts["code"].startswith("pet-engine, aiida-pet 0.1.0, AiiDA 2.")
    assert "core-hours" in facts["cost"]
    assert facts["launched"].startswith("2026-11-28 21:18")
    fmax = {one.stage: (one.value, one.meaning) for one in asked.parameters if one.name == "fmax"}
    assert fmax["relax"][0] == "0.02 eV/A"
    assert "force" in fmax["relax"][1]
    assert any("npj Computational Materials" in line for line in asked.cite)


def test_core_hours_are_those_of_the_jobs(screening: Document) -> None:
    cost = next(fact.value for fact in screening.campaigns[0].facts if fact.name == "cost")
    seconds = 10.45981836319 + 7.7198076248169 + 7.0698347091675  # engine_s of the three jobs, one core each
    assert float(cost.split()[0]) == pytest.approx(seconds / 3600, rel=5e-3)


def test_funnel_and_reasons_are_those_of_the_summary(screening: Document) -> None:
    funnel = screening.figures["funnel"].columns
    assert funnel["stage"] == ["relax", "symmetry", "hull", "phonons", "elastic"]
    assert funnel["went on"] == [4, 4, 3, 3, 3]
    assert funnel["did not go on"] == [0, 0, 1, 0, 0]
    assert screening.figures["reasons"].columns["outcome"] == ["not e_above_hull <= 0.2"]


def test_table_has_the_values_of_the_rows(screening: Document, told: Any) -> None:
    table = screening.table
    assert table is not None
    rows = told["screening"]["rows"]
    assert table["ids"] == list(rows)
    columns = {column["name"]: column for column in table["columns"]}
    for name in ("energy", "e_above_hull", "bulk_modulus", "min_frequency"):
        for row_id, value in zip(table["ids"], columns[name]["values"], strict=True):
            expected = rows[row_id].get(name)
            assert value == (None if expected is None else pytest.approx(expected, rel=1e-6))
    assert columns["passed"]["values"] == [True, True, True, False]
    assert columns["bulk_modulus"]["unit"] == "GPa"
    assert [len(one["numbers"]) for one in table["structures"]] == [
        int(n) for n in columns["n_atoms"]["values"]
    ]


def test_best_rows_have_bands_thermal_curves_and_elastic_figures(screening: Document) -> None:
    kinds = {row: [figure.kind.value for figure in found] for row, found in screening.details.items()}
    assert kinds == {row: ["bands", "lines", "young", "tensor"] for row in ("Mo", "Ta")}
    bands = screening.details["Mo"][0]
    assert bands.options["labels"] == ["Γ", "H", "N", "Γ", "P", "H|P", "N"]
    assert len(bands.options["branches"]) == 3


def test_values_of_two_launches_are_compared_and_laid_over_each_other(screening: Document, told: Any) -> None:
    parity = screening.figures["parity-0-energy"]
    assert screening.table is not None
    structures = dict(zip(screening.table["ids"], screening.table["structures"], strict=True))
    assert sorted(parity.columns["id"]) == ["Mo", "Mo-fcc", "MoTa", "Ta"]
    for row_id, difference in zip(parity.columns["id"], parity.columns["difference"], strict=True):
        first, second = (told[label]["rows"][row_id] for label in ("screening", "loose"))
        expected = (first["energy"] - second["energy"]) / len(structures[row_id]["numbers"])
        assert difference == pytest.approx(expected, abs=1e-6)
    overlaid = screening.figures["histogram-energy-per-atom"]
    assert len(overlaid.options["series"]) == 2
    for name in overlaid.options["series"]:
        assert sum(overlaid.columns[name]) == 4
    assert "error" in screening.figures["elements"].columns


def test_periodic_table_counts_crystals(screening: Document) -> None:
    columns = screening.figures["elements"].columns
    assert dict(zip(columns["element"], columns["count"], strict=True)) == {"Mo": 3, "Ta": 2}
    assert columns["failed"] == [0, 0]


def test_launches_that_were_stopped_are_reported(archive: Callable[..., Any]) -> None:
    with archive() as launch:
        for label in ("stopped", "stopped screening"):
            found = make_document([launch(label)])
            assert "exit status 400" in found.campaigns[0].state
            assert not found.goes_on
            assert found.table is not None


def test_wrong_questions_are_answered_in_a_sentence(archive: Callable[..., Any]) -> None:
    with archive() as launch:
        node = launch("screening")
        with pytest.raises(NoSuchColumnError, match="energi"):
            make_document([node], Choices(sort="energi"))
        with pytest.raises(NoSuchRowError, match="closest are MoTa"):
            make_document([node], Choices(ids=("MoTaa",)))
        assert source_of(node).stages == ["relax", "symmetry", "hull", "phonons", "elastic"]


def test_works_to_cite_are_those_of_the_citation_file() -> None:
    listed = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    known = {work.get("doi") or work["url"].removeprefix("https://arxiv.org/abs/") for work in listed}
    for line in (*GENERAL[1:], *SHIPPED.values()):
        assert line.rpartition("doi:")[2] in known or line.rpartition("arXiv:")[2] in known


def test_command_writes_a_file_and_refuses_to_replace_one(
    archive: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "campaign.html"
    with archive() as launch:
        arguments = ["report", launch("screening").uuid, "-o", str(path), "--best", "1", "--system", "Mo-Ta"]
        first = CliRunner().invoke(main, arguments)
        assert (first.exit_code, "wrote" in first.output) == (0, True), first.output
        again = CliRunner().invoke(main, arguments)
        assert again.exit_code == 1
        assert "exists already: --force replaces it" in again.output
        wrong = CliRunner().invoke(main, [*arguments[:-1], "Mo", "--force"])
        assert "no system of two or three elements" in wrong.output
        odd = CliRunner().invoke(main, [*arguments[:-1], "Mo-Xx", "--force"])
        assert odd.exit_code == 1, odd.output
    assert path.stat().st_size > 1_000_000
