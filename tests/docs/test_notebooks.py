"""The notebooks: `make docs` runs them; here their Python compiles, and each is in the site, with a picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.md"))
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["cluster", "from-pwrelax", "poscars"]
    index = (DOCS / "index.md").read_text()
    assert [path.stem for path in NOTEBOOKS if f"notebooks/{path.stem}\n" not in index] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_commands_or_python(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n")
    cells = CELL.findall(text)
    assert len(cells) == text.count("```{code-cell}")
    for cell in cells:
        code = re.sub(r"^:tags: .*\n\n", "", cell)
        if not code.startswith("%%bash\n"):
            compile(re.sub(r"^%matplotlib inline$", "", code, flags=re.MULTILINE), str(path), "exec")
    assert any(cell.startswith("%%bash\n") for cell in cells)
    assert ".figure\n" in text  # pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_model_is_named_by_its_function(path: Path) -> None:
    from aiida_pet.models import EMBEDDED_NAME

    assert EMBEDDED_NAME not in path.read_text()  # another release ships another one
