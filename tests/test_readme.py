"""What README and docs say is true: commands and options exist, the Python compiles, the links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aiida_pet.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(aiida-pet [^`]+)`")
SYNOPSIS = re.compile(r"\.\.\.|\[|\|")  # how a command looks, not one to type
FILES = ("alloys.xyz", "FILE", "computer.yaml", "crystals.sc", "phononDB-PBE-structures.extxyz", "mdr")


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of ``page`` in ``language``."""
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def commands(page: Path) -> Iterator[str]:
    """Yield the commands in shell blocks and in running text, without comments."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield shlex.join(words)
    yield from INLINE.findall(BLOCK.sub("", page.read_text()))


def parse(command: click.Command, name: str, words: list[str]) -> click.Context:
    """Parse ``words`` as ``command`` does, down to the last subcommand, and run nothing.

    :raises click.UsageError: for a command, option or value that does not exist.
    """
    context = command.make_context(name, list(words))
    while isinstance(command, click.Group):
        words = [*context._protected_args, *context.args]
        if not words and command.invoke_without_command:
            break
        name, command, rest = command.resolve_command(context, words)
        context = command.make_context(name, rest, parent=context)
    return context


def page_commands(program: str) -> list[tuple[str, str]]:
    found = [(page.name, text) for page in PAGES for text in commands(page) if text.split()[0] == program]
    return [(page, text) for page, text in found if not SYNOPSIS.search(text)]


def test_readme_shows_every_command_of_a_campaign() -> None:
    shown = {text.split()[1] for _, text in page_commands("aiida-pet") if not text.split()[1].startswith("-")}
    assert shown >= {"setup", "data", "model", "launch", "status", "results", "show", "trace", "params"}


@pytest.mark.parametrize(("page", "text"), page_commands("aiida-pet"))
def test_aiida_pet_command_exists_with_its_options(
    page: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).touch()
    try:
        parse(main, "aiida-pet", shlex.split(text)[1:])
    except (click.exceptions.Exit, click.MissingParameter):
        pass  # `--help`; a command that is only named
    except click.UsageError as error:
        pytest.fail(f"{page}: `{text}`: {error.format_message()}")


def test_unknown_option_is_found() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        parse(main, "aiida-pet", ["results", "1", "--nonsense"])


@pytest.mark.parametrize(("page", "text"), page_commands("make"))
def test_make_target_exists(page: str, text: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert text.split()[1] in targets, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile_and_entry_points_exist(page: Path) -> None:
    from importlib.metadata import entry_points

    names = {point.name for point in entry_points() if point.group.startswith("aiida.")}
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")
        assert set(re.findall(r'Factory\("([\w.]+)"\)', block)) <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
