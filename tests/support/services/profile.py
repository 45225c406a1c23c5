"""An AiiDA profile in a folder of its own, used through commands: AiiDA binds a process to one profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.services.postgres import Postgres
from support.services.programs import service_folder
from support.services.rabbitmq import RabbitMQ

BIN = Path(sys.executable).parent
NAME = "pet"
LANES = 2
PATIENCE_S = 400

Row = dict[str, Any]


class CommandError(RuntimeError):
    """Raised when a command ended with another exit status than 0; carries what it printed."""


class Profile:
    """A profile in ``folder``, which commands find by AIIDA_PATH; :func:`isolated_profile` makes and removes one.

    :param environment: what the daemon needs beside that, to reach its services.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {
            "AIIDA_PATH": str(folder / "aiida"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")]),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            **(environment or {}),
        }
        (folder / "aiida").mkdir()

    def run(self, *command: str, timeout_s: float = PATIENCE_S, check: bool = True) -> str:
        """Run ``command`` in the profile and return what it prints.

        :raises CommandError: if it fails, unless ``check`` is false.
        """
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if check and done.returncode:
            raise CommandError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def pet(self, *arguments: str, **options: Any) -> str:
        """Run ``aiida-pet ARGUMENTS``."""
        return self.run(str(BIN / "aiida-pet"), *arguments, **options)

    def verdi(self, *arguments: str, **options: Any) -> str:
        """Run ``verdi ARGUMENTS``."""
        return self.run(str(BIN / "verdi"), *arguments, **options)

    def set_up_services(self, database: Postgres, broker: RabbitMQ) -> None:
        """Make the profile on PostgreSQL and RabbitMQ; :meth:`set_up` finds it there."""
        values = {
            "profile-name": NAME,
            "email": "aiida@localhost",
            "database-hostname": "127.0.0.1",
            "database-port": database.port,
            "database-username": "pet",
            "database-password": database.password,
            "database-name": database.database,
            "repository-uri": f"file://{self.folder / 'repository'}",
        }
        options = [f"--{name}={value}" for name, value in values.items()]
        self.verdi("profile", "setup", "core.psql_dos", "--non-interactive", *options)
        self.verdi(
            "profile",
            "configure-broker",
            "core.rabbitmq",
            "--non-interactive",
            "--broker-host=127.0.0.1",
            f"--broker-port={broker.port}",
        )
        self.verdi("--profile", NAME, "config", "set", "daemon.timeout", "60")

    def set_up(self, workers: int = 1) -> None:
        """Make what a first calculation needs, and start the daemon."""
        self.pet("setup", "--workers", str(workers))

    def make_computer(
        self,
        label: str,
        scheduler: str = "core.direct",
        transport: str = "core.local",
        work_dir: Path | None = None,
        authentication: Mapping[str, Any] | None = None,
        *,
        executable: Path = BIN / "pet-engine",
    ) -> str:
        """Make a computer and its engine, and return the label of the code."""
        asked = {
            "label": label,
            "scheduler": scheduler,
            "transport": transport,
            "work_dir": str(work_dir or self.folder / "work"),
            "executable": str(executable),
            "authentication": dict(authentication or {}),
        }
        script = Path(__file__).with_name("make_computer.py")
        self.run(sys.executable, str(script), json.dumps(asked))
        return f"pet-engine@{label}"

    def held_engine(self) -> tuple[Path, Path]:
        """Return an engine that waits once it has finished some rows, and the file that lets it go on."""
        go, engine = self.folder / "go", self.folder / "held-engine"
        script = Path(__file__).with_name("held_engine.sh")
        engine.write_text(f'#!/bin/sh\nexec {script} {BIN / "pet-engine"} {go} "$@"\n')
        engine.chmod(0o755)
        return engine, go

    def launch(self, crystals: Path, code: str, *arguments: str) -> int:
        """Start a relaxation in two lanes on the CPU and return its pk."""
        printed = self.pet(
            "launch",
            "relax",
            str(crystals),
            f"--code={code}",
            f"--lanes={LANES}",
            "--setting=device=cpu",
            "--setting=threads=1",
            "--json",
            *arguments,
        )
        return int(json.loads(printed)["pk"])

    def status(self, pk: int) -> dict[str, Any]:
        """Return what ``aiida-pet status`` says."""
        document: dict[str, Any] = json.loads(self.pet("status", str(pk), "--json"))
        return document

    def rows(self, pk: int) -> dict[str, Row]:
        """Return the rows of a launch by id.

        :raises ValueError: if an id has two.
        """
        rows = json.loads(self.pet("results", str(pk), "--json"))["rows"]
        found = {row["id"]: row for row in rows}
        if len(found) < len(rows):
            raise ValueError(f"{len(rows)} rows of {len(found)} ids")
        return found

    def relax(self, crystals: Path, code: str, *arguments: str) -> tuple[int, dict[str, Row]]:
        """Relax ``crystals`` to the end and return pk and rows."""
        pk = self.launch(crystals, code, *arguments)
        self.pet("status", str(pk), "--watch", "--interval=1")
        return pk, self.rows(pk)

    def stop(self) -> None:
        """Stop the daemon."""
        self.verdi("daemon", "stop", check=False)


@contextmanager
def isolated_profile(environment: Mapping[str, str] | None = None) -> Iterator[Profile]:
    """Give a profile that is yet to be set up; daemon and files go when it is left."""
    with service_folder("profile") as folder:
        profile = Profile(folder, environment)
        try:
            yield profile
        finally:
            profile.stop()
