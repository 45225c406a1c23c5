"""Builders that say in a line, or in a table of a notebook, what is going to be launched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_pet.words import cell


class SpeakingBuilder(ProcessBuilder):
    """AiiDA's builder, with its inputs in words where Python or a notebook prints it."""

    def __repr__(self) -> str:
        inputs = "; ".join(f"{name} {text}" for name, text in self._told())
        return f"<builder of {self._process_class.__name__}: {inputs or 'no inputs yet'}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in self._told()
        )
        head = f"<p>{escape(self._process_class.__name__)}, to be submitted with</p>"
        return f"{head}<table><tbody>{rows}</tbody></table>"

    def _told(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each input that is set, and its value in words."""
        for name, value in self.items():
            text = told_input(value)
            if text:
                yield name, text


def told_input(value: Any) -> str:
    """Return an input in words; empty for a namespace without any.

    >>> told_input({"gpus": 1, "parameters": {"fmax": 0.01}})
    'gpus=1, parameters={fmax=0.01}'
    """
    if isinstance(value, orm.Dict):
        value = value.get_dict()
    if isinstance(value, Mapping):
        told = {name: told_input(one) for name, one in value.items()}
        found = (
            f"{name}={{{told[name]}}}" if isinstance(value[name], Mapping) else f"{name}={told[name]}"
            for name in told
        )
        return ", ".join(one for one in found if not one.endswith(("={}", "=")))
    if isinstance(value, orm.AbstractCode):
        return str(value.full_label)
    if isinstance(value, orm.BaseType):
        return cell(value.value)
    return repr(value) if isinstance(value, orm.Node) else cell(value)
