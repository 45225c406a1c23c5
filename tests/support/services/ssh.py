"""Another machine behind SSH, as far as one machine can play it: another user, whose home only he can see.

The server runs in a mount namespace of its own. There, homes are on a file system in memory that does not exist for
anyone outside, so that what reads a job's folder from the local disk finds nothing. The interpreter and this project
are mounted in, at their places, where the other user could not enter the folders that they lie in. No permission of
the machine is changed; the user is made for the test and removed after it.
"""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from support.services.programs import (
    Program,
    ServiceMissingError,
    find_program,
    free_ports,
    listens,
    require_root,
    service_folder,
)

ROOT = Path(__file__).resolve().parents[3]
HOST = "pet-other-machine"  # as `~/.ssh/config` names it

_CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
AllowUsers {user}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile {folder}/sshd.pid
Subsystem sftp internal-sftp
"""
_CLIENT = """\
Host {host}
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {home}/.ssh/id_ed25519
  UserKnownHostsFile {home}/.ssh/known_hosts
"""


class OtherMachine:
    """A server in ``folder`` that lets one user in; :func:`other_machine` starts and stops one.

    :ivar user: whom it belongs to.
    :ivar work_dir: where his jobs run.
    :ivar environment: of who connects: his ``HOME`` has the key and names the machine :data:`HOST`.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self.folder = folder
        self.user = user
        self.port = free_ports(1)[0]
        self.home = Path("/home") / user
        self.work_dir = self.home / "work"
        client = folder / "client"
        self.environment = {"HOME": str(client)}
        self._write_keys(client)
        (folder / "sshd_config").write_text(_CONFIGURATION.format(port=self.port, folder=folder, user=user))
        script = folder / "serve.sh"
        script.write_text(self._script())
        command = [find_program("unshare"), "--mount", "--propagation", "private", "sh", str(script)]
        self.server = Program(command, folder / "sshd.log")

    def _write_keys(self, client: Path) -> None:
        (client / ".ssh").mkdir(parents=True)
        client.chmod(0o700)
        for key in (self.folder / "host_key", client / ".ssh" / "id_ed25519"):
            make = [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
            subprocess.run(make, check=True)
        allowed = self.folder / "authorized_keys"
        allowed.write_text((client / ".ssh" / "id_ed25519.pub").read_text())
        allowed.chmod(0o644)
        host_key = (self.folder / "host_key.pub").read_text()
        (client / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        (client / ".ssh" / "config").write_text(
            _CLIENT.format(host=HOST, port=self.port, user=self.user, home=client)
        )

    def _script(self) -> str:
        """Return the shell script that prepares the namespace and serves."""
        needed = list(dict.fromkeys(Path(path).resolve() for path in (sys.base_prefix, sys.prefix, ROOT)))
        closed = {top for path in needed if (top := closed_ancestor(path))}
        hidden = [path for path in needed if closed_ancestor(path)]
        lines = ["set -e"]
        kept = []
        for number, path in enumerate(hidden):
            aside = self.folder / f"aside-{number}"
            aside.mkdir()
            lines.append(shlex.join(["mount", "--bind", str(path), str(aside)]))
            kept.append((aside, path))
        lines += [
            shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(top)])
            for top in sorted({*closed, self.home.parent, Path("/run")})
        ]
        for aside, path in kept:
            lines.append(shlex.join(["mkdir", "-p", str(path)]))
            lines.append(shlex.join(["mount", "--move", str(aside), str(path)]))
        lines.append(shlex.join(["install", "-d", "-m", "700", "-o", self.user, str(self.home)]))
        lines.append(shlex.join(["mkdir", "-p", "/run/sshd"]))
        serve = [find_program("sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        lines.append("exec " + shlex.join(serve))
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start the server and return when it listens."""
        self.server.start(lambda: listens(self.port))

    def stop(self) -> None:
        """Stop the server and end what its user runs: no one else has his number."""
        self.server.stop()
        number = pwd.getpwnam(self.user).pw_uid
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.uids().real == number:
                    process.kill()

    def run(self, command: str) -> str:
        """Return what ``command`` prints there."""
        client = self.folder / "client" / ".ssh"
        ssh = [find_program("ssh"), "-F", str(client / "config"), HOST, command]
        return subprocess.run(ssh, check=True, capture_output=True, text=True, timeout=60).stdout


def closed_ancestor(path: Path) -> Path | None:
    """Return the outermost folder above ``path`` that other users may not enter, None if there is none."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


@contextmanager
def other_machine() -> Iterator[OtherMachine]:
    """Give a machine behind SSH, and stop it; its user is removed.

    :raises ServiceMissingError: if there is no OpenSSH server, this is not root, or may not make mount namespaces.
    """
    require_root()
    find_program("sshd")
    add, remove = find_program("useradd"), find_program("userdel")
    if subprocess.run(
        [find_program("unshare"), "--mount", "true"], check=False, capture_output=True
    ).returncode:
        raise ServiceMissingError("mount namespaces may not be made here")
    user = f"pet{os.getpid()}"
    with suppress(KeyError):
        pwd.getpwnam(user)
        raise ServiceMissingError(f"there is a user {user!r} already")
    subprocess.run(
        [add, "--no-create-home", "--shell", "/bin/bash", "--password", "*", user],
        check=True,
        capture_output=True,
    )
    try:
        with service_folder("ssh") as folder:
            machine = OtherMachine(folder, user)
            try:
                machine.start()
                yield machine
            finally:
                machine.stop()
    finally:
        subprocess.run([remove, "--force", user], check=True, capture_output=True)
