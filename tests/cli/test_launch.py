"""`aiida-pet launch`: every option reaches the process, and what cannot work is refused before it starts."""

import json
import os
from types import SimpleNamespace

import pytest
from aiida import orm

from aiida_pet.campaigns.progress import LANE_TYPE
from aiida_pet.cli.launching import PROTOCOLS
from aiida_pet.job.folder import Task
from aiida_pet.job.tasks import entry_of
from aiida_pet.workchains.protocols import available_protocols


@pytest.fixture
def alloys(read, alloys_file):
    """The pk of the imported alloys."""
    return read("data", "import", alloys_file)["pk"]


@pytest.fixture
def plan(read, alloys, site):
    """Run a dry run and return what it says."""

    def run(*arguments, task="relax", status=0):
        return read("launch", task, alloys, *site, "--dry-run", *arguments, status=status)

    return run


def test_protocols_are_those_of_every_task():
    assert all(
        set(available_protocols(task)) == {*PROTOCOLS, *entry_of(task).further_protocols} for task in Task
    )


def test_launch_of_a_set_prints_the_pk_and_what_to_do_next(launch, alloys):
    node = launch("relax", alloys)
    assert node.is_finished_ok
    assert launch.result.output.splitlines() == [
        f"relax <{node.pk}> started",
        f"  aiida-pet status {node.pk} --watch",
        f"  aiida-pet results {node.pk}",
    ]
    assert node.outputs.results.ids.tolist() == [f"alloy-{i}" for i in range(6)]


@pytest.mark.parametrize("task", ["phonons", "elastic"])
def test_phonons_and_elastic_constants_are_launched_by_protocol_and_parameters(prepare, alloys, task):
    builder = prepare(task, alloys, "--protocol", "fast", "--set", "max_steps=7", "--where", "n_atoms > 2")
    assert task == builder.process_class.TASK
    assert (builder.parameters["max_steps"], builder.parameters["fmax"]) == (7, 0.001)
    assert len(builder.rows) == 5


def test_follow_modes_is_passed_on(prepare, alloys):
    assert prepare("phonons", alloys, "--follow-modes").follow_modes.value is True
    assert "follow_modes" not in dict(prepare("phonons", alloys))


def test_launch_json_names_process_set_and_parameters(prepare, alloys, own_model):
    prepare("relax", alloys, "--json")
    document = json.loads(prepare.result.stdout)
    assert document["pk"] == prepare.node.pk
    assert document["structures"] == alloys
    assert document["model"] == own_model.pk
    assert document["parameters"]["fmax"] == 0.02


def test_launch_of_files_imports_them(prepare, alloys_file):
    structures = prepare("relax", alloys_file).structures
    assert structures.ids.tolist() == [f"alloy-{i}" for i in range(6)]
    assert prepare.result.stderr == f"imported 6 crystals as <{structures.pk}>\n"
    assert structures.base.extras.get("imported_from")[-1]["path"] == str(alloys_file)


@pytest.mark.parametrize("task", ["relax", "static"])
def test_launch_takes_a_single_structure(launch, make_structures, task):
    structure = orm.StructureData(ase=make_structures(1).get_ase("alloy-0000")).store()
    node = launch(task, structure.pk)
    assert node.is_finished_ok
    assert ("output_structure" in node.outputs) == (task == "relax")
    labels = {called.process_label for called in node.called_descendants}
    assert f"{task.capitalize()}Calculation" in labels


def test_protocol_and_set_decide_the_parameters(prepare, alloys):
    builder = prepare("relax", alloys, "--protocol", "fast", "--set", "fmax=0.01", "--set", "cell=fixed")
    parameters = builder.parameters.get_dict()
    assert (parameters["dtype"], parameters["fmax"], parameters["cell"]) == ("float32", 0.01, "fixed")
    assert prepare("relax", alloys).parameters.get_dict()["dtype"] == "mixed"


def test_lanes_and_job_size_decide_the_jobs(launch, alloys):
    node = launch("relax", alloys, "--lanes", 2, "--job-size", 2, "--where", "series == odd")
    lanes = [called for called in node.called if called.process_type == LANE_TYPE]
    assert sorted(len(lane.inputs.rows) for lane in lanes) == [1, 2]
    assert node.outputs.results.ids.tolist() == ["alloy-1", "alloy-3", "alloy-5"]


def test_cleaning_of_job_folders_reaches_every_task(prepare, alloys):
    for task in ("static", "relax", "phonons", "elastic", "screen"):
        assert prepare(task, alloys, "--clean-workdir").clean_workdir.value is True
    assert prepare("relax", alloys, "--keep-workdir").clean_workdir.value is False
    assert "clean_workdir" not in dict(prepare("relax", alloys))


def test_job_duration_reaches_the_lanes(prepare, alloys):
    assert prepare("relax", alloys, "--job-duration", "30m").job_duration == 1800
    assert prepare("screen", alloys, "--job-duration", "1h").job_duration == 3600
    assert "job_duration" not in dict(prepare("relax", alloys))


def test_lanes_share_the_cores_of_this_machine(prepare, alloys):
    cores = len(os.sched_getaffinity(0))
    assert prepare("relax", alloys).settings["threads"] == cores
    assert prepare("relax", alloys, "--lanes", cores + 1).settings["threads"] == 1


def test_setting_reaches_the_engine(prepare, alloys):
    settings = prepare("relax", alloys, "--setting", "threads=3", "--setting", "device=cpu").settings
    assert (settings["threads"], settings["device"]) == (3, "cpu")


def test_walltime_and_option_reach_the_scheduler(prepare, alloys):
    options = prepare("relax", alloys, "--walltime", "1h30m", "--option", "queue_name=short").options
    assert (options["max_wallclock_seconds"], options["queue_name"]) == (5400, "short")


def test_label_is_that_of_the_process(prepare, alloys):
    assert prepare("relax", alloys, "--label", "first try").metadata.label == "first try"
    unnamed = prepare("relax", alloys, "--where", "series == odd").metadata
    assert (
        unnamed.label == f"relax 3 of {orm.load_node(alloys).label or 'alloys'}"
    )  # others label the same set
    assert unnamed.description.startswith("relax of <")


def test_where_chooses_rows(prepare, alloys):
    rows = prepare("relax", alloys, "--where", "series == odd and n_atoms < 10").rows
    assert rows.ids.tolist() == ["alloy-1", "alloy-3"]


def test_where_that_fits_no_row_is_refused(prepare, alloys):
    assert prepare("relax", alloys, "--where", "n_atoms > 100", status=1) is None
    assert "none of the 6 crystals fulfils 'n_atoms > 100'" in prepare.result.output


def test_wait_follows_to_the_end(launch, alloys):
    node = launch("relax", alloys, "--wait")
    told = launch.result.stderr.splitlines()
    assert f" <{node.pk}> started; Ctrl-C does not stop it." in told[0]
    assert told[-1].startswith(f"relax <{node.pk}>")
    assert told[-1].endswith("finished [0], 6/6 rows (converged 6)")
    assert "rows      6 of 6 done (100 %), 0 left" in launch.result.stdout


def test_wait_ends_with_status_1_if_the_launch_fails(launch, alloys, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAIL", "BAD_DEVICE")
    node = launch("relax", alloys, "--wait", "--json", status=1)
    document = json.loads(launch.result.stdout)
    assert (document["pk"], document["exit_status"]) == (node.pk, node.exit_status)
    assert node.exit_status != 0
    assert f"verdi process report {node.pk}" in document["advice"][0]


def test_dry_run_says_jobs_time_and_memory_and_starts_nothing(invoke, alloys, site):
    before = orm.QueryBuilder().append(orm.Node).count()
    given = [*site, "--dry-run", "--lanes", 2, "--job-size", 2]
    output = invoke("launch", "relax", alloys, *given).output
    lines = dict(line.split(":", 1) for line in output.splitlines() if ":" in line)
    assert lines["crystals"].strip() == "6 with 42 atoms"
    assert lines["jobs"].strip() == "4 of at most 2 rows"
    assert "about" in lines["time"]
    assert lines["memory"].strip().endswith("MB per job")
    assert "the profile has no past job with this model" in lines["based on"]
    assert output.endswith("nothing was started\n")
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_dry_run_of_files_stores_nothing(read, alloys_file, site):
    before = orm.QueryBuilder().append(orm.Node).count()
    given = [*site, "--dry-run"]
    assert read("launch", "relax", alloys_file, *given)["rows"] == 6
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_dry_run_counts_only_the_rows_chosen(plan):
    assert plan("--where", "n_atoms <= 4")["atoms"] == 6


def test_dry_run_names_elements_that_the_model_does_not_know(invoke, plan, read, *, tmp_path, site):
    assert plan()["unsupported_elements"] == []
    path = tmp_path / "salt.xyz"
    path.write_text('1\nLattice="3 0 0 0 3 0 0 0 3" pbc="T T T" id=a\nNa 0 0 0\n')
    given = [*site, "--dry-run"]
    assert read("launch", "relax", path, *given)["unsupported_elements"] == ["Na"]
    for task in ("relax", "screen"):
        told = " ".join(invoke("launch", task, path, *given).output.split())
        assert "does not know Na" in told
        assert "1 crystal of 1 will end as unsupported_element" in told


def test_dry_run_tells_which_crystals_the_task_will_not_take(invoke, read, *, tmp_path, site):
    path = tmp_path / "mixture.xyz"
    crystal = '1\nLattice="3 0 0 0 3 0 0 0 9" pbc="T T {}" id={}\nW 0 0 0\n'
    path.write_text(crystal.format("T", "bulk") + crystal.format("F", "slab"))
    given = [path, *site, "--dry-run"]
    (why,) = (refused := read("launch", "relax", *given)["refused"])
    assert refused[why] == ["slab"]
    assert why.endswith("pbc is TTF: use cell=plane or cell=fixed")
    assert "1 crystal (slab) will not be computed" in invoke("launch", "relax", *given).output
    plane = read("launch", "relax", *given, "--set", "cell=plane")["refused"]
    assert list(plane.values()) == [["bulk"]]


def test_unknown_parameter_is_refused_with_the_known_ones(invoke, alloys, site):
    given = [*site, "--dry-run"]
    output = invoke("launch", "relax", alloys, *given, "--set", "fmx=0.1", status=1).output
    assert "fmx: unknown; known are" in output
    assert "fmax" in output
    assert "`aiida-pet params relax` prints the known parameters with units" in output


def test_parameter_out_of_bounds_is_refused_with_its_unit(invoke, alloys, site):
    given = [*site, "--dry-run"]
    output = invoke("launch", "relax", alloys, *given, "--set", "fmax=-1", status=1).output
    assert "fmax = -1 eV/A" in output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--option", "queu_name=x"], 2, "unknown options: queu_name (did you mean queue_name"),
        (["--setting", "device=tpu"], 2, "device = 'tpu'"),
        (["--wait"], 2, "--dry-run starts nothing, so there is nothing to --wait for"),
        (["--model", "no-such-model"], 1, "there is no model 'no-such-model': see `aiida-pet model list`"),
        (["--model", "pet-oam-xl"], 1, "`aiida-pet model import pet-oam-xl` imports it"),
        (["--code", "nothing@nowhere"], 1, "there is no code 'nothing@nowhere'"),
        (["--walltime", "soon"], 2, "'soon' is not a time"),
        (["--lanes", "0"], 2, "Invalid value for '--lanes'"),
    ],
)
def test_what_cannot_work_is_refused(invoke, alloys, site, *, arguments, status, message):
    output = invoke("launch", "relax", alloys, *site, "--dry-run", *arguments, status=status).output
    assert message in " ".join(output.split())


def test_code_that_the_set_up_makes_is_missed_with_the_command_for_it(invoke, alloys, site, no_engine_code):
    given = [*site, "--dry-run", "--code", "pet-engine@localhost"]
    output = invoke("launch", "relax", alloys, *given, status=1).output
    assert "`aiida-pet setup` makes it" in " ".join(output.split())


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["nothing.xyz"], "there is no file nothing.xyz"),
        (["1", "2"], "give one set, or files: there is no file 1, 2"),
        (["999999"], "no node with pk, label or uuid '999999'"),
    ],
)
def test_targets_that_are_not_there_are_named(invoke, site, targets, message):
    given = [*site, "--dry-run"]
    assert message in invoke("launch", "relax", *targets, *given, status=1).output


def test_target_of_another_type_is_named(invoke, own_model, site):
    given = [*site, "--dry-run"]
    output = invoke("launch", "relax", own_model.pk, *given, status=1).output
    assert "is a PetModelData, expected a StructureSetData or StructureData" in output


def test_launch_without_broker_says_so_and_starts_nothing(invoke, alloys, site):
    before = orm.QueryBuilder().append(orm.Node).count()
    output = invoke("launch", "relax", alloys, *site, status=1).output
    assert "no message broker" in output
    assert "nothing was started" in output
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_launch_while_the_daemon_is_stopped_names_the_remedy(invoke, alloys, monkeypatch):
    class Stopped:
        profile = SimpleNamespace(process_control_backend="core.zeromq")

        def get_daemon_pid(self):
            return None

    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_client", Stopped)
    assert "`verdi daemon start`" in invoke("launch", "relax", alloys, status=1).output


def test_dry_run_tells_the_jobs_of_the_duration_that_is_wanted(invoke, read, make_structures, site):
    # without past jobs 8 s of start and 0.05 s for a row of two atoms
    given = ("launch", "relax", make_structures(200).pk, *site, "--dry-run")
    alike = read(*given)
    assert (alike["jobs"], alike["pilot_size"]) == (1, None)
    timed = read(*given, "--job-duration", "30m")
    assert (timed["jobs"], timed["pilot_size"], timed["job_size"]) == (2, 64, 136)
    assert timed["wall_s"] > alike["wall_s"]
    # four fifths of the walltime, less the start, have room for 80 rows
    short = read(*given, "--job-duration", "30m", "--walltime", "15s")
    assert (short["jobs"], short["pilot_size"], short["job_size"]) == (3, 64, 80)
    output = invoke(*given, "--job-duration", "30m").output
    assert "2; the first job of each lane has at most 64 rows, later jobs have at most 136" in output
    assert "3; the first" in invoke(*given, "--job-duration", "30m", "--job-size", 70).output
