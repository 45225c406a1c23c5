"""The set-up finds a usable interpreter by itself, in the order it promises, and says so when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "make-venv.sh"


def find(path: list[Path], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the search with nothing on the PATH but ``path`` and the shell's own tools."""
    tools = path[0] / "tools"
    tools.mkdir(exist_ok=True, parents=True)
    for name in ("bash", "dirname", "env", "echo"):
        link = tools / name
        if not link.exists():
            link.symlink_to(next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()))
    environment = {"PATH": os.pathsep.join(map(str, [*path, tools])), "HOME": str(path[0])} | variables
    return subprocess.run([SCRIPT, "--find"], env=environment, capture_output=True, text=True, check=False)


def fake_python(folder: Path, name: str, *, version_ok: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / name
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n' if version_ok else "#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    return python


def test_python_variable_comes_first(tmp_path):
    mine = fake_python(tmp_path / "mine", "python", version_ok=True)
    fake_python(tmp_path / "bin", "python3.12", version_ok=True)
    assert find([tmp_path / "bin"], PYTHON=str(mine)).stdout.strip() == f"{mine} (from $PYTHON)"


def test_unusable_python_variable_is_an_error_not_passed_over(tmp_path):
    old = fake_python(tmp_path / "old", "python", version_ok=False)
    fake_python(tmp_path / "bin", "python3.12", version_ok=True)
    done = find([tmp_path / "bin"], PYTHON=str(old))
    assert done.returncode != 0
    assert f"PYTHON={old} is not a Python >= 3.12" in done.stderr


def test_path_comes_before_pyenv(tmp_path):
    on_path = fake_python(tmp_path / "bin", "python3.12", version_ok=True)
    fake_python(tmp_path / "pyenv/versions/3.12.1/bin", "python", version_ok=True)
    found = find([tmp_path / "bin"], PYENV_ROOT=str(tmp_path / "pyenv"))
    assert found.stdout.strip() == f"{on_path} (on the PATH)"


def test_pyenv_helps_where_the_path_is_too_old(tmp_path):
    fake_python(tmp_path / "bin", "python3", version_ok=False)
    kept = fake_python(tmp_path / "pyenv/versions/3.12.1/bin", "python", version_ok=True)
    found = find([tmp_path / "bin"], PYENV_ROOT=str(tmp_path / "pyenv"))
    assert found.stdout.strip() == f"{kept} (pyenv)"


def test_no_interpreter_is_named_with_the_remedy(tmp_path):
    done = find([tmp_path / "bin"], PYENV_ROOT=str(tmp_path / "pyenv"))
    assert done.returncode != 0
    assert "no Python >= 3.12 found" in done.stderr
    assert "set PYTHON=" in done.stderr


SERVICES = Path(__file__).parents[1] / "scripts" / "install-services.sh"


def test_services_that_an_installation_sets_to_start_are_set_off_again(tmp_path):
    """What started by itself before is left alone; here a machine without systemd, in folders of its own."""
    wants, rc = tmp_path / "systemd" / "multi-user.target.wants", tmp_path / "etc" / "rc2.d"
    for folder, names in (
        (wants, ("munge.service", "ssh.service", "cron.service")),
        (rc, ("S01slurmd", "S01dbus")),
    ):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).symlink_to("/dev/null")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "env", "rm"):
        (tools / name).symlink_to(
            next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists())
        )
    for name in ("systemctl", "update-rc.d"):
        (tools / name).symlink_to("/bin/true")  # those of this machine are not to be touched
    environment = {
        "PATH": str(tools),
        "SYSTEMD_UNITS": str(tmp_path / "systemd"),
        "RC_FOLDERS": str(tmp_path / "etc"),
    }
    done = subprocess.run(
        [SERVICES, "--set-off", "ssh"], env=environment, capture_output=True, text=True, check=True
    )
    assert sorted(path.name for path in wants.iterdir()) == ["cron.service", "ssh.service"]
    assert [path.name for path in rc.iterdir()] == ["S01dbus"]
    assert done.stderr.splitlines() == [
        "install-services: munge does not start by itself",
        "install-services: slurmd does not start by itself",
    ]
