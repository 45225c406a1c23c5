"""Imports go one way: the engine never sees AiiDA, the daemon's side never needs torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "aiida_pet"
CONTRACT = {
    "aiida_pet.engine",
    *(f"aiida_pet.engine.{n}" for n in ("job", "parameters", "table", "checkpoint")),
}


def imports_of(path: Path) -> set[str]:
    """Return the modules that ``path`` imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def offenders(folder: Path, forbidden: tuple[str, ...], allowed: set[str] | None = None) -> list[str]:
    bad = []
    for path in sorted(folder.rglob("*.py")):
        for name in imports_of(path):
            hit = any(name == f or name.startswith(f + ".") for f in forbidden)
            if hit and name not in (allowed or set()):
                bad.append(f"{path.relative_to(ROOT)} imports {name}")
    return bad


def test_engine_never_imports_aiida_or_the_plugin():
    parts = ("analysis", "data", "calculations", "parsers", "workchains", "cli")
    plugin = tuple(f"aiida_pet.{part}" for part in parts)
    assert offenders(PACKAGE / "engine", ("aiida", *plugin)) == []


def test_data_never_imports_calculations_or_anything_above():
    parts = ("analysis", "calculations", "parsers", "workchains", "cli")
    assert offenders(PACKAGE / "data", tuple(f"aiida_pet.{part}" for part in parts)) == []


def test_analysis_is_free_of_aiida_and_torch():
    above = tuple(f"aiida_pet.{part}" for part in ("calculations", "parsers", "workchains", "cli"))
    nodes = tuple(f"aiida_pet.data.{part}" for part in ("model", "structures", "table"))
    assert offenders(PACKAGE / "analysis", ("aiida", "torch", *above, *nodes)) == []


def test_training_is_free_of_aiida_and_of_what_is_above() -> None:
    parts = ("data", "calculations", "parsers", "workchains", "cli")
    assert offenders(PACKAGE / "training", ("aiida", *(f"aiida_pet.{part}" for part in parts))) == []


def test_workchains_use_only_the_contract_of_the_engine():
    assert offenders(ROOT / "workchains", ("aiida_pet.engine", "torch"), CONTRACT) == []


def test_tables_import_nothing_of_this_package_but_tables():
    others = [path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "tables"]
    assert offenders(PACKAGE / "tables", ("aiida", "torch", *(f"aiida_pet.{name}" for name in others))) == []


def test_calculations_never_import_workchains():
    for part in ("calculations", "parsers"):
        assert offenders(PACKAGE / part, ("aiida_pet.workchains", "aiida_pet.cli")) == []


@pytest.mark.parametrize(
    "name", ["data", "analysis", "calculations", "parsers.batch", "workchains", "cli", "models"]
)
def test_package_imports_without_torch(name):
    modules = {
        "analysis": [
            "funnel",
            "hull",
            "reference_files",
            "symmetry_breaking",
            "metrics.report",
            "metrics.structures",
        ],
        "calculations": [
            "static",
            "relax",
            "phonons",
            "elastic",
            "functions",
            "model_store",
            "staging",
            "hull",
            "harmonic",
            "follow_modes",
            "screening",
        ],
        "data": ["table", "structures", "model", "readers"],
        "workchains": ["batch", "lane", "staging", "relax", "progress", "provenance", "hull", "screening"],
    }.get(name, [])
    names = [f"aiida_pet.{name}", *(f"aiida_pet.{name}.{module}" for module in modules)]
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"for name in {names}: __import__(name)\n"
        "assert 'metatrain' not in sys.modules and 'metatomic' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_contract_imports_without_torch_and_aiida():
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['aiida'] = None\n"
        f"for name in {sorted(CONTRACT)}: __import__(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
