"""Sphinx makes the site of these pages: ``make docs`` writes it to ``build/docs``; any warning fails it."""

from __future__ import annotations

import re
from pathlib import Path

from aiida import load_profile
from aiida.storage.sqlite_temp import SqliteTempBackend
from pydantic import BaseModel
from sphinx.application import Sphinx

from aiida_pet import __version__

project = "aiida-pet"
author = "The aiida-pet developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "aiida.sphinxext"]
root_doc = "index"
exclude_patterns: list[str] = []

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
nitpicky = False  # types of numpy, torch and AiiDA are not documented here

html_theme = "furo"
html_title = f"aiida-pet {release}"
html_show_sphinx = False

ROOT = Path(__file__).parents[1]
FROM_ELSEWHERE = {
    "index": "README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "model-card": "aiida_pet/models/pet-common-xs.md",
}
"""Page -> file of the repository that is its beginning."""
_PAGES = {name: page for page, name in FROM_ELSEWHERE.items()}
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")


def _source(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the file before the page that begins with it, and turn links to files of the repository to their pages."""
    name = FROM_ELSEWHERE.get(page)
    if name is not None:
        source[0] = (ROOT / name).read_text() + "\n" + source[0]
    here = (ROOT / name).parent if name is not None else (ROOT / "docs" / page).parent
    above = "../" * page.count("/")

    def turned(link: re.Match[str]) -> str:
        target, anchor = link[2], link[3] or ""
        words = "" if link[1].endswith(".md") else link[1]  # then the title of the page stands there
        path = (here / target).resolve()
        if not path.is_relative_to(ROOT):
            return link[0]
        inside = path.relative_to(ROOT).as_posix()
        if inside in _PAGES:
            return f"[{words}]({above}{_PAGES[inside]}.md{anchor})"
        if inside.startswith("docs/"):
            return f"[{words}]({above}{inside.removeprefix('docs/')}{anchor})"
        return link[1] if path.exists() else link[0]  # a file that is no page

    source[0] = _LINK.sub(turned, source[0])


def _leave_out(app: object, what: str, name: str, obj: object, *_: object) -> bool | None:
    """Leave out the pydantic models by which AiiDA describes nodes: their docstrings are pydantic's."""
    if isinstance(obj, type) and issubclass(obj, BaseModel):
        return True
    return None


def setup(app: Sphinx) -> None:
    """Load a profile in memory: AiiDA wants one before it describes a process."""
    load_profile(SqliteTempBackend.create_profile("docs", debug=False), allow_switch=True)
    app.connect("autodoc-skip-member", _leave_out)
    app.connect("source-read", _source)
