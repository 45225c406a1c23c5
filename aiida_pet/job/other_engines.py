"""The description of a model of another engine: a small JSON file in the place of a checkpoint.

It names a Python callable that returns a model with torch-sim's ``ModelInterface``, the package that it comes from and
its version, and the weights with their SHA-256. So the SHA-256 of the description, which stands on the node and in each
job, stands for all of it. A description names what is run, as a checkpoint does: it is opened only if it is trusted.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from aiida_pet.job.checkpoint import MissingModelError, ModelError, WrongHashError, sha256_of

KOKKOS = "pet_kokkos:Calculator"
"""The one interface that is no ModelInterface: a checkpoint of PET is its weights."""
OUTPUT = "energy"  # the one output; forces and stress are its derivatives, or as good as that


class DescriptionError(ModelError):
    """Raised for a description that is not understood, or of what is not installed."""


class OtherEngine(BaseModel):
    """What a description says.

    :ivar name: name of the model.
    :ivar interface: ``package.module:callable``; called with ``arguments``, the weights, ``device`` and ``dtype``,
        of the last three what it takes, it returns a ``ModelInterface``. :data:`KOKKOS` is evaluated by pet-kokkos.
    :ivar arguments: further keyword arguments.
    :ivar package: distribution that is installed, such as ``mace-torch``.
    :ivar version: version of the package; another one is refused.
    :ivar weights: path of the file on the computer that runs it; None for a model without one.
    :ivar weights_sha256: hexadecimal.
    :ivar weights_argument: keyword that takes the path.
    :ivar elements: symbols or atomic numbers of those it knows.
    :ivar cutoff: largest distance of two atoms that see each other, A.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    interface: Annotated[str, Field(pattern=r"\A[\w.]+:[\w.]+\z")]
    package: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    elements: Annotated[tuple[int, ...], Field(min_length=1)]
    cutoff: Annotated[float, Field(gt=0)]
    arguments: dict[str, Any] = {}
    weights: str | None = None
    weights_sha256: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")] | None = None
    weights_argument: str = "model"
    level_of_theory: str = ""
    licence: str = ""

    @field_validator("elements", mode="before")
    @classmethod
    def _numbers(cls, elements: Any) -> Any:
        if not isinstance(elements, list | tuple):
            return elements
        unknown = [name for name in elements if isinstance(name, str) and name not in chemical_symbols[1:]]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no element")
        return sorted({atomic_numbers[name] if isinstance(name, str) else name for name in elements})

    def model_post_init(self, _: Any) -> None:
        """:raises ValueError: if weights have no hash, or a hash no weights."""
        if (self.weights is None) != (self.weights_sha256 is None):
            raise ValueError(
                "give both weights and weights_sha256, or neither of them (sha256sum FILE computes the hash)"
            )
        if self.interface == KOKKOS and self.weights is None:
            raise ValueError(
                "pet-kokkos evaluates a checkpoint of PET: give its path in weights, and weights_sha256"
            )

    def card(self, sha256: str) -> dict[str, Any]:
        """Return the card of the model, whose description has the hash ``sha256``."""
        return {
            "sha256": sha256,
            "name": self.name,
            "version": f"{self.package} {self.version}",
            "elements": list(self.elements),
            "cutoff": self.cutoff,
            "outputs": [OUTPUT],
            "dtype": "",
            "n_parameters": 0,
            "level_of_theory": self.level_of_theory,
            "licence": self.licence,
        }

    def check_installed(self) -> None:
        """:raises DescriptionError: if the package is not installed, or in another version."""
        try:
            found = metadata.version(self.package)
        except metadata.PackageNotFoundError as error:
            raise DescriptionError(
                f"the model {self.name} needs {self.package} {self.version}, which is not installed where the engine "
                f"runs: install it there (pip install {self.package}=={self.version})"
            ) from error
        if found != self.version:
            raise DescriptionError(
                f"the model {self.name} was described with {self.package} {self.version}, but {found} is installed: "
                "install that version, or import a description with the installed version as a model of its own"
            )

    def checked_weights(self) -> Path | None:
        """Return the file with the weights.

        :raises ModelError: if it is not there or another one.
        """
        if self.weights is None:
            return None
        path = Path(self.weights).expanduser()
        found = sha256_of(path)
        if found != self.weights_sha256:
            raise WrongHashError(
                f"the weights {path} of {self.name} are not the weights of the description: expected sha256 "
                f"{self.weights_sha256}, found {found}"
            )
        return path


def described_for_kokkos(path: Path, card: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the description of a plain PET checkpoint for pet-kokkos, as JSON has it.

    :param path: of the checkpoint on the computer that runs it.
    :param card: of the checkpoint, see :func:`aiida_pet.models.card_of`.
    :param version: of pet-kokkos.
    """
    return {
        "name": f"{card['name']}-kokkos",
        "interface": KOKKOS,
        "package": "pet-kokkos",
        "version": version,
        "weights": str(path),
        "weights_sha256": card["sha256"],
        "elements": [chemical_symbols[number] for number in card["elements"]],
        "cutoff": card["cutoff"],
        "level_of_theory": card["level_of_theory"] or "",
        "licence": card["licence"] or "",
    }


def is_description(content: bytes) -> bool:
    """Say whether ``content`` is a description and no file of weights, some of which begin with a brace too."""
    if content.lstrip()[:1] != b"{":
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return True


def read_description(content: bytes, path: Path | str) -> OtherEngine:
    """Return the description with the bytes ``content``.

    :param path: path of the file, for messages.
    :raises DescriptionError: naming what is wrong.
    """
    try:
        return OtherEngine(**json.loads(content))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise DescriptionError(f"the model {path} is not valid JSON: {error}") from error
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in error.errors()
        )
        raise DescriptionError(
            f"the model {path} has a wrong description: {said} (docs/engines.md says what a description holds)"
        ) from error


def description_of(path: Path) -> OtherEngine | None:
    """Return what the description ``path`` says; None if the file is none.

    :raises ModelError: if it cannot be read, or is one that is not understood.
    """
    content = _description(path)
    return read_description(content, path) if content else None


def description_card(path: Path) -> dict[str, Any] | None:
    """Return the card of the description ``path``; None if the file is none.

    :raises ModelError: if it cannot be read, or is one that is not understood.
    """
    content = _description(path)
    return read_description(content, path).card(hashlib.sha256(content).hexdigest()) if content else None


def _description(path: Path) -> bytes:
    """Return the description ``path``; nothing if the file is none.

    :raises MissingModelError: if it cannot be read.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(64)
            content = start + handle.read() if is_description(start) else b""
            return content if is_description(content) else b""
    except OSError as error:
        raise MissingModelError(f"cannot read the model {path}: {error.strerror or error}") from error
