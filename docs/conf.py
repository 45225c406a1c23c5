"""Sphinx makes the site of these pages: ``make docs`` writes it to ``build/docs``; any warning fails it.

The pages in ``notebooks/`` are run by MyST-NB, each in an AiiDA folder of its own, with a daemon of its own, that are
gone when Sphinx ends. ``-D nb_execution_mode=off`` makes the site without running them.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiida import load_profile
from aiida.storage.sqlite_temp import SqliteTempBackend
from myst_nb.core import render
from myst_nb.core.utils import coalesce_streams
from pydantic import BaseModel
from sphinx.application import Sphinx

from aiida_pet import __version__

project = "aiida-pet"
author = "The aiida-pet developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "aiida.sphinxext"]
root_doc = "index"
exclude_patterns: list[str] = []

HOME = Path(tempfile.mkdtemp(prefix="aiida-pet-docs-"))
"""Where the notebooks have their profiles."""
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1200  # s, of a cell
nb_merge_streams = True


def whole_streams(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the parts of each stream as they came, and merge them as MyST-NB does.

    ``%%bash`` hands on what it reads in parts of 100 bytes. MyST-NB alone would end a line after each part.
    """
    kept: list[dict[str, Any]] = []
    firsts: dict[str, dict[str, Any]] = {}
    for output in outputs:
        if output["output_type"] == "stream" and output["name"] in firsts:
            firsts[output["name"]]["text"] += output["text"]
            continue
        if output["output_type"] == "stream":
            firsts[output["name"]] = output
        kept.append(output)
    return coalesce_streams(kept)


render.coalesce_streams = whole_streams
nb_mime_priority_overrides = [("html", "text/html", 0), ("html", "image/svg+xml", 1)]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
nitpicky = False  # types of numpy, torch and AiiDA are not documented here

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["notebooks.css"]
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


def _own_folder(page: str) -> None:
    """Give what runs next, the notebook ``page``, an AiiDA folder of its own."""
    folder = HOME / page.replace("/", "-")
    folder.mkdir(exist_ok=True)
    os.environ["AIIDA_PATH"] = str(folder)


def _clean_up() -> None:
    """Stop the daemons of the notebooks and remove their folders."""
    for folder in HOME.glob("*/.aiida"):
        command = [sys.executable, "-m", "aiida", "daemon", "stop"]
        environment = os.environ | {"AIIDA_PATH": str(folder.parent)}
        subprocess.run(command, env=environment, check=False, capture_output=True, timeout=120)
    shutil.rmtree(HOME, ignore_errors=True)


def _source(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the file before the page that begins with it, and turn links to files of the repository to their pages."""
    if page.startswith("notebooks/"):
        _own_folder(page)
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
    atexit.register(_clean_up)
    os.environ |= {
        "IPYTHONDIR": str(HOME / "ipython"),  # no start-up files of the user
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    config = HOME / "ipython" / "profile_default" / "ipython_kernel_config.py"
    config.parent.mkdir(parents=True)
    config.write_text('c.InlineBackend.figure_formats = {"svg"}\n')
    load_profile(SqliteTempBackend.create_profile("docs", debug=False), allow_switch=True)
    app.connect("autodoc-skip-member", _leave_out)
    app.connect("source-read", _source)
