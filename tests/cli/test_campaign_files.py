"""Campaign files: written, read, refused with the line, and a launch that one reproduces from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from ase.build import bulk
from ase.io import write

from aiida_pet.campaigns.campaign_file import CampaignFile, CampaignFileError, read_campaign, text_of
from aiida_pet.workchains.jobs import jobs_of

KEEP = ("--stages", "relax,phonons", "--keep", "phonons: max_frequency > 1", "--set", "relax.fmax=0.03")


@pytest.fixture
def pk(read: Any, alloys_file: Path) -> Any:
    return read("data", "import", alloys_file, "--label", "alloys of a file")["pk"]


def test_dry_run_writes_what_launch_reads(invoke: Any, prepare: Any, pk: Any, tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    how = ("--lanes", 2, "--job-size", 3, "--walltime", "30m", "--setting", "threads=1", "--label", "again")
    prepare("screen", pk, *KEEP, *how, "--dry-run", "-o", path)
    assert not prepare.builders
    assert "launch screen" in prepare.result.stderr
    builder = prepare("screen", pk, *KEEP, *how)
    invoke("launch", "screen", path)
    again = prepare.builders[-1]
    assert again is not builder
    for name in ("structures", "model", "code"):
        assert again[name].uuid == builder[name].uuid
    assert again.stages.get_dict() == builder.stages.get_dict()
    for name in ("lanes", "job_size"):
        assert again[name].value == builder[name].value
    assert dict(again.options) == dict(builder.options)
    assert again.metadata.label == "again"


def test_protocols_of_files_are_seen_from_the_campaign_file(
    invoke: Any, prepare: Any, pk: Any, tmp_path: Path, site: list[Any]
) -> None:
    (tmp_path / "ours.yaml").write_text("base: precise\nparameters: {fmax: 0.0017}\n")
    path = tmp_path / "campaign.yaml"
    path.write_text(
        f"set: {pk}\ncode: '{site[1]}'\nmodel: {site[3]}\nstages:\n  relax: {{protocol: ours.yaml}}\n"
    )
    invoke("launch", "screen", path)
    assert prepare.builders[-1].stages["relax"]["parameters"]["fmax"] == 0.0017


def test_files_are_seen_from_the_campaign_file(
    invoke: Any, prepare: Any, alloys_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "campaigns"
    folder.mkdir()
    prepare("screen", alloys_file, "--stages", "relax", "--dry-run", "-o", folder / "one.yaml")
    document = yaml.safe_load((folder / "one.yaml").read_text())
    assert document["set"] == ["../alloys.xyz"]
    invoke("launch", "screen", folder / "one.yaml")
    assert len(prepare.builders[-1].structures) == 6


def test_a_launch_is_written_and_comes_again_from_the_cache(
    invoke: Any, launch: Any, pk: Any, tmp_path: Path
) -> None:
    first = launch("screen", pk, "--stages", "relax", "--set", "relax.fmax=0.04", "--label", "the first")
    path = tmp_path / "first.yaml"
    invoke("export-launch", first.pk, "-o", path)
    assert yaml.safe_load(path.read_text())["stages"]["relax"]["parameters"]["fmax"] == 0.04
    assert "exists already" in invoke("export-launch", first.pk, "-o", path, status=1).output
    invoke("launch", "screen", path)
    again = launch.node
    assert again.pk != first.pk
    assert again.label == "the first"
    assert again.outputs.results.base.attributes.get("content_sha256") == (
        first.outputs.results.base.attributes.get("content_sha256")
    )
    assert all(job.base.caching.is_created_from_cache for job in jobs_of(again))
    relaxation = first.called[0]
    assert (
        "only screenings can be written as campaign files"
        in invoke("export-launch", relaxation.pk, status=1).output
    )


DEMO = (
    *("--protocol", "moderate", "--lanes", 2, "--setting", "threads=1"),
    *("--keep", "hull: e_above_hull <= 0.025", "--set", "phonons.min_image=8"),
)
"""How examples/demo.py screens."""


def test_the_screening_of_the_demo_comes_again_whole_from_the_cache(
    invoke: Any, read: Any, launch: Any, tmp_path: Path
) -> None:
    alloys = [bulk("W", cubic=True), bulk("Mo", cubic=True)]
    for index, crystal in enumerate(alloys):
        crystal.symbols[0] = "Mo" if index == 0 else "W"
        crystal.info["id"] = f"alloy-{index}"
    write(tmp_path / "two.xyz", alloys, format="extxyz")
    # the energies of the engine that stands in want elements of their own, which the alloys of the demo hold
    elements = tmp_path / "elements.xyz"
    write(elements, [bulk("W", a=3.17), bulk("Mo", a=3.15)], format="extxyz")
    first = launch("screen", tmp_path / "two.xyz", *DEMO, "--relax-references", elements)
    path = tmp_path / "demo.yaml"
    invoke("export-launch", "last", "-o", path)
    invoke("launch", "screen", path)
    again = launch.node
    assert again.pk != first.pk
    jobs = jobs_of(again)
    assert {job.process_label for job in jobs} >= {"RelaxCalculation", "PhononCalculation"}
    # references that are relaxed already are not relaxed again
    assert len(jobs_of(first)) - 2 <= len(jobs) <= len(jobs_of(first))
    assert all(job.base.caching.is_created_from_cache for job in jobs)
    names = ["status", "energy", "volume", "e_above_hull", "stage"]
    before, after = (node.outputs.results.to_dataframe()[names] for node in (first, again))
    pd.testing.assert_frame_equal(before, after)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("set: a\nstages:\n  relax:\n   - [\n", 5, "not YAML"),
        ("- a\n", 1, "expected `name: value` lines"),
        ("set: a\nset: b\nstages: {relax: }\n", 2, "in the file twice"),
        ("set: a\nlans: 2\nstages: {relax: }\n", 2, "did you mean lanes?"),
        ("set: a\nlanes: 0\nstages: {relax: }\n", 2, "greater than or equal to 1, got 0"),
        ("stages: {relax: }\n", 1, "set is missing"),
        ("set: {label: a, uid: b}\nstages: {relax: }\n", 1, "did you mean uuid?"),
        ("set: a\nstages: {relax: }\nresources:\n  gpu: 1\n", 4, "did you mean gpus"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(CampaignFileError) as caught:
        read_campaign(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert what in str(caught.value)


@pytest.mark.usefixtures("prepare")
@pytest.mark.parametrize(
    ("stages", "line", "what"),
    [
        ("  relx:\n", 3, "did you mean relax?"),
        ("  relax:\n    parameters:\n      fmx: 0.1\n", 5, "fmx"),
        ("  relax:\n    parameters:\n      fmax: -1\n", 5, "fmax"),
    ],
)
def test_stages_are_checked_with_their_lines(
    invoke: Any, tmp_path: Path, stages: str, line: int, what: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(f"set: a\nstages:\n{stages}")
    output = invoke("launch", "screen", path, status=1).output
    assert f"wrong.yaml, line {line}: " in output
    assert what in output


def test_options_beside_a_file_are_refused(invoke: Any, prepare: Any, tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("set: a\nstages: {relax: }\n")
    output = invoke("launch", "screen", path, "--lanes", 2, "--keep", "relax: energy < 0", status=2).output
    assert "--keep, --lanes: the campaign file sets this" in output


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    campaign = CampaignFile(
        set="alloys",
        model={"name": "m", "sha256": "a" * 64},
        stages={"relax": {"keep": None, "parameters": {"fmax": 1e-4}}, "hull": None},
        references=["mp=12"],
        resources={"gpus": 1, "walltime": "2h"},
        clean_workdir=False,
    )
    path.write_text(text_of(campaign))
    assert read_campaign(path)[0] == campaign
