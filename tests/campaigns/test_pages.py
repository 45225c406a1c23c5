"""The examples of docs/provenance.md, campaigns.md and plots.md run as they stand there, against two campaigns."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida.engine import run_get_node

from aiida_pet.workchains.groups import group_of
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.relax import RelaxWorkChain

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "provenance.md"


def blocks_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


BLOCKS = blocks_of(PAGE)
LIBRARY = blocks_of(DOCS / "campaigns.md")
PLOTS = blocks_of(DOCS / "plots.md")
LABELS = {0.05: "alloys, fmax 0.05", 0.01: "alloys, fmax 0.01"}


@pytest.fixture(scope="module")
def campaigns(module_inputs: Callable[..., dict[str, Any]]) -> dict[float, Any]:
    """Four alloys of W with Nb, Mo, Ta and W, relaxed with two thresholds in two lanes."""
    inputs = module_inputs(4)
    made = {}
    for fmax, label in LABELS.items():
        own = inputs | {"parameters": {"fmax": fmax}, "metadata": {"label": label}}
        made[fmax] = run_get_node(RelaxWorkChain, lanes=2, **own)[1]
    return made


@pytest.fixture
def printed(campaigns: dict[float, Any], capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run the one block that holds a text, and return what it prints."""

    def run(text: str) -> str:
        (block,) = [block for block in BLOCKS if text in block]
        exec(compile(block, str(PAGE), "exec"), {})
        return capsys.readouterr().out

    return run


def test_every_block_is_run_here() -> None:
    assert len(BLOCKS) == 8
    assert len(LIBRARY) == 7
    assert len(PLOTS) == 2


def test_rows_are_found(printed: Callable[[str], str], campaigns: dict[float, Any]) -> None:
    output = printed("elements=")
    for node in campaigns.values():
        assert re.search(rf"{node.pk}\s+alloy-0001\s+MoW\s+-16\.0", output)
    assert "alloy-0000" not in output


def test_launches_are_compared(printed: Callable[[str], str]) -> None:
    settings, *columns = printed("compare(").splitlines()
    assert settings == "{'parameters.fmax': (0.05, 0.01)}"
    assert "energy_per_atom 4 0.0 eV/atom" in columns


def test_job_of_a_row_is_the_one_that_has_it(
    printed: Callable[[str], str], campaigns: dict[float, Any]
) -> None:
    (line,) = printed("import trace").splitlines()
    (job,) = [job for job in jobs_of(campaigns[0.01]) if "alloy-0001" in job.outputs.results.ids.tolist()]
    assert line.startswith(f"{job.pk} RelaxCalculation stand-in@")


def test_all_jobs_of_a_campaign_are_found(printed: Callable[[str], str], campaigns: dict[float, Any]) -> None:
    found = eval(printed('tag="lane"'))
    assert sorted(found) == [[job.pk, 0] for job in jobs_of(campaigns[0.01])]
    assert len(found) == 2


def test_results_of_a_model_are_found(printed: Callable[[str], str], campaigns: dict[float, Any]) -> None:
    found = {row[0]: row[1:] for row in eval(printed("attributes.sha256"))}
    for fmax, node in campaigns.items():
        assert found[node.pk] == [LABELS[fmax], node.outputs.results.pk, 4, {"converged": 4}]


def test_campaigns_of_a_composition_are_counted(
    printed: Callable[[str], str], campaigns: dict[float, Any]
) -> None:
    output = printed('formulas=["MoW"]')
    for fmax, node in campaigns.items():
        assert re.search(rf"{node.pk}\s+{LABELS[fmax]}\s+1$", output, re.MULTILINE)


def test_cost_of_campaigns_is_that_of_their_jobs(
    printed: Callable[[str], str], campaigns: dict[float, Any]
) -> None:
    lines = {line.split()[0]: line for line in printed('"engine_s"').splitlines()}
    for fmax, node in campaigns.items():
        engine_s = sum(job.outputs.summary["engine_s"] for job in jobs_of(node))
        rest = lines[str(node.pk)].partition(" ")[2]
        assert rest.startswith(f"{LABELS[fmax]} 4 2 ")
        assert float(rest.split()[-2]) == pytest.approx(engine_s)


def test_launches_are_told_by_the_group_of_their_campaign(
    printed: Callable[[str], str], campaigns: dict[float, Any]
) -> None:
    for node in campaigns.values():
        group = group_of(node)
        assert {member.pk for member in group.nodes} == {node.pk, node.outputs.results.pk}
    found = eval(printed('with_group="campaign"'))
    for node in campaigns.values():
        assert [f"aiida-pet/{node.label}", node.pk, node.label, 0] in found


# -- docs/campaigns.md -------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(
    campaigns: dict[float, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[str]]:
    """Run the one block of docs/campaigns.md that holds a text, and return the lines that it prints."""
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)

    def run(text: str) -> list[str]:
        (block,) = [block for block in LIBRARY if text in block]
        exec(compile(block, "docs/campaigns.md", "exec"), {})
        return capsys.readouterr().out.splitlines()

    return run


def test_page_shows_how_far_a_launch_is(
    shown: Callable[[str], list[str]], campaigns: dict[float, Any]
) -> None:
    assert shown("import status") == [
        "4 of 4 rows, {'converged': 4}",
        f"* `aiida-pet results {campaigns[0.05].pk}` shows the rows",
    ]


def test_page_shows_rows_with_units(shown: Callable[[str], list[str]], campaigns: dict[float, Any]) -> None:
    lines = shown("frame.attrs")
    results = campaigns[0.05].outputs.results.to_dataframe().sort_values("energy", kind="stable")
    assert [line.split()[0] for line in lines[2:6]] == results.index.tolist()
    assert lines[-1] == "{'energy': 'eV', 'volume': 'A^3'}"


def test_page_shows_one_crystal(shown: Callable[[str], list[str]], campaigns: dict[float, Any]) -> None:
    lines = shown("crystal.provenance")
    results = campaigns[0.05].outputs.results
    assert lines[0].startswith(f"MoW {results.get_ase('alloy-0001').get_volume()}")
    assert lines[1] == f"{results.row('alloy-0001')['energy']} eV"
    roles = [line.split()[0] for line in lines]
    assert {"status", "result", "job", "model", "input"} <= set(roles)


def test_page_finds_and_compares(shown: Callable[[str], list[str]], campaigns: dict[float, Any]) -> None:
    lines = shown("import compare, find")
    for node in campaigns.values():
        assert any(line.split()[1:2] == [str(node.pk)] and "alloy-0001" in line for line in lines)
    assert lines[-2:] == ["{'parameters.fmax': (0.05, 0.01)}", "0.0 eV"]


def test_page_shows_metrics_and_an_estimate(
    shown: Callable[[str], list[str]], campaigns: dict[float, Any]
) -> None:
    assert shown("import metrics") == ["0.0 eV 4"]
    (line,) = shown("import estimate")
    n_jobs = sum(len(jobs_of(node)) for node in campaigns.values())
    told = re.fullmatch(r"2 [\d.]+ (\d+) past jobs with this model on cpu", line)
    assert told is not None
    assert int(told[1]) >= n_jobs  # other tests may have left jobs in this profile


def test_page_shows_what_is_wrong(shown: Callable[[str], list[str]], campaigns: dict[float, Any]) -> None:
    (line,) = shown("CampaignError")
    assert line.startswith(
        f"no row 'alloy-9999' among the 4 of StructureSetData<{campaigns[0.05].outputs.results.pk}>"
    )
    assert "closest are alloy-000" in line


# -- docs/plots.md -----------------------------------------------------------------------------------------------------


def test_pictures_and_numbers_of_the_page(
    campaigns: dict[float, Any],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in PLOTS:
        exec(compile(block, "docs/plots.md", "exec"), {})
    assert "volumes of the cells" in Path("volumes.svg").read_text()
    assert capsys.readouterr().out.startswith("A^3 ")


def test_pictures_of_the_page_are_there_and_small() -> None:
    named = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (DOCS / "plots.md").read_text())
    assert len(named) == 5
    assert max((DOCS / name).stat().st_size for name in named) < 60_000


def test_commands_of_the_page_are_commands() -> None:
    from click.testing import CliRunner

    from aiida_pet.cli import main

    kinds = re.findall(r"^\| `(\w+)` \|", (DOCS / "plots.md").read_text(), flags=re.MULTILINE)
    assert set(kinds) == set(main.commands["plot"].commands)  # type: ignore[attr-defined]
    for line in re.findall(r"^aiida-pet plot (.+)$", (DOCS / "plots.md").read_text(), flags=re.MULTILINE):
        kind = line.split()[0]
        told = CliRunner().invoke(main, ["plot", kind, "--help"]).output
        assert all(option in told for option in re.findall(r"--[a-z-]+", line)), line
