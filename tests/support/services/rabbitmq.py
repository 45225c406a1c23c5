"""A RabbitMQ broker with a port mapper of its own, so that nothing of it stays behind.

``consumer_timeout`` is set as AiiDA's documentation asks for: from 3.8.15 on the server drops a consumer that holds a
message for more than 30 minutes, which a daemon worker does with each process that it runs.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.services.programs import (
    Program,
    ServiceMissingError,
    find_program,
    free_ports,
    listens,
    require_root,
    service_folder,
)

USER = "rabbitmq"
CONSUMER_TIMEOUT_MS = 100 * 3600 * 1000
_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # what Debian's wrapper calls, without its folders


class RabbitMQ:
    """A broker in ``folder``; :func:`rabbitmq_broker` starts and stops one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, distribution, mapper = free_ports(3)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\nconsumer_timeout = {CONSUMER_TIMEOUT_MS}\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "environment.conf").touch()
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, USER, USER)
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"pet{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        }
        self._mapper_port = mapper
        self._mapper = Program([find_program("epmd")], folder / "epmd.out", environment, USER)
        self.server = Program([find_server()], folder / "rabbitmq.out", environment, USER)

    def start(self) -> None:
        """Start the broker and return when it listens."""
        self._mapper.start(lambda: listens(self._mapper_port))
        self.server.start(lambda: listens(self.port))

    def stop(self) -> None:
        """Stop the broker and its port mapper."""
        self.server.stop()
        self._mapper.stop()


def find_server() -> str:
    """Return the path of the server's script.

    :raises ServiceMissingError: if it is not installed.
    """
    if not Path(_SERVER).exists():
        raise ServiceMissingError("rabbitmq-server is not installed: scripts/install-services.sh installs it")
    return _SERVER


@contextmanager
def rabbitmq_broker() -> Iterator[RabbitMQ]:
    """Give a broker, and stop it.

    :raises ServiceMissingError: if RabbitMQ is not installed, or this is not root.
    """
    require_root()
    find_server()
    try:
        pwd.getpwnam(USER)
    except KeyError as error:
        raise ServiceMissingError(f"there is no user {USER!r}") from error
    with service_folder("rabbitmq") as folder:
        broker = RabbitMQ(folder)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()
