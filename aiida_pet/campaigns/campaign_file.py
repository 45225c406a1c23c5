"""A screening as a file: what is screened, with which model, stages and resources; read, checked and written back.

The file is YAML and can be kept under version control. A message names the line of what is wrong in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aiida_pet.campaigns.errors import CampaignError
from aiida_pet.names import PROTOCOL_FILES
from aiida_pet.words import did_you_mean

HEADER = (
    "# A screening of aiida-pet: `aiida-pet launch screen THIS_FILE` starts it; with --dry-run it only prints jobs, "
    "time and memory.\n"
)
_PROTOCOL = "protocol"  # option of a stage
_RESOURCES = ("gpus", "gpu_type", "cpus_per_gpu", "cpus", "memory", "walltime", "account", "partition", "qos")


class CampaignFileError(CampaignError):
    """Raised for a campaign file that cannot be read; names the file, the line, the value and what was expected."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SetOfFile(_Strict):
    """The crystals: the node if the profile has it, else the files, else the label."""

    label: str = ""
    uuid: str = ""
    files: list[str] = Field(default_factory=list)


class ModelOfFile(_Strict):
    """The model, by the hash of its checkpoint if that is given."""

    name: str = ""
    version: str | None = None
    sha256: str = ""


class CampaignFile(_Strict):
    """What a campaign file says.

    :ivar set_: label or pk of a set, or files.
    :ivar stages: stage -> options: ``parameters``, ``keep`` and those of the stage itself.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    label: str = ""
    set_: str | int | list[str] | SetOfFile = Field(alias="set")
    model: str | int | ModelOfFile = ""
    code: str = ""
    protocol: str | None = None
    stages: dict[str, dict[str, Any] | None] = Field(min_length=1)
    references: list[str] = Field(default_factory=list)
    level_of_theory: str = ""
    level: str | None = None
    relax_references: str | None = None
    reuse: bool = True
    lanes: int = Field(1, ge=1)
    job_size: int | None = Field(None, ge=1)
    job_duration: str | int | None = None
    clean_workdir: bool | None = None
    resources: dict[str, str | int] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)

    def overrides(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Return stage -> options, an empty dictionary for a stage without any.

        :param folder: folder of the campaign file, from which files of protocols are seen.
        """
        found = {stage: dict(options or {}) for stage, options in self.stages.items()}
        for options in found.values():
            name = options.get(_PROTOCOL)
            if isinstance(name, str) and name.endswith(PROTOCOL_FILES):
                options[_PROTOCOL] = _seen_from(folder, name)
        return found

    def model_name(self) -> str | None:
        """Return what names the model: its hash before its name; None for the one that ships."""
        if isinstance(self.model, ModelOfFile):
            return self.model.sha256 or self.model.name or None
        return str(self.model) or None

    def targets(self, folder: Path) -> tuple[str, ...]:
        """Return what names the crystals, in order of trust: files as paths.

        :param folder: folder of the campaign file, from which paths are seen.
        """
        if isinstance(self.set_, SetOfFile):
            return tuple(_seen_from(folder, name) for name in self.set_.files) or (self.set_.label,)
        names = self.set_ if isinstance(self.set_, list) else [str(self.set_)]
        return tuple(_seen_from(folder, name) for name in names)


def _seen_from(folder: Path, name: str) -> str:
    path = folder / name
    return str(path) if path.exists() and not name.isdecimal() else name


class Lines:
    """Lines of a YAML file by the way to each key: ``("stages", "relax", "keep")``."""

    def __init__(self, path: Path, text: str) -> None:
        """Find the lines.

        :raises CampaignFileError: if the text is no YAML, or a key stands twice.
        """
        self._path = path
        self._lines: dict[tuple[Any, ...], int] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = mark.line + 1 if mark is not None else 1
            raise CampaignFileError(f"{path}, line {line}: not YAML: {error.problem}") from error
        if not isinstance(root, yaml.MappingNode):
            raise CampaignFileError(
                f"{path}, line 1: expected `name: value` lines, such as `set: alloys.xyz`"
            )
        self._walk(root, ())

    def _walk(self, node: yaml.Node, way: tuple[Any, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*way, key.value)
                if here in self._lines:
                    raise self.error(here, f"{key.value} stands in the file twice", key.start_mark.line + 1)
                self._lines[here] = key.start_mark.line + 1
                self._walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for place, item in enumerate(node.value):
                self._lines[*way, place] = item.start_mark.line + 1
                self._walk(item, (*way, place))

    def of(self, way: tuple[Any, ...]) -> int:
        """Return the line of the key at the end of ``way``, or of the last one on it that there is."""
        known = (way[:length] for length in range(len(way), 0, -1))
        return next((self._lines[one] for one in known if one in self._lines), 1)

    def of_words(self, message: str) -> int:
        """Return the line of the deepest key that ``message`` names, of a stage if it can."""
        named = [way for way in self._lines if re.search(rf"(?<!\w){re.escape(str(way[-1]))}(?!\w)", message)]
        stages = [way for way in named if way[0] == "stages" and len(way) > 1]
        return self._lines[max(stages or named, key=len)] if named else 1

    def error(self, way: tuple[Any, ...], what: str, line: int | None = None) -> CampaignFileError:
        """Return the error that says ``what`` is wrong at the end of ``way``."""
        return CampaignFileError(f"{self._path}, line {line or self.of(way)}: {what}")


def read_campaign(path: Path) -> tuple[CampaignFile, Lines]:
    """Return what a campaign file says, and where it says it.

    :raises CampaignFileError: if it cannot be read, or holds what is unknown, naming the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CampaignFileError(f"{path}: not a text in UTF-8") from error
    lines = Lines(path, text)
    document = yaml.safe_load(text)
    try:
        found = CampaignFile.model_validate(document)
    except ValidationError as error:
        raise _worded(error, lines) from error
    for name in found.resources:
        if name not in _RESOURCES:
            hint = did_you_mean(name, _RESOURCES)
            raise lines.error(
                ("resources", name), f"{name}: unknown{hint}; known are {', '.join(_RESOURCES)}"
            )
    return found, lines


def _worded(error: ValidationError, lines: Lines) -> CampaignFileError:
    """Return the first thing that is wrong, in words."""
    # of the alternatives of a value, the one that went deepest is what was meant
    first = max(error.errors(), key=lambda one: (one["type"] == "extra_forbidden", len(one["loc"])))
    way = tuple(part for part in first["loc"] if part not in ("str", "int", "list[str]", *_KINDS))
    name = str(way[-1]) if way else ""
    if first["type"] == "extra_forbidden":
        model = _KINDS.get(str(first["loc"][-2]), CampaignFile) if len(first["loc"]) > 1 else CampaignFile
        known = [info.alias or field for field, info in model.model_fields.items()]
        return lines.error(way, f"{name}: unknown{did_you_mean(name, known)}; known are {', '.join(known)}")
    if first["type"] == "missing":
        return lines.error(way, f"{name} is missing")
    return lines.error(way, f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {first['input']!r}")


_KINDS: Mapping[str, type[BaseModel]] = {"SetOfFile": SetOfFile, "ModelOfFile": ModelOfFile}


def text_of(campaign: CampaignFile) -> str:
    """Return ``campaign`` as the text of a file, without what is as it would be anyway."""
    document = campaign.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
