"""Programs that run until they are stopped: each in a session of its own, with a log, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

PATIENCE_S = 60.0
_SYSTEM_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])


class ServiceMissingError(RuntimeError):
    """Raised where a service cannot run on this machine; says what it lacks."""


class ServiceFailedError(RuntimeError):
    """Raised when a service did not start or did not answer; carries the end of its log."""


def find_program(name: str) -> str:
    """Return the path of ``name``.

    :raises ServiceMissingError: if it is not installed.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), _SYSTEM_PATH]))
    if found is None:
        raise ServiceMissingError(f"{name} is not installed: scripts/install-services.sh installs it")
    return found


def require_root() -> None:
    """:raises ServiceMissingError: if this process may not start programs as other users."""
    if os.geteuid() != 0:
        raise ServiceMissingError("only root can start this service with users and ports of its own")


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> bool:
    """Return whether something answers on ``port``."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], complaint: str, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as ``condition`` holds.

    :raises ServiceFailedError: with ``complaint`` if it does not in time.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceFailedError(f"{complaint} within {patience_s:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def service_folder(name: str) -> Iterator[Path]:
    """Give a new folder that users of services may enter; when it is left, its processes and itself go."""
    folder = Path(tempfile.mkdtemp(prefix=f"pet-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        end_processes_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the processes that have ``folder`` in their environment, command line or working directory."""
    found = []
    for process in psutil.process_iter():
        places = []
        for look in (process.cwd, process.cmdline, process.environ):
            with contextlib.suppress(psutil.Error):  # one may be told where another is not
                seen = look()
                places += (
                    [seen]
                    if isinstance(seen, str)
                    else list(seen.values() if isinstance(seen, dict) else seen)
                )
        if process.pid != os.getpid() and any(str(folder) in place for place in places):
            found.append(process)
    return found


def end_processes_of(folder: Path) -> None:
    """End what still runs in ``folder``: asked first, then killed."""
    left = processes_of(folder)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=5)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)


class Program:
    """A program that runs in the foreground of a session of its own.

    :param command: to run.
    :param log: file that its output is added to.
    :param environment: in place of this process's.
    :param user: to run as; this one if not given.
    :param stop_signal: that it ends at in order.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: dict[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.environment = environment
        self.user = user
        self.stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool]) -> None:
        """Start it and return when ``ready`` holds.

        :raises ServiceFailedError: with the end of its log if it ended or is not ready in time.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.log.parent,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                start_new_session=True,
            )
        try:
            wait_until(lambda: self._process_ended() or ready(), f"{self.command[0]} is not ready")
            if self._process_ended():
                raise ServiceFailedError(f"{self.command[0]} ended at once")
        except ServiceFailedError as error:
            self.kill()
            raise ServiceFailedError(f"{error}:\n{self.log.read_text(errors='replace')[-2000:]}") from None

    def _process_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self, patience_s: float = 20.0) -> None:
        """Ask it to end, and kill what is left of its session."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self.kill()

    def kill(self) -> None:
        """Kill its session with -9."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None
