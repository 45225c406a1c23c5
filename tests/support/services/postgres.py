"""A PostgreSQL server with one role and one database, in a folder and on a port of its own."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.services.programs import (
    Program,
    ServiceMissingError,
    find_program,
    free_ports,
    require_root,
    service_folder,
)

USER = "postgres"  # the server refuses to run as root
_DEBIAN = Path("/usr/lib/postgresql")


class Postgres:
    """A server in ``folder``; :func:`postgres_server` starts and stops one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.database = "pet"
        self.password = secrets.token_hex(8)
        shutil.chown(folder, USER, USER)
        data = str(folder / "data")
        self._as_user(
            find_server_program("initdb"), "-D", data, "--auth=trust", "--encoding=UTF8", "--no-sync"
        )
        command = [find_server_program("postgres"), "-D", data, "-p", str(self.port), "-k", str(folder)]
        # SIGINT: "fast" shutdown, which does not wait for those that are connected
        self.server = Program(command, folder / "postgres.log", user=USER, stop_signal=signal.SIGINT)

    def start(self) -> None:
        """Start the server and return when it answers."""
        self.server.start(self._answers)

    def stop(self) -> None:
        """Stop the server; whoever is connected loses the connection."""
        self.server.stop()

    def make_database(self) -> None:
        """Make the role and its database."""
        self.sql(f"CREATE ROLE pet LOGIN PASSWORD '{self.password}'")
        self.sql("CREATE DATABASE pet OWNER pet TEMPLATE template0 ENCODING 'UTF8'")

    def sql(self, statement: str) -> str:
        """Return what ``psql`` prints of ``statement``, run as the superuser."""
        return self._as_user(
            find_program("psql"),
            "-h",
            str(self.folder),
            "-p",
            str(self.port),
            "-d",
            "postgres",
            "-Atc",
            statement,
        )

    def _answers(self) -> bool:
        try:
            return self.sql("SELECT 1").strip() == "1"
        except subprocess.CalledProcessError:
            return False

    def _as_user(self, *command: str) -> str:
        done = subprocess.run(
            command,
            user=USER,
            group=USER,
            extra_groups=[],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout


def find_server_program(name: str) -> str:
    """Return the path of one of the server's programs, which Debian keeps off the PATH.

    :raises ServiceMissingError: if it is not installed.
    """
    found = sorted(_DEBIAN.glob(f"*/bin/{name}"))
    return str(found[-1]) if found else find_program(name)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Give a server with an empty database, and stop it.

    :raises ServiceMissingError: if PostgreSQL is not installed, or this is not root.
    """
    require_root()
    find_server_program("initdb")
    with service_folder("postgres") as folder:
        try:
            server = Postgres(folder)
        except LookupError as error:
            raise ServiceMissingError(f"there is no user {USER!r}: {error}") from error
        try:
            server.start()
            server.make_database()
            yield server
        finally:
            server.stop()
