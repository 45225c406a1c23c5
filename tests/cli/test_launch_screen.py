"""`aiida-pet launch screen` and `launch hull`: every option reaches the process, and the faults are told."""

import itertools
import json
import re

import pytest
from aiida import orm
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedEntry

from aiida_pet.cli import main
from aiida_pet.job.stages import STAGES
from aiida_pet.workchains.jobs import jobs_of


@pytest.fixture
def alloys(read, alloys_file):
    """The pk of the imported alloys: WMo, W3Mo and so on."""
    return read("data", "import", alloys_file)["pk"]


@pytest.fixture
def elements(tmp_path):
    """A file of the elements W and Mo."""
    path = tmp_path / "elements.xyz"
    crystals = [bulk("W", a=3.17), bulk("Mo", a=3.15)]
    for crystal, name in zip(crystals, ("W", "Mo"), strict=True):
        crystal.info["id"] = name
    write(path, crystals, format="extxyz")
    return path


@pytest.fixture
def entries(tmp_path):
    """A file of pymatgen entries of W and Mo, eV: -9 per atom."""
    path = tmp_path / "published-1.json"
    found = [ComputedEntry(Composition({name: 2}), -18.0, entry_id=f"mp-{name}") for name in ("W", "Mo")]
    path.write_text(json.dumps([entry.as_dict() for entry in found]))
    return path


def test_options_become_stages(prepare, alloys):
    builder = prepare(
        "screen",
        alloys,
        "--stages",
        "relax, hull,phonons",
        "--protocol",
        "fast",
        "--keep",
        "hull: e_above_hull <= 0.025 and n_atoms < 9",
        "--keep",
        "phonons:",
        "--mode",
        "constrained_then_free",
        "--set",
        "relax.fmax=0.03",
        "--set",
        "relax.rattle=0.05",
        "--set",
        "hull.stability_threshold=0.01",
        "--set",
        "phonons.min_image=9",
        "--lanes",
        2,
        "--job-size",
        3,
        "--label",
        "mine",
    )
    given = builder.stages.get_dict()
    assert list(given) == ["relax", "hull", "phonons"]
    assert (given["relax"]["mode"], given["relax"]["rattle"]) == ("constrained_then_free", 0.05)
    assert given["relax"]["parameters"]["fmax"] == 0.03
    assert given["hull"] == {
        "hull": "all",
        "keep": "e_above_hull <= 0.025 and n_atoms < 9",
        "stability_threshold": 0.01,
    }
    assert given["phonons"]["keep"] is None
    assert given["phonons"]["parameters"]["min_image"] == 9
    assert given["phonons"]["parameters"]["max_atoms"] == 200  # of the protocol fast
    assert (builder.lanes, builder.job_size, builder.reuse) == (2, 3, True)
    assert builder.metadata.label == "mine"
    assert prepare("screen", alloys, "--no-reuse").reuse is False


def test_screening_runs_and_is_reported_stage_by_stage(launch, read, invoke, alloys, elements):
    node = launch(
        "screen", alloys, "--stages", "relax,hull,elastic", "--relax-references", elements, "--wait", "--json"
    )
    document = json.loads(launch.result.stdout)
    assert document["exit_status"] == 0
    assert [stage["name"] for stage in document["stages"]] == ["relax", "hull", "elastic"]
    assert [stage["rows_out"] for stage in document["stages"]] == [6, 6, 6]
    assert document["stages"][1]["keep"] == "e_above_hull <= 0.1"
    lines = [line.split() for line in invoke("status", node.pk).output.splitlines()]
    assert ["elastic", "finished", "[0]", "6", "6", "6", "every", "row", "with", "an", "answer"] in lines
    rows = read("results", node.pk)["rows"]
    assert {row["stage"] for row in rows} == {"done"}
    # -8 eV/atom for all, elements and alloys
    assert [row["e_above_hull"] for row in rows] == pytest.approx([0.0] * 6)
    told = re.findall(r"\w+", invoke("results", node.pk).output)
    assert {"stage", "reason", "e_above_hull", "bulk_modulus"} <= set(told)
    roles = [step["role"] for step in read("trace", node.pk, "alloy-1")["steps"]]
    assert [role for role in roles if role in STAGES] == ["relax", "hull", "elastic"]
    assert roles.count("job") == 2


def test_dry_run_tells_stages_conditions_and_times(invoke, read, alloys, site):
    document = read("launch", "screen", alloys, *site, "--dry-run")
    assert document["rows"] == 6
    assert list(document["stages"]) == list(STAGES)
    times = document["wall_s_if_all_rows_came_so_far"]
    assert times["phonons"] > times["relax"] > 0
    output = invoke("launch", "screen", alloys, *site, "--dry-run").output
    assert "is_dynamically_stable" in output
    assert "mode=constrained" in output
    assert output.endswith("nothing was started\n")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--stages", "relax,melt"], 1, "unknown stages: melt"),
        (["--keep", "hull e_above_hull < 1"], 2, "is not STAGE:CONDITION"),
        (["--keep", "melt: energy < 1"], 2, "with a stage of relax, symmetry"),
        (["--keep", "hull: e_above_hul < 1"], 1, "did you mean e_above_hull"),
        (["--keep", "relax: status == convergd"], 1, "status is never 'convergd' (did you mean converged"),
        (["--keep", "hull: is_stable", "--keep", "hull: n_atoms < 9"], 2, "join them with `and`"),
        (["--set", "fmax=0.1"], 2, "is not STAGE.NAME"),
        (["--set", "relax.fmx=0.1"], 1, "fmx: unknown; known are"),
        (["--set", "symmetry.symprec=-1"], 1, "symprec = -1 A"),
        (
            ["--set", "phonons.resources={memory: 64GB}"],
            1,
            "stage phonons: resources: the jobs of all stages of a screening have the same options",
        ),
        (["--set", "elastic.options={account: x}"], 1, "Choose options that are enough"),
        (["--stages", "relax", "--keep", "hull: is_stable"], 1, "options are given for hull"),
        (["--stages", "hull"], 1, "needs a set with a column `energy`"),
        (["--reference", "nothing.json"], 1, "no node with pk, label or uuid 'nothing.json'"),
    ],
)
def test_what_cannot_work_is_refused(invoke, alloys, site, *, arguments, status, message):
    output = invoke("launch", "screen", alloys, *site, "--dry-run", *arguments, status=status).output
    assert message in " ".join(output.split())


def test_references_without_a_hull_are_refused(invoke, alloys, site, entries):
    given = ["--stages", "relax", "--reference", entries, "--dry-run"]
    assert "stage hull is not among" in invoke("launch", "screen", alloys, *site, *given, status=2).output


def test_references_come_from_files_sets_and_launches(launch, alloys, entries, own_model):
    finished = launch("relax", alloys)
    given = ["--reference", entries, "--reference", f"own={finished.pk}", "--set", "hull.force_mixture=true"]
    node = launch("screen", alloys, "--stages", "relax,hull", *given)
    assert node.is_finished_ok, node.exit_message
    references = node.inputs.hull.references
    assert set(references) == {"published_1", "own"}
    assert references.own.pk == finished.outputs.results.pk
    # -8 eV/atom above elements of -9
    assert node.outputs.results.column("e_above_hull").tolist() == pytest.approx([1.0] * 6)
    launch("screen", alloys, "--reference", f"a={finished.pk}", "--reference", f"a={finished.pk}", status=2)
    assert "two references are called 'a'" in launch.result.output
    launch("screen", alloys, "--reference", own_model.pk, status=1)
    assert "is a PetModelData, expected a TableData or ProcessNode" in launch.result.output


def test_hull_of_a_launch_with_entries_of_a_file(launch, read, invoke, alloys, entries):
    relaxed = launch("relax", alloys)
    forced = ["--reference", entries, "--set", "force_mixture=true", "--level-of-theory", "PBE"]
    node = launch("hull", relaxed.pk, *forced)
    assert node.is_finished_ok, node.exit_message
    rows = read("results", node.pk)["rows"]
    # -8 eV/atom above elements of -9
    assert [row["e_above_hull"] for row in rows] == pytest.approx([1.0] * 6)
    assert f"hull <{node.pk}> started" in launch.result.output
    below = launch("hull", relaxed.pk, *forced, "--set", "stability_threshold=2.0")
    assert below.outputs.summary["stable"] == 6
    told = read("launch", "hull", relaxed.pk, "--reference", entries, "--dry-run")
    assert told == {"rows": 6, "references": {"published_1": 2}, "references_to_relax": 0}


def test_file_of_two_levels_is_refused_or_split(launch, invoke, alloys, site, tmp_path):
    """As `MPRester` gives entries by default: GGA and r2SCAN."""
    relaxed = launch("relax", alloys)
    path = tmp_path / "mp.json"
    found = [
        ComputedEntry(
            name, -9.0 * factor, parameters={"run_type": run_type}, entry_id=f"mp-{name}-{run_type}"
        )
        for run_type, factor in (("GGA", 1), ("R2SCAN", 3))
        for name in ("W", "Mo")
    ]
    path.write_text(json.dumps([entry.as_dict() for entry in found]))
    for command in (("hull", relaxed.pk), ("screen", alloys, "--stages", "relax,hull")):
        given = ("launch", *command, *site, "--reference", path, "--dry-run")
        output = invoke(*given, status=1).output
        assert "PBE (2, for example mp-W-GGA), r2SCAN (2, for example mp-W-R2SCAN)" in output
        assert "--level 'PBE' keeps the entries of this level" in output
        assert "level=" not in output
    kept = invoke("launch", "hull", relaxed.pk, *site, "--reference", path, "--level", "GGA", "--dry-run")
    assert "2 of 4 entries have the level PBE and were kept; 2 entries of r2SCAN were left out" in kept.stderr
    assert "mp: 2 phases" in kept.stdout


def test_references_of_another_level_are_refused_in_one_line_before_anything_runs(
    launch, invoke, alloys, site, tmp_path
):
    relaxed = launch("relax", alloys)
    path = tmp_path / "other.json"
    found = [ComputedEntry(name, -9.0, parameters={"run_type": "R2SCAN"}) for name in ("W", "Mo")]
    path.write_text(json.dumps([entry.as_dict() for entry in found]))
    before = orm.QueryBuilder().append(orm.ProcessNode).count()
    hull = ("hull", relaxed.pk, "--set", "level_of_theory=PBE")
    screen = ("screen", alloys, "--stages", "relax,hull", "--set", "hull.level_of_theory=PBE")
    cases = ((hull, "two levels of theory on one hull"), (screen, "stage hull would be refused"))
    for (command, begins), dry_run in itertools.product(cases, (("--dry-run",), ())):
        output = invoke("launch", *command, *site, "--reference", path, *dry_run, status=1).output
        error = next(line for line in output.splitlines() if line.startswith("Error"))
        assert error.startswith(f"Error: {begins}: structures is ")
        assert error.endswith("but other is r2SCAN")
    assert orm.QueryBuilder().append(orm.ProcessNode).count() == before


def test_hull_relaxes_references(launch, alloys, elements):
    relaxed = launch("relax", alloys, "--set", "fmax=0.04")
    node = launch("hull", relaxed.pk, "--relax-references", elements)
    assert node.is_finished_ok, node.exit_message
    # as the set was
    assert node.inputs.relax.parameters["fmax"] == 0.04
    assert node.outputs.relaxed_references.ids.tolist() == ["W", "Mo"]
    precise = launch("hull", relaxed.pk, "--relax-references", elements, "--protocol", "precise")
    assert precise.inputs.relax.parameters["fmax"] == 1e-4


def test_hull_of_what_has_no_energies_is_refused(invoke, alloys, site):
    output = invoke("launch", "hull", alloys, *site, "--dry-run", status=1).output
    assert "no column 'energy'" in output
    output = invoke("launch", "hull", alloys, *site, "--dry-run", "--set", "hul=all", status=2).output
    assert "hul: unknown; known are hull" in output


def test_dry_run_tells_the_jobs_of_the_duration_that_is_wanted(invoke, read, make_structures, site):
    given = ("launch", "screen", make_structures(200).pk, *site, "--stages", "relax,phonons", "--dry-run")
    assert read(*given)["jobs_if_all_rows_came_so_far"] == {"relax": 1, "phonons": 1}
    # phonons of a crystal of two atoms take 1 s and the start 8: 64 rows first, then 52, 52 and 32
    timed = read(*given, "--job-duration", "60s")
    assert timed["jobs_if_all_rows_came_so_far"] == {"relax": 2, "phonons": 4}
    lines = invoke(*given, "--job-duration", "60s").output.splitlines()
    assert "at most 4" in next(line for line in lines if line.startswith("phonons"))


def test_size_and_duration_of_jobs_reach_the_relaxation_of_references(launch, alloys, elements):
    relaxed = launch("relax", alloys)
    node = launch(
        "hull", relaxed.pk, "--relax-references", elements, "--job-size", 1, "--job-duration", "30m"
    )
    assert node.is_finished_ok, node.exit_message
    assert (node.inputs.relax.job_size, node.inputs.relax.job_duration) == (1, 1800)
    assert len(jobs_of(node)) == 2


@pytest.mark.parametrize("given", [("--job-size", 1), ("--job-duration", "30m"), ("--keep-workdir",)])
def test_what_is_of_jobs_is_refused_for_a_hull_that_runs_none(invoke, site, given):
    output = invoke("launch", "hull", 1, *site, "--dry-run", *given, status=2).output
    told = " ".join(output.split())
    assert given[0] in told
    assert "for launches that run jobs, that is with --relax-references" in told


def test_where_of_a_screening_says_what_there_is_instead():
    result = CliRunner().invoke(main, ["launch", "screen", "12", "--where", "n_atoms < 3"])
    assert result.exit_code == 2
    told = " ".join(result.output.split())
    assert "--keep 'STAGE: CONDITION'" in told
    assert "aiida-pet data export SET -o FILE --where 'n_atoms < 3'" in told
    assert "--where" not in CliRunner().invoke(main, ["launch", "screen", "--help"]).output


def test_stages_that_take_cells_from_a_set_without_them_are_warned_about(invoke, read, prepare, alloys, site):
    given = ("--stages", "relax,phonons,conductivity", "--set", "phonons.given_cells=true")
    told = " ".join(invoke("launch", "screen", alloys, *site, *given, "--dry-run").output.split())
    assert (
        "Warning: stage phonons: given_cells=true, but the set has no column supercell_matrix: min_image="
        in told
    )
    assert "stage conductivity: given_cells" not in told  # true by default, and nobody asked for it
    assert "the time of conductivities is that of the forces, without the transport" in told
    notes = read("launch", "screen", alloys, *site, *given, "--dry-run")["notes"]
    assert [note.partition(":")[0] for note in notes] == ["stage phonons"] * 2
    prepare("screen", alloys, *given)
    assert "Warning: stage phonons: given_cells=true" in " ".join(prepare.result.output.split())
    told = invoke("launch", "screen", alloys, *site, "--stages", "relax,phonons", "--dry-run").output
    assert "given_cells" not in told
    assert "transport" not in told
