"""The site: it is made without a warning, every page and process is in it, and its links lead to pages."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from aiida_pet.workchains.protocols.page import page as protocols_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_nb")
    target = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-D",
        "nb_execution_mode=off",  # `make docs` runs the notebooks, which alone says their language
        "-D",
        "suppress_warnings=myst-nb.lexer",
        "-b",
        "html",
        str(DOCS),
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_protocols_are_those_of_the_yaml() -> None:
    told = "run python -m aiida_pet.workchains.protocols.page > docs/protocols.md"
    assert (DOCS / "protocols.md").read_text() == protocols_page(), told


def test_every_process_is_in_the_reference() -> None:
    text = (DOCS / "api" / "processes.md").read_text()
    for group in ("aiida.workflows", "aiida.calculations"):
        for point in entry_points(group=group):
            if point.name.startswith("pet.") and inspect.isclass(point.load()):
                assert f"### `{point.name}`" in text, point.name
                assert f":: {point.attr}\n   :module: {point.module}\n" in text, point.name


def test_every_page_is_there_and_can_be_searched(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert {page for page in pages if not (site / page).exists()} == set()
    assert (site / "searchindex.js").stat().st_size > 10_000
    beginning = (site / "index.html").read_text()
    assert "aiida-pet" in beginning
    assert 'href="quickstart.html"' in beginning  # README names docs/quickstart.md


def test_processes_are_described_with_inputs_and_outputs(site: Path) -> None:
    text = (site / "api" / "processes.html").read_text()
    assert "RelaxWorkChain" in text
    for port in ("lanes", "job_size", "output_structure"):
        assert re.search(rf"<strong>{port}</strong>", text), port
