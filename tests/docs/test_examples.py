"""Every function of the Python reference has an example: run as a doctest, or compiled where it needs a profile."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

API = Path(__file__).parents[2] / "docs" / "api"
WHOLE = re.compile(r"^\.\. automodule:: ([\w.]+)$", re.MULTILINE)
SINGLE = re.compile(r"^\.\. auto(?:function|class):: ([\w.]+)\.(\w+)$", re.MULTILINE)
WORKCHAIN = re.compile(r"^\.\. aiida-workchain:: (\w+)\n   :module: ([\w.]+)$", re.MULTILINE)
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of what the reference shows, as far as somebody calls it."""
    for page in sorted(API.glob("*.md")):
        text = page.read_text()
        for module_name in WHOLE.findall(text):
            module = importlib.import_module(module_name)
            for name in getattr(module, "__all__", ()):
                if inspect.isfunction(getattr(module, name)):
                    yield f"{module_name}.{name}", getattr(module, name)
        for module_name, name in SINGLE.findall(text):
            yield f"{module_name}.{name}", getattr(importlib.import_module(module_name), name)
        for name, module_name in WORKCHAIN.findall(text):
            made = getattr(importlib.import_module(module_name), name)
            if hasattr(made, "get_builder_from_protocol"):
                yield f"{module_name}.{name}", made.get_builder_from_protocol


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    pytest.importorskip("matplotlib")
    return dict(documented())


def test_every_function_of_the_reference_has_an_example(found: dict[str, Any]) -> None:
    assert len(found) > 70
    texts = {name: inspect.getdoc(one) or "" for name, one in found.items()}
    without = [name for name, text in texts.items() if ">>> " not in text and not BLOCK.search(text + "\n")]
    assert without == []


def test_examples_that_need_a_profile_compile(found: dict[str, Any]) -> None:
    blocks = 0
    for name, one in found.items():
        for block in BLOCK.findall((inspect.getdoc(one) or "") + "\n"):
            compile(textwrap.dedent(block), name, "exec")
            blocks += 1
            for module_name, names in re.findall(
                r"^    from (aiida_pet[\w.]*) import (.+)$", block, re.MULTILINE
            ):
                module = importlib.import_module(module_name)
                assert [each for each in names.split(", ") if not hasattr(module, each)] == [], name
    assert blocks > 20


def test_other_examples_run_without_a_profile(found: dict[str, Any]) -> None:
    runner, finder = doctest.DocTestRunner(optionflags=OPTIONS), doctest.DocTestFinder(recurse=False)
    for name, one in found.items():
        module = sys.modules[one.__module__]
        for test in finder.find(one, name, module=module, globs=dict(vars(module))):
            runner.run(test)
    assert runner.tries > 50
    assert runner.failures == 0
