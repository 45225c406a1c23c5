"""Imports go one way: a table says which package may import which, and what must not need torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "aiida_pet"

FLOORS = ("units", "words", "names", "schemas", "plugins", "homes")
"""Modules that import nothing of the package; everybody may import them."""
MAY_IMPORT = {
    "tables": "",
    "job": "tables",
    "printed": "tables",
    "crystals": "tables job",
    "io": "tables job crystals",  # files of phonopy hold phonons of a row
    "transport": "tables job crystals",
    "engine": "tables job crystals",
    "analysis": "tables job crystals io",
    "figures": "tables job crystals analysis",
    "models": "tables job engine io",
    "training": "tables job crystals analysis engine models",
    "data": "tables job io models printed",
    "computers": "tables job data models",
    "calculations": "tables job crystals io analysis data models training computers",
    "parsers": "tables job training data calculations",
    "workchains": "tables job crystals io analysis data models training computers calculations parsers",
    "campaigns": "tables job crystals io analysis data models training computers calculations parsers workchains",
    "report": "tables job analysis data models computers calculations workchains campaigns figures",
    "plotting": "tables job figures data campaigns",
    "testing": "tables job data",
    "cli": "tables job crystals io analysis figures data models training computers calculations parsers workchains "
    "campaigns plotting report printed",
}
"""Package -> packages of this project that its modules may import, besides its own and the floors."""

WITHOUT = {
    "aiida": (
        "tables",
        "printed",
        "job",
        "crystals",
        "io",
        "engine",
        "analysis",
        "figures",
        "models",
        "training",
        "transport",
    ),
    "torch": (
        "tables",
        "printed",
        "transport",
        "crystals",
        "io",
        "analysis",
        "figures",
        "data",
        "calculations",
        "parsers",
        "workchains",
        "campaigns",
        "plotting",
    ),
    "click": tuple(name for name in MAY_IMPORT if name != "cli"),
}
"""What a package must not import, anywhere in its code. Only `job.checkpoint` of `job` opens files with torch."""


def folder_of(package: str) -> Path:
    return ROOT / package if package == "workchains" else PACKAGE / package


def imports_of(path: Path) -> set[str]:
    """Return the modules that ``path`` imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {node.module}
                if node.module != "aiida_pet"
                else {f"aiida_pet.{alias.name}" for alias in node.names}
            )
    return found


def imported(package: str) -> list[tuple[str, str]]:
    """Return (file, module) of each import in the code of ``package``."""
    paths = sorted(folder_of(package).rglob("*.py"))
    assert paths
    return [(str(path.relative_to(ROOT)), name) for path in paths for name in sorted(imports_of(path))]


def test_every_package_is_in_the_table():
    there = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert there | {"workchains"} == set(MAY_IMPORT)


def test_the_table_has_no_circle():
    order = list(MAY_IMPORT)
    for package, others in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(package) for other in others.split()), package


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_what_the_table_says(package):
    allowed = {package, *FLOORS, *MAY_IMPORT[package].split(), "__version__"}
    bad = [
        f"{path} imports {name}"
        for path, name in imported(package)
        if name.startswith("aiida_pet.") and name.split(".")[1] not in allowed
    ]
    assert bad == []


@pytest.mark.parametrize("module", FLOORS)
def test_floors_import_nothing_of_the_package_but_floors(module):
    floors = {f"aiida_pet.{name}" for name in FLOORS[: FLOORS.index(module)]}
    assert [
        n for n in imports_of(PACKAGE / f"{module}.py") if n.startswith("aiida_pet") and n not in floors
    ] == []


@pytest.mark.parametrize(("library", "packages"), WITHOUT.items())
def test_package_does_without_a_library(library, packages):
    bad = [
        f"{path} imports {name}"
        for package in packages
        for path, name in imported(package)
        if name.split(".")[0] == library
    ]
    assert bad == []


def modules_of(package: str) -> list[str]:
    """Return every module of ``package`` but scripts."""
    folder = folder_of(package)
    parts = [path.relative_to(folder).with_suffix("").parts for path in folder.rglob("*.py")]
    names = {".".join(("aiida_pet", package, *part)).removesuffix(".__init__") for part in parts}
    return sorted(name for name in names if not name.endswith("__main__"))


def run_without(libraries: tuple[str, ...], modules: list[str]) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({libraries}))\n"
        f"for name in {modules}: __import__(name)\n"
        "assert 'metatrain' not in sys.modules and 'metatomic' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_the_engine_shares_imports_without_torch_aiida_and_click():
    packages = ("tables", "job", "crystals", "io", "transport", "analysis", "figures")
    run_without(("torch", "aiida", "click"), [name for package in packages for name in modules_of(package)])


def test_the_side_of_aiida_imports_without_torch():
    packages = (
        "data",
        "computers",
        "calculations",
        "parsers",
        "workchains",
        "campaigns",
        "plotting",
        "report",
        "cli",
    )
    names = [name for package in packages for name in modules_of(package)]
    helpers = [name for name in modules_of("testing") if not name.endswith(".models")]
    run_without(("torch",), ["aiida_pet.models", *names, *helpers])


def test_names_import_nothing_but_enum():
    assert imports_of(PACKAGE / "names.py") == {"__future__", "enum"}


@pytest.mark.parametrize("arguments", ["--help", "launch --help", "launch relax --help", "params --help"])
def test_help_waits_for_nothing(arguments):
    code = (
        f"import sys; sys.argv = {['aiida-pet', *arguments.split()]}\n"
        "from aiida_pet.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'torch', 'ase', 'aiida', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_workers_of_the_daemon_load_nothing_slow() -> None:
    """A worker imports what it runs before the first step of it, as does a launch.

    Hulls and screenings evaluate conditions on tables with pandas, phonons are those of phonopy: they are left out.
    """
    left_out = ("pet.ase", "pet.energies_above_hull", "pet.hull", "pet.phonons", "pet.screen")
    code = (
        "import sys, aiida.orm, aiida.engine\n"
        "before = set(sys.modules)\n"
        "from importlib.metadata import entry_points\n"
        "for group in ('aiida.calculations', 'aiida.parsers', 'aiida.workflows', 'aiida.data'):\n"
        "    for point in entry_points(group=group):\n"
        f"        if point.name.startswith('pet.') and point.name not in {left_out}:\n"
        "            point.load()\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "aiida_pet.workchains.batch" in loaded
    slow = {"ase.io", "scipy", "torch", "pymatgen", "pandas", "spglib", "phonopy", "matplotlib", "rich"}
    assert slow & loaded == set()
