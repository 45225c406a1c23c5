"""The command line over the test profile: the engine is the one that stands in, and submitting runs at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner, Result

from aiida_pet.cli import main


@pytest.fixture
def invoke(aiida_profile: Any) -> Callable[..., Result]:
    """Run `aiida-pet` with arguments; faults of the program are raised, and the exit status must be as expected."""

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

    def run(*arguments: Any, status: int = 0) -> Any:
        return json.loads(invoke(*arguments, "--json", status=status).stdout)

    return run


@pytest.fixture
def alloys_file(tmp_path: Path) -> Path:
    """An extxyz file of six alloys: alloy-0 ... alloy-5, of 2 to 12 atoms, with a column `series`."""
    path = tmp_path / "alloys.xyz"
    crystals = []
    for index in range(6):
        cell = bulk("W", "bcc", a=3.16 + 0.01 * index, cubic=True).repeat((index + 1, 1, 1))
        cell.numbers[0] = 42
        cell.info |= {"id": f"alloy-{index}", "series": "even" if index % 2 == 0 else "odd"}
        crystals.append(cell)
    write(path, crystals, format="extxyz")
    return path


@pytest.fixture
def own_model(aiida_profile: Any, tmp_path: Path) -> Any:
    """A stored model that no other test has, so that no job with it is past."""
    from aiida_pet.data.model import PetModelData

    path = tmp_path / "own.ckpt"
    path.write_bytes(f"not a checkpoint, but the content of {tmp_path}".encode())
    card = {"name": f"own-{tmp_path.name}", "elements": ["Nb", "Mo", "Ta", "W"], "outputs": ["energy"]}
    return PetModelData.get_or_create(path, card)


@pytest.fixture
def no_engine_code(aiida_profile: Any) -> None:
    """No code is called `pet-engine`: one of a former test gives up its label."""
    from aiida import orm

    for former in (
        orm.QueryBuilder().append(orm.InstalledCode, filters={"label": "pet-engine"}).all(flat=True)
    ):
        former.label = f"former-{former.pk}"


@pytest.fixture
def site(pet_code: Any, own_model: Any) -> list[Any]:
    """The options of a launch that name the code and the model that stand in."""
    return ["--code", pet_code.pk, "--model", own_model.pk]


@pytest.fixture
def cluster(aiida_profile: Any, build_cluster: Callable[..., Any], tmp_path: Path) -> Any:
    """A SLURM cluster with an account and a partition by default."""
    return build_cluster(tmp_path, account="mat", partition="gpu")


class Launcher:
    """Runs `aiida-pet launch`.

    :ivar result: of the last command.
    :ivar builders: of what was launched, the last one last.
    :ivar node: what was launched last; None if nothing was.
    """

    def __init__(self, invoke: Callable[..., Result], site: list[Any], run: bool) -> None:
        self._invoke, self._site, self._run = invoke, site, run
        self.result: Any = None
        self.builders: list[Any] = []
        self.node: Any = None

    def submit(self, builder: Any) -> Any:
        from aiida.engine import run_get_node
        from aiida.orm import WorkChainNode

        self.builders.append(builder)
        self.node = run_get_node(builder).node if self._run else WorkChainNode().store()
        return self.node

    def __call__(self, task: str, *arguments: Any, status: int = 0) -> Any:
        self.result = self._invoke("launch", task, *arguments, *self._site, status=status)
        return self.node if self._run else (self.builders[-1] if self.builders else None)


def _launcher(monkeypatch: pytest.MonkeyPatch, launcher: Launcher) -> Launcher:
    monkeypatch.setattr("aiida.engine.submit", launcher.submit)
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    return launcher


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result], site: list[Any]) -> Launcher:
    """Run `aiida-pet launch` with the code and model that stand in, to its end; return the process."""
    return _launcher(monkeypatch, Launcher(invoke, site, run=True))


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result], site: list[Any]) -> Launcher:
    """Run `aiida-pet launch`, but start nothing; return the builder of what would have been started."""
    return _launcher(monkeypatch, Launcher(invoke, site, run=False))
