"""Archives of versions before this one, made by scripts/make_archive.py: what they hold is told as it was told then.

Beside each archive lies what the commands of its version said of its launches (tests/archives/README.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiida.cmdline.commands.cmd_archive import verdi_archive
from aiida.manage.configuration import get_config, profile_context
from aiida.storage.sqlite_temp import SqliteTempBackend
from aiida.tools.archive.abstract import get_format
from click.testing import CliRunner

FOLDER = Path(__file__).parents[1] / "archives"
OLD, RECENT = "version-0.1.0", "before-the-moves"
VERSION_OF_THEN = 4  # of the jobs of the latter
CRYSTALS = "/tmp/aiida-pet-work/crystals.xyz"
IDS = ["Mo", "Ta", "MoTa", "Mo-fcc"]
LABELS = ["screening", "loose", "stopped", "stopped screening"]
ENGINE_JOBS = [f"aiida.calculations:pet.{task}" for task in ("static", "relax", "phonons", "elastic")]
STAGES = ["relax", "symmetry", "hull", "phonons", "elastic"]

Read = Callable[..., Any]


def verdi(group: Any, *arguments: Any) -> None:
    """Run a command of `verdi` in the profile of now."""
    # not through `verdi` itself, which would load the default profile instead of that of the test
    obj = {"config": get_config()}
    result = CliRunner().invoke(group, [str(one) for one in arguments], obj=obj, catch_exceptions=False)
    assert result.exit_code == 0, result.output


class Archive:
    """An archive, in the profile of now.

    :ivar path: of the file.
    :ivar told: what its version said of each launch, by label.
    """

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.aiida"
        self.told: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text())

    def node(self, label: str) -> Any:
        """Return the launch of the archive with this label."""
        from aiida import orm

        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"label": label})
        return query.order_by({orm.WorkChainNode: {"id": "asc"}}).first(flat=True)

    def values(self, label: str, column: str) -> dict[str, Any]:
        """Return a column of a launch as it was told, by id, without the rows that have none."""
        rows = self.told[label]["rows"]
        return {name: row[column] for name, row in rows.items() if column in row}

    def hashes(self) -> dict[str, str]:
        """Return the hash of each node, by uuid, as it was stored by the version that made it."""
        from aiida import orm

        with get_format().open(self.path, "r") as reader:
            query = orm.QueryBuilder(backend=reader.get_backend())
            query.append(orm.Node, project=["uuid", "extras._aiida_hash"])
            return dict(query.all())


def imported(name: str) -> Iterator[Archive]:
    """Import the archive into an empty profile, which is that of now until it is left."""
    profile = SqliteTempBackend.create_profile(name)
    profile.is_test_profile = True  # processes look for the end of what they called without a pause
    with profile_context(profile, allow_switch=True):
        archive = Archive(name)
        verdi(verdi_archive, "import", archive.path)
        yield archive


@pytest.fixture(scope="module", params=[OLD, RECENT])
def archive(aiida_profile: Any, request: pytest.FixtureRequest) -> Iterator[Archive]:
    """Each archive, for tests that only look."""
    yield from imported(request.param)


@pytest.mark.parametrize("label", LABELS)
def test_rows_and_their_numbers_are_told_as_then(archive: Archive, read: Read, label: str) -> None:
    pk, told = archive.node(label).pk, archive.told[label]
    rows = {row["id"]: row for row in read("results", pk, "--columns", "all")["rows"]}
    assert list(rows) == IDS
    for name, then in told["rows"].items():
        assert {key: rows[name][key] for key in then} == then
    status = read("status", pk)
    assert (status["state"], status["statuses"]) == (told["state"], told["statuses"])
    assert status["rows_done"] == sum(told["statuses"].values())


@pytest.mark.parametrize("row_id", IDS)
def test_all_of_a_crystal_is_shown_in_its_sections(archive: Archive, read: Read, row_id: str) -> None:
    then = archive.told["screening"]["rows"][row_id]
    sheet = read("show", archive.node("screening").pk, row_id)
    assert sheet["complete"]
    shown: dict[str, Any] = {}
    for section in ("status", "relaxation", "symmetry", "hull", "phonons", "elastic"):
        shown |= sheet.get(section, {})
    assert {key: shown[key] for key in then if key != "formula"} == {
        key: value for key, value in then.items() if key != "formula"
    }
    assert sheet["structure"]["volume_A3"] == then["volume"]


def test_a_row_is_traced_through_all_stages_back_to_its_file(archive: Archive, read: Read) -> None:
    from aiida import orm

    launch = archive.node("screening")
    steps = read("trace", launch.pk, "MoTa")["steps"]
    roles = [step["role"] for step in steps]
    assert roles[0] == "result"
    assert {"function", "job", "model", "code", "parameters", "input", *STAGES} <= set(roles)
    assert steps[0]["row"]["bulk_modulus"] == archive.values("screening", "bulk_modulus")["MoTa"]
    (source,) = {one["path"] for step in steps for one in step["imported_from"] or ()}
    assert source == CRYSTALS
    jobs = [orm.load_node(step["uuid"]) for step in steps if step["role"] == "job"]
    assert {job.process_label for job in jobs} == {
        "RelaxCalculation",
        "PhononCalculation",
        "ElasticCalculation",
    }
    assert {job.caller.caller.caller.uuid for job in jobs} == {launch.uuid}
    (model,) = {step["uuid"] for step in steps if step["role"] == "model"}
    assert model == launch.inputs.model.uuid


def test_rows_of_all_launches_are_found(archive: Archive, read: Read) -> None:
    rows = read("find", "--id", "MoTa")["rows"]
    assert {row["label"]: row["energy"] for row in rows} == {
        label: archive.values(label, "energy")["MoTa"] for label in LABELS
    }
    distances = archive.values("screening", "e_above_hull")
    rows = read("find", "--where", "e_above_hull < 0.05", "--campaign", archive.node("screening").pk)["rows"]
    assert {row["id"] for row in rows} == {name for name, value in distances.items() if value < 0.05}


def test_launches_are_compared_by_the_differences_of_their_numbers(archive: Archive, read: Read) -> None:
    pks = [archive.node(label).pk for label in ("loose", "screening")]
    told = read("compare", *pks)
    assert (told["n_common"], told["n_answered"]) == (4, 4)
    loose, tight = (archive.values(label, "energy") for label in ("loose", "screening"))
    atoms = {"Mo": 1, "Ta": 1, "MoTa": 2, "Mo-fcc": 1}
    differences = {name: (tight[name] - loose[name]) / count for name, count in atoms.items()}
    found = {row["id"]: row["difference"] for row in told["rows"] if row["column"] == "energy_per_atom"}
    assert {name: found.get(name, 0.0) for name in IDS} == pytest.approx(differences, abs=1e-12)
    assert max(map(abs, differences.values())) > 0.05
    groups = [archive.values(label, "spacegroup_0_01") for label in ("loose", "screening")]
    changed = {row["id"] for row in told["rows"] if row["column"] == "spacegroup_0_01"}
    assert changed == {name for name in IDS if groups[0][name] != groups[1][name]} != set()


def test_hashes_made_anew_are_those_that_were_stored(archive: Archive) -> None:
    """Module paths of node classes are in them: a class that moved would hide every node from the cache."""
    from aiida import orm

    from aiida_pet.calculations.hashing import restore_hashes
    from aiida_pet.data.table import TableData

    nodes = orm.QueryBuilder().append(orm.Node).all(flat=True)
    assert {node.base.caching.get_hash() for node in nodes} == {None}  # AiiDA drops them
    ours = [node for node in nodes if node.process_type in ENGINE_JOBS or isinstance(node, TableData)]
    assert restore_hashes() == len(ours) > 20
    assert restore_hashes() == 0
    nodes = orm.QueryBuilder().append(orm.Node).all(flat=True)
    found = {node.uuid: node.base.caching.get_hash() or node.base.caching.compute_hash() for node in nodes}
    assert found == archive.hashes()


@pytest.mark.parametrize("archive", [OLD], indirect=True)
@pytest.mark.parametrize(("label", "rows"), [("stopped", "rows"), ("stopped screening", "rows of relax")])
def test_resume_says_which_rows_of_the_first_version_it_computes_again(
    archive: Archive, pet_code: Any, invoke: Any, label: str, rows: str
) -> None:
    pk = archive.node(label).pk
    result = invoke("resume", pk, "--dry-run", "--code", pet_code.pk)
    assert (
        f"2 finished {rows} are computed again, since an earlier version of aiida-pet made them, whose results have "
        "other columns or values (docs/migration.md)" in result.stderr
    )
    assert f"<{pk}>: 0 rows done" in result.stdout


@pytest.fixture(scope="module")
def recent(aiida_profile: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """The archive of just before the moves, whose computer works in a folder of the tests; its engine is not there."""
    from aiida import orm

    for archive in imported(RECENT):
        computer = orm.load_computer("localhost")
        computer.set_workdir(str(tmp_path_factory.mktemp("work")))
        computer.configure(safe_interval=0, use_login_shell=False)
        assert not Path(str(orm.load_code("pet-engine@localhost").filepath_executable)).exists()
        yield archive


@pytest.fixture
def versions_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take jobs as they were: `stagnant` and residuals have other meanings since, so that they would be made again."""
    from aiida_pet.calculations.base import PetCalculation
    from aiida_pet.calculations.elastic import ElasticCalculation

    for calculation in (PetCalculation, ElasticCalculation):
        assert calculation.CACHE_VERSION > VERSION_OF_THEN
        monkeypatch.setattr(calculation, "CACHE_VERSION", VERSION_OF_THEN)


@pytest.mark.slow
@pytest.mark.usefixtures("caching", "versions_of_then")
@pytest.mark.parametrize("label", ["screening", "loose"])
def test_the_same_launch_takes_all_jobs_from_the_cache(
    recent: Archive, launch: Any, invoke: Any, read: Read, label: str
) -> None:
    """That no engine runs is sure: its executable is not on this machine, and each job names the one it comes from."""
    from aiida_pet.workchains.jobs import jobs_of

    before = recent.node(label)
    task, *options = recent.told[label]["arguments"]
    options += ["--protocol", "fast", "--model", before.inputs.model.pk, "--code", "pet-engine@localhost"]
    if label == "screening":  # which the protocol then was
        options += [
            word
            for task in ("phonons", "elastic")
            for given in ("dtype=float64", "optimizer=fire")
            for word in ("--set", f"{task}.{given}")
        ]
    invoke("launch", task, "crystals", *options, "--label", f"{label} again")
    assert launch.node.is_finished_ok, launch.node.exit_message
    sources = [job.base.caching.get_cache_source() for job in jobs_of(launch.node)]
    assert sorted(sources) == sorted(job.uuid for job in jobs_of(before))
    assert read("status", launch.node.pk)["jobs_cached"] == len(sources)
    told = ["results", "--columns", "all"]
    assert read(*told, launch.node.pk) | {"pk": None} == read(*told, before.pk) | {"pk": None}


@pytest.fixture
def engine(recent: Archive, pet_computer: Any) -> Any:
    """The code of the real engine, on a computer of the tests."""
    from aiida import orm

    for module in ("torch", "metatrain", "metatomic.torch"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    executable = Path(sys.executable).parent / "pet-engine"
    return orm.InstalledCode(label="real", computer=pet_computer, filepath_executable=str(executable)).store()


@pytest.mark.slow
@pytest.mark.usefixtures("versions_of_then")
def test_a_stopped_relaxation_is_resumed_by_the_real_engine(
    recent: Archive, launch: Any, invoke: Any, read: Read, engine: Any
) -> None:
    from aiida_pet.workchains.jobs import jobs_of

    before = recent.node("stopped")
    options = ("--code", engine.pk, "--job-size", 2, "--setting", "threads=1", "--setting", "device=cpu")
    said = invoke("resume", before.pk, *options).stderr
    assert f"taking over 2 finished rows of <{before.pk}>" in said
    assert "computed again" not in said
    assert launch.node.is_finished_ok, launch.node.exit_message
    then = recent.values("stopped", "energy")
    (job,) = jobs_of(launch.node)
    assert sorted(job.outputs.results.ids.tolist()) == sorted(set(IDS) - set(then))
    rows = {row["id"]: row for row in read("results", launch.node.pk)["rows"]}
    assert {row["status"] for row in rows.values()} == {"converged"}
    assert {name: rows[name]["energy"] for name in then} == then
    # the screening relaxed the same crystals with the same model, a little less tightly
    screened = recent.values("screening", "energy")
    assert {name: row["energy"] for name, row in rows.items()} == pytest.approx(screened, abs=2e-3)


@pytest.mark.usefixtures("versions_of_then")
def test_a_stopped_screening_is_resumed_in_its_stage(
    recent: Archive, launch: Any, invoke: Any, read: Read, engine: Any
) -> None:
    """All of its crystals were relaxed: symmetry and hull are left, for which no engine runs."""
    from aiida_pet.workchains.jobs import jobs_of

    before = recent.node("stopped screening")
    said = invoke("resume", before.pk, "--code", engine.pk).stderr
    assert f"taking over 4 finished rows of <{before.pk}>" in said
    assert launch.node.is_finished_ok, launch.node.exit_message
    assert jobs_of(launch.node) == []
    rows = {row["id"]: row for row in read("results", launch.node.pk, "--columns", "all")["rows"]}
    assert {name: row["energy"] for name, row in rows.items()} == recent.values("stopped screening", "energy")
    distances = {name: row["e_above_hull"] for name, row in rows.items()}
    assert distances == pytest.approx(recent.values("screening", "e_above_hull"), abs=2e-3)
