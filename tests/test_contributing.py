"""The pages for developers: tables that are those of the code, an index without gaps, hooks that exist."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from test_layers import MAY_IMPORT

ROOT = Path(__file__).parents[1]


def test_table_of_packages_is_that_of_the_test():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert rows == [(package, others.replace(" ", ", ") or "-") for package, others in MAY_IMPORT.items()]


def test_index_lists_every_page():
    folder = ROOT / "docs" / "dev"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert linked == {path.name for path in folder.glob("*.md")} - {"README.md"}


def test_prose_of_the_pages_is_not_wider_than_that_of_the_code():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    wide = []
    for page in pages:
        prose = re.sub(
            r"^```.*?^```",
            lambda block: "\n" * block.group().count("\n"),
            page.read_text(),
            flags=re.M | re.S,
        )
        lines = enumerate(prose.splitlines(), start=1)
        wide += [f"{page.name}:{number}" for number, line in lines if len(line) > 120 and line[0] not in "| "]
    assert wide == []


def test_hooks_run_what_there_is():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {"ruff", "ruff-format", "mypy"} <= {hook["id"] for hook in hooks}
    for hook in hooks:
        paths = re.findall(r"(?:tests|scripts)/\S+", hook["entry"])
        assert all((ROOT / path).exists() for path in paths), hook["id"]
