"""The published PET models by name: what they were trained for, and the SHA-256 of their files where it is known.

The table is ``registry.yaml``, where each fact names its source. Free of torch and of any network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from aiida_pet.job.checkpoint import ModelError
from aiida_pet.words import did_you_mean

# As upet names its files: `upet._models.CHECKPOINT_NAME_PATTERN`.
_FILE_NAME = re.compile(r"^(?P<name>pet-\w+-(?:xs|s|m|l|xl))-v?(?P<version>\d+\.\d+\.\d+)\.ckpt$")


class UnknownModelError(ModelError):
    """Raised for a name or a version that is not in the registry; the message names the nearest."""


@dataclass(frozen=True)
class RegistryEntry:
    """One published model.

    :ivar name: such as ``pet-oam-xl``: family and size.
    :ivar family: such as ``pet-oam``.
    :ivar size: xs, s, m, l or xl.
    :ivar versions: the published versions that are known, oldest first.
    :ivar level_of_theory: level of theory of the newest version.
    :ivar n_elements: number of elements that the newest version knows; its checkpoint says which.
    :ivar heads: version -> what it predicts: ``conservative`` (derivatives of the energy), ``direct`` (forces and
        stress from separate heads), ``uncertainty``.
    :ivar n_parameters: to three figures.
    :ivar cutoff: radius of one message-passing layer, A.
    :ivar training: what it was trained on.
    :ivar use: what its authors recommend it for.
    :ivar licence: SPDX identifier.
    :ivar references: DOIs and arXiv numbers to cite.
    :ivar deprecated: whether its authors advise against it for new work.
    :ivar sha256: version -> SHA-256 of its file, if a public record gives it.
    :ivar theories: version -> level of theory, if it differs from the level of the newest version.
    """

    name: str
    family: str
    size: str
    versions: tuple[str, ...]
    level_of_theory: str
    n_elements: int
    heads: Mapping[str, tuple[str, ...]]
    n_parameters: float
    cutoff: float
    training: str
    use: str
    licence: str
    references: tuple[str, ...]
    deprecated: bool = False
    sha256: Mapping[str, str] = field(default_factory=dict)
    theories: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The newest version that is known."""
        return self.versions[-1]

    def theory_of(self, version: str) -> str:
        """Return the level of theory of ``version``."""
        return self.theories.get(version, self.level_of_theory)

    def file_name(self, version: str | None = None) -> str:
        """Return the name of the file of ``version`` (the newest if None) in the repository of the models."""
        return f"{self.name}-v{version or self.version}.ckpt"


def list_models() -> list[RegistryEntry]:
    """Return the published models, in the order of the table.

    >>> "pet-oam-xl" in [entry.name for entry in list_models()]
    True
    """
    return list(_entries().values())


def get_entry(name: str) -> RegistryEntry:
    """Return the published model ``name``, such as ``pet-oam-xl``.

    :raises UnknownModelError: if there is no such model; the message lists similar names.

    >>> entry = get_entry("pet-oam-xl")
    >>> entry.family, entry.size
    ('pet-oam', 'xl')
    """
    entries = _entries()
    if name not in entries:
        raise UnknownModelError(
            f"no published model is called {name!r}{did_you_mean(name, entries)}: known names are {', '.join(entries)}"
        )
    return entries[name]


def split_file_name(file_name: str) -> tuple[str, str] | tuple[None, None]:
    """Return (name, version) of a file named as published ones are, such as ``pet-mad-s-v1.6.0.ckpt``."""
    found = _FILE_NAME.match(file_name)
    return (found["name"], found["version"]) if found else (None, None)


@lru_cache(maxsize=1)
def _entries() -> dict[str, RegistryEntry]:
    table: dict[str, Any] = yaml.safe_load((files("aiida_pet.models") / "registry.yaml").read_text())
    entries = {}
    for family, facts in table["families"].items():
        for size, per_version in facts["sizes"].items():
            entry = _entry(family, size, facts, per_version, table["sizes"][size])
            entries[entry.name] = entry
    return entries


def _entry(
    family: str,
    size: str,
    facts: Mapping[str, Any],
    per_version: Mapping[str, Mapping[str, Any] | None],
    budget: Mapping[str, Any],
) -> RegistryEntry:
    known = {version: values or {} for version, values in per_version.items()}
    return RegistryEntry(
        name=f"{family}-{size}",
        family=family,
        size=size,
        versions=tuple(known),
        level_of_theory=facts["level_of_theory"],
        n_elements=facts["n_elements"],
        heads={version: tuple(values.get("heads", facts["heads"])) for version, values in known.items()},
        n_parameters=float(budget["n_parameters"]),
        cutoff=float(budget["cutoff"]),
        training=facts["training"],
        use=facts["use"],
        licence=facts["licence"],
        references=tuple(facts["references"]),
        deprecated=bool(facts.get("deprecated", False)),
        sha256={version: values["sha256"] for version, values in known.items() if values.get("sha256")},
        theories={v: values["level_of_theory"] for v, values in known.items() if "level_of_theory" in values},
    )
