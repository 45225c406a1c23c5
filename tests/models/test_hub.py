"""Fetching through a stand-in for the hub: a local server with the requests that huggingface_hub and upet make."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "/lab-cosmo/upet"


class Hub:
    """Files by name, served as the repository of the models serves them; `requests` are those it saw."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.declared: dict[str, str] = {}
        self.requests: list[str] = []
        self.url = ""

    def add(self, name: str, content: bytes, declared_sha256: str | None = None) -> None:
        self.files[name] = content
        self.declared[name] = declared_sha256 or hashlib.sha256(content).hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.requests.append(path)
            headers = {"X-Repo-Commit": REVISION}
            prefix = f"{REPOSITORY}/resolve/main/models/"
            name = path.removeprefix(prefix)
            if path == f"/api/models{REPOSITORY}/tree/main":
                listing = [
                    {"type": "file", "path": f"models/{name}", "size": len(content), "oid": "0" * 40}
                    for name, content in hub.files.items()
                ]
                status, content = 200, json.dumps(listing).encode()
                headers["Content-Type"] = "application/json"
            elif path.startswith(prefix) and name in hub.files:
                status, content = 200, hub.files[name]
                headers |= {"ETag": f'"{hub.declared[name]}"', "Accept-Ranges": "bytes"}
            else:
                status, content = 404, b""
                headers["X-Error-Code"] = "EntryNotFound"
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    stand_in = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stand_in))
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield stand_in
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a runner of `fetch` in its own process: the hub's client reads its address once, at import."""

    def run(url: str, *arguments: str | None, offline: bool = False) -> subprocess.CompletedProcess[str]:
        code = (
            "import json, sys; from aiida_pet.models import fetch, ModelError\n"
            "try: print(fetch(*json.loads(sys.argv[1])))\n"
            "except ModelError as error: sys.exit(f'{type(error).__name__}: {error}')\n"
        )
        environment = os.environ | {
            "HF_ENDPOINT": url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": str(int(offline)),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, "-c", code, json.dumps(arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_fetch_returns_the_file_of_the_version_in_the_registry(hub: Hub, fetch) -> None:
    hub.add("pet-omat-xs-v1.0.0.ckpt", b"some weights")
    done = fetch(hub.url, "pet-omat-xs")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.name == "pet-omat-xs-v1.0.0.ckpt"
    assert path.read_bytes() == b"some weights"


def test_fetch_puts_files_into_the_cache_it_is_given(hub: Hub, fetch, tmp_path: Path) -> None:
    hub.add("pet-omat-xs-v1.0.0.ckpt", b"some weights")
    done = fetch(hub.url, "pet-omat-xs", None, str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "elsewhere")


def test_fetch_of_latest_asks_upet_which_is_newest(hub: Hub, fetch) -> None:
    for version in ("1.5.0", "1.10.0", "1.6.0"):
        hub.add(f"pet-mad-s-v{version}.ckpt", version.encode())
    done = fetch(hub.url, "pet-mad-s", "latest")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip().splitlines()[-1]).read_bytes() == b"1.10.0"


def test_fetch_takes_from_the_cache_without_a_network(hub: Hub, fetch) -> None:
    hub.add("pet-omat-xs-v1.0.0.ckpt", b"some weights")
    first = fetch(hub.url, "pet-omat-xs")
    seen = len(hub.requests)
    again = fetch(hub.url, "pet-omat-xs", offline=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert len(hub.requests) == seen


def test_fetch_without_a_hub_says_how_to_do_without(fetch) -> None:
    done = fetch("http://127.0.0.1:9", "pet-omat-xs")
    assert done.returncode != 0
    assert "FetchError: cannot fetch pet-omat-xs-v1.0.0.ckpt" in done.stderr
    assert "aiida-pet model import FILE" in done.stderr


def test_fetch_of_a_version_that_is_not_there_names_those_known(hub: Hub, fetch) -> None:
    done = fetch(hub.url, "pet-mad-s", "9.9.9")
    assert done.returncode != 0
    assert "UnknownModelError: the hub has no pet-mad-s-v9.9.9.ckpt" in done.stderr
    assert "1.0.2, 1.5.0, 1.6.0" in done.stderr


def test_fetch_refuses_a_file_that_has_not_the_hash_of_the_registry(
    hub: Hub, fetch, bomb: Callable[[Path], Path], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    hub.add("pet-oam-xl-v1.0.0.ckpt", bomb(flag).read_bytes())
    done = fetch(hub.url, "pet-oam-xl")
    assert done.returncode != 0
    assert "WrongHashError" in done.stderr
    assert "expected sha256 c3a67cd0" in done.stderr
    assert not flag.exists()


def test_fetch_refuses_a_file_that_has_not_the_hash_the_hub_declares(hub: Hub, fetch) -> None:
    hub.add("pet-omat-xs-v1.0.0.ckpt", b"PK\x03\x04 half of it", declared_sha256="a" * 64)
    done = fetch(hub.url, "pet-omat-xs")
    assert done.returncode != 0
    assert "TruncatedModelError" in done.stderr
    assert "expected sha256 aaaa" in done.stderr


def test_fetch_never_opens_what_it_fetches(
    hub: Hub, fetch, bomb: Callable[[Path], Path], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    hub.add("pet-mad-s-v1.6.0.ckpt", bomb(flag).read_bytes())
    done = fetch(hub.url, "pet-mad-s")
    assert done.returncode == 0, done.stderr
    assert not flag.exists()
