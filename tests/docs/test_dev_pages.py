"""The pages for developers are true: what they add is built from their code blocks, and does all that they say."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from click.testing import CliRunner, Result

from aiida_pet import plugins
from aiida_pet.cli import main
from aiida_pet.job.stages import StageEntry
from aiida_pet.job.tasks import Task
from aiida_pet.tables.columns import columns_of
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.protocols import ProtocolError
from aiida_pet.workchains.stages import check_stages, make_stages, stage_options
from support.small_model import small_model_node

ROOT = next(path for path in Path(__file__).parents if (path / "pyproject.toml").exists())
PAGES = ROOT / "docs" / "dev"
BLOCK = re.compile(r"^```(?P<kind>\w+)\n# file: (?P<path>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
A = 3.16  # A, lattice parameter of the bcc crystals


def blocks(page: str, kind: str = "") -> dict[str, str]:
    """Return file -> text of the code blocks of a page that begin with `# file: NAME`."""
    text = (PAGES / page).read_text()
    return {one["path"]: one["text"] for one in BLOCK.finditer(text) if not kind or one["kind"] == kind}


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_points: Any
) -> Iterator[Callable[[str], list[str]]]:
    """Return a function: build the package of a page and install it, here and for processes that are started."""
    site = tmp_path / "site"

    def build(page: str) -> list[str]:
        files = blocks(page)
        project = tomllib.loads(files.pop("pyproject.toml"))["project"]
        for name, text in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        package = next(iter(files)).split("/")[0]
        metadata = site / f"{package}-0.1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
            for name, value in points.items():
                entry_points.add(value, group=group, name=name)
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        importlib.invalidate_caches()
        plugins.forget()
        return list(files)

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    yield build
    monkeypatch.undo()
    plugins.forget()
    for name in [name for name in sys.modules if name.split(".")[0] in ("pair_distances", "mass_density")]:
        del sys.modules[name]


@pytest.fixture
def invoke(aiida_profile: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `aiida-pet` with arguments; what it launches runs at once, to its end."""
    from aiida.engine import run_get_node

    monkeypatch.setattr("aiida.engine.submit", lambda builder: run_get_node(builder).node)
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)

    def run(*arguments: Any, status: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def read(invoke: Callable[..., Result]) -> Callable[..., Any]:
    """Run `aiida-pet ... --json` and return the document."""
    return lambda *arguments, status=0: json.loads(invoke(*arguments, "--json", status=status).stdout)


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    """A file of three bcc metals in one lattice, and one that the model does not know."""
    path = tmp_path / "crystals.xyz"
    cells = [bulk(symbol, "bcc", a=A, cubic=True) for symbol in ("W", "Mo", "Ta")] + [bulk("Cu", a=3.6)]
    for cell in cells:
        cell.info["id"] = str(cell.symbols[0])
    ase.io.write(path, cells, format="extxyz")
    return path


@pytest.fixture
def own_model(aiida_profile: Any, tmp_path: Path) -> Any:
    """A stored model that no other test has, so that its jobs are past jobs for no estimate but its own."""
    from aiida_pet.data.model import PetModelData

    path = tmp_path / "own.ckpt"
    path.write_bytes(f"not a checkpoint, but the content of {tmp_path}".encode())
    card = {"name": f"own-{tmp_path.name}", "elements": [29, 42, 73, 74], "outputs": ["energy"]}
    return PetModelData.get_or_create(path, card)


@pytest.fixture
def real_engine(aiida_profile: Any, pet_computer: Any) -> list[Any]:
    """The options of a launch with the real engine and the model that ships."""
    from aiida import orm

    for module in ("torch", "metatrain", "metatomic.torch"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    engine = str(Path(sys.executable).parent / "pet-engine")
    code = orm.InstalledCode(label="pet-engine", computer=pet_computer, filepath_executable=engine).store()
    return [
        "--code",
        code.pk,
        "--model",
        small_model_node().pk,
        "--setting",
        "threads=1",
    ]


def neighbours_in_bcc(cutoff: float) -> int:
    """Neighbours of an atom of a bcc lattice within `cutoff`: lattice points counted one by one."""
    steps = np.arange(-4, 5)
    corners = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3).astype(float)
    lengths = A * np.linalg.norm(np.concatenate([corners, corners + 0.5]), axis=1)
    return int(((lengths > 0) & (lengths < cutoff)).sum())


def assert_is_known(invoke: Any, read: Any, chosen: list[Any]) -> None:
    assert "pair_distances" in invoke("launch", "--help").output
    assert read("params", "pair_distances")["cutoff"]["unit"] == "A"
    told = {column["name"]: column for column in read("columns", "pair_distances")}
    assert told["nearest_distance"]["section"] == "distances"
    assert "energy" in told  # of the task that it is like
    assert read(*chosen, "--dry-run")["rate"]["s_per_atom"] == 0.004
    assert "cutoff = -1 A" in invoke(*chosen, "--set", "cutoff=-1", status=1).output


def stopped_and_resumed(read: Any, chosen: list[Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Launch, stop after the first of two jobs, and resume; return the process that has all rows."""
    from aiida.orm import load_node

    asked: list[Any] = []

    def requested(node: Any) -> bool:
        asked.append(node)
        return len(asked) > 1

    with monkeypatch.context() as patched:
        patched.setattr("aiida_pet.workchains.lane.is_stop_requested", requested)
        stopped = read(*chosen, "--set", "cutoff=5", "--set", "bins=50", "--job-size", 2)["pk"]
    status = read("status", stopped)
    assert (status["exit_status"], status["rows_left"]) == (400, 2)
    node: Any = load_node(read("resume", stopped)["pk"])
    assert node.exit_status == 0
    assert len(jobs_of(node)) == 1
    return node


def assert_rows_are_right(results: Any) -> None:
    statuses = dict(zip(results.ids.tolist(), results.column("status").tolist(), strict=True))
    assert statuses == dict.fromkeys(("W", "Mo", "Ta"), "converged") | {"Cu": "unsupported_element"}
    good = results.column("status") == "converged"
    assert results.column("nearest_distance")[good] == pytest.approx([A * np.sqrt(3) / 2] * 3)
    assert np.isnan(results.column("nearest_distance")[~good]).all()
    assert results.unit("nearest_distance") == "A"
    histogram = results.column("distance_histogram")
    assert histogram.shape == (4, 50)
    assert histogram[good].sum(axis=1).tolist() == [neighbours_in_bcc(5.0)] * 3
    schema = importlib.import_module("pair_distances").PairDistancesParameters(symprecs=())
    written = {*results.column_names, *results.atom_column_shapes(), *results.ragged_names}
    assert written == {column.name for column in columns_of("pair_distances", schema)}


def assert_people_see_it(invoke: Any, read: Any, pk: int, table: Path) -> None:
    sheet = read("show", pk, "W")
    assert sheet["distances"]["nearest_distance"] == pytest.approx(A * np.sqrt(3) / 2)
    assert sheet["units"]["nearest_distance"] == "A"
    assert "nearest_distance" in invoke("results", pk).output
    rows = read("results", pk, "--where", "nearest_distance < 3", "--columns", "nearest_distance")["rows"]
    assert {row["id"] for row in rows} == {"W", "Mo", "Ta"}
    found = read("find", "--where", "nearest_distance < 3")
    assert {row["id"] for row in found["rows"] if row["campaign"] == pk} == {"W", "Mo", "Ta"}
    assert any(step["role"] == "job" for step in read("trace", pk, "Ta")["steps"])
    assert "nearest_distance" in invoke("compare", pk, pk).output
    invoke("results", pk, "-o", table)
    assert "nearest_distance" in table.read_text().splitlines()[0]


def assert_may_be_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = StageEntry("distances", task="pair_distances", keep="nearest_distance < 3", after="relax")
    tasks = plugins.installed(plugins.TASKS)
    monkeypatch.setattr(plugins, "installed", lambda group: tasks if group == plugins.TASKS else (entry,))
    plugins.forget()
    stages = make_stages(("relax", "distances"), "fast", {"distances": {"parameters": {"bins": 10}}})
    assert list(stages) == ["relax", "distances"]
    assert stages["distances"]["parameters"]["cutoff"] == 4.0
    assert check_stages(stages, []) is None
    wrong = stages | {"distances": {"keep": "bulk_modulus > 100"}}
    assert "stage distances: keep: " in str(check_stages(wrong, []))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_task_is_added_in_five_files_and_does_what_the_others_do(
    *,
    install: Any,
    invoke: Any,
    read: Any,
    crystals: Path,
    real_engine: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert len(install("add-a-task.md")) + 1 <= 5  # with the page for users
    chosen = ["launch", "pair_distances", crystals, *real_engine]
    assert_is_known(invoke, read, chosen)
    node = stopped_and_resumed(read, chosen, monkeypatch)
    assert node.process_type == "aiida.workflows:pet.pair_distances"
    assert_rows_are_right(node.outputs.results)
    assert_people_see_it(invoke, read, node.pk, tmp_path / "out.csv")
    assert read(*chosen, "--dry-run")["rate"]["jobs"] == 2  # the estimate learns of what ran
    assert_may_be_a_stage(monkeypatch)


def test_an_unknown_task_says_what_to_do() -> None:
    with pytest.raises(
        ValueError, match=r"unknown task 'pair_distances': expected one of static, relax, .*installed here"
    ):
        Task("pair_distances")


def test_a_package_that_cannot_be_loaded_is_left_out(
    install: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    install("add-a-task.md")
    path = tmp_path / "site" / "pair_distances" / "__init__.py"
    path.write_text("import a_package_that_is_not_there")
    plugins.forget()
    with pytest.raises(ValueError, match="unknown task"):
        Task("pair_distances")
    assert "pair_distances cannot be used: its entry point" in caplog.text
    assert "a_package_that_is_not_there" in caplog.text
    assert Task("relax") is Task.RELAX


def test_a_stage_is_added_in_three_files_and_takes_part_in_a_screening(
    *, install: Any, invoke: Any, read: Any, crystals: Path, pet_code: Any, own_model: Any
) -> None:
    files = install("add-a-stage.md")
    assert len(files) + 1 <= 3  # with the page for users
    site = ["--code", pet_code.pk, "--model", own_model.pk]
    chosen = ["screen", crystals, "--stages", "relax,density", *site]

    # its options and conditions are checked, and errors name it
    bad = invoke("launch", *chosen, "--set", "density.unit_mass=-1.0", status=1)
    assert "stage density: unit_mass = -1.0: expected a positive number" in bad.output
    unknown = invoke("launch", *chosen, "--keep", "density: bulk_modulus > 10", status=1)
    assert "stage density: keep: " in unknown.output
    with pytest.raises(ProtocolError, match=r"stage density: units: unknown; known are unit_mass, keep"):
        make_stages(("density",), None, {"density": {"units": 1}})
    with pytest.raises(
        ProtocolError,
        match=r"unknown stages: .*did you mean density.*expected some of relax, symmetry, density, hull",
    ):
        make_stages(("densities",))
    assert "density" not in make_stages()  # a screening that names no stages has those of this package
    plan = read("launch", *chosen, "--dry-run")
    assert list(plan["stages"]) == ["relax", "density"]
    assert plan["stages"]["density"]["keep"] == "mass_density > 0"

    # it takes part
    pk = read("launch", *chosen, "--keep", "density: mass_density < 15")["pk"]
    status = read("status", pk)
    assert [(stage["name"], stage["rows_out"]) for stage in status["stages"]] == [
        ("relax", 4),
        ("density", 2),
    ]
    rows = {row["id"]: row for row in read("results", pk)["rows"]}
    grams = 183.84 * 2 * 1.66053906660e-24
    volume = rows["W"]["volume"] * 1e-24
    assert rows["W"]["mass_density"] == pytest.approx(grams / volume, rel=1e-6)
    assert rows["W"]["stage"] == "density"
    assert rows["W"]["reason"].startswith("not mass_density < 15 (mass_density = ")
    assert "mass_density" in invoke("results", pk).output
    assert read("show", pk, "W")["units"]["mass_density"] == "g/cm^3"
    assert {row["id"] for row in read("find", "--where", "mass_density > 15")["rows"]} >= {"W"}


def test_options_of_a_stage_are_asked_for_by_its_name() -> None:
    assert stage_options("phonons") == ("parameters", "keep", "protocol")
    with pytest.raises(ValueError, match="unknown stage 'boil': expected one of relax, symmetry"):
        stage_options("boil")


def applied(text: str, change: str) -> str:
    """Return `text` with a `diff` block applied; its parts are divided by lines `@@`."""
    for part in change.split("@@\n"):
        lines = part.splitlines()
        old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"the page's lines are not in the file exactly once:\n{old}"
        text = text.replace(old, new)
    return text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_column_is_added_in_two_files(tmp_path: Path) -> None:
    pytest.importorskip("metatrain", reason="needs the extra `engine`")
    changes = blocks("add-a-column.md", "diff")
    assert len(changes) == 2
    shutil.copytree(
        ROOT / "aiida_pet", tmp_path / "aiida_pet", ignore=shutil.ignore_patterns("__pycache__", "workchains")
    )
    shutil.copytree(ROOT / "workchains", tmp_path / "aiida_pet" / "workchains")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    judge = ROOT / "tests" / "engine" / "test_columns.py"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    def judged() -> subprocess.CompletedProcess[str]:
        wanted = "writes_what_the_catalogue_says and relax"
        return run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(judge), "-k", wanted)

    def change(path: str) -> None:
        target = tmp_path / path
        target.write_text(applied(target.read_text(), changes[path]))

    value, facts = sorted(changes)
    change(value)
    without_facts = judged()
    assert without_facts.returncode == 1, without_facts.stdout + without_facts.stderr
    assert "energy_gain" in without_facts.stdout
    change(facts)
    whole = judged()
    assert whole.returncode == 0, whole.stdout + whole.stderr

    code = (
        "import aiida_pet, sys\n"
        f"assert aiida_pet.__file__.startswith({str(tmp_path)!r})\n"
        "from aiida_pet.tables.columns import first_look, section_of, unit_of\n"
        "from aiida_pet.tables.page import page\n"
        "from aiida_pet.workchains.stages import check_stages\n"
        "assert unit_of('energy_gain') == 'eV/atom' and section_of('energy_gain') == 'relaxation'\n"
        "assert 'energy_gain' in first_look(['n_steps', 'energy_gain'])\n"
        "assert '`energy_gain`' in page()\n"
        "print(check_stages({'relax': {'keep': 'energy_gain > 0.01'}}, []))\n"
    )
    known = run("-c", code)
    assert known.stdout.split() == ["None"], known.stderr
