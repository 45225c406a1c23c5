"""The page docs/protocols.md, made of the YAML.

``python -m aiida_pet.workchains.protocols.page > docs/protocols.md`` writes it.
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from aiida_pet.job.parameters import describe_parameters
from aiida_pet.job.tasks import Task, task_names
from aiida_pet.tables.page import markdown_table
from aiida_pet.workchains.protocols import ALIASES, available_protocols, default_protocol, protocol_inputs

_HEAD = """# Protocols

<!-- This page is made by `python -m aiida_pet.workchains.protocols.page > docs/protocols.md`. Change the YAML, not the
page. -->

A protocol is a named set of parameters. Choose a protocol with `--protocol NAME` on the command line, or with
`get_builder_from_protocol(..., protocol="NAME")` in Python. `--set NAME=VALUE` and `overrides` change single values. A
protocol sets only parameters; what a job asks the queue for depends on the computer.

{aliases}

The tables below list the parameters that differ from the default in at least one protocol. `aiida-pet params relax`
prints all parameters of a relaxation with their meaning. The YAML files in `workchains/protocols/` give the source of
each number.
"""


def page() -> str:
    """Return the text of docs/protocols.md."""
    others = " and ".join(f"`{alias}` means `{name}`" for alias, name in ALIASES.items())
    parts = [_HEAD.format(aliases=f"The names that aiida-quantumespresso uses work too: {others}.")]
    parts += [_section(Task(name)) for name in task_names()]
    return "".join(parts)


def _section(task: Task) -> str:
    """Return title, descriptions and values of the protocols of ``task``."""
    found = available_protocols(task)
    sets = {name: protocol_inputs(task, name).parameters for name in found}
    taken = {default_protocol(task): " (the default)"}
    lines = [f"- `{name}`{taken.get(name, '')}: {text}" for name, text in found.items()]
    told = "".join(f"{textwrap.fill(line, 120, subsequent_indent='  ')}\n" for line in lines)
    rows = [
        (f"`{name}`", unit, _code(default), *(_value(sets[one].get(name)) for one in found))
        for name, default, unit, _ in describe_parameters(task)
        if any(_value(values.get(name)) not in ("", _code(default)) for values in sets.values())
    ]
    headers = ("parameter", "unit", "default", *(f"`{name}`" for name in found))
    return f"\n## {task.value}\n\n{told}\n{markdown_table(headers, rows)}"


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return _code(", ".join(map(str, value)))
    return _code(str(value))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(page())
