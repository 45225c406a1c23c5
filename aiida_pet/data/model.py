"""PetModelData: a PET checkpoint as one node, which only its SHA-256 identifies.

Nothing here opens a checkpoint: that is done by :mod:`aiida_pet.models`, after the hash was found known or
trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Self

from aiida import orm
from aiida.common.exceptions import ValidationError
from ase.data import atomic_numbers

from aiida_pet.words import plural

FILE_NAME = "model.ckpt"

_DESCRIPTION = (
    "name",
    "version",
    "elements",
    "cutoff",
    "outputs",
    "dtype",
    "n_parameters",
    "level_of_theory",
    "licence",
)
# without these no calculation can check its input
_REQUIRED = ("name", "elements", "outputs")


class PetModelData(orm.SinglefileData):
    """A PET checkpoint; the file in the node is always called ``model.ckpt``.

    Attributes: ``sha256`` of the file; ``name``, ``version``, ``elements`` (atomic numbers), ``cutoff`` (A),
    ``outputs`` (names of the model's outputs), ``dtype``, ``n_parameters``, ``level_of_theory``, ``licence``;
    None where unknown.

    .. code-block:: python

        from aiida_pet import models
        from aiida_pet.data import PetModelData

        model = PetModelData.from_file(models.embedded_path())  # the node that there is already, if there is one
        print(model.name, model.sha256)
    """

    # the content decides: another card for the same file is the same model
    _hash_ignored_attributes = (*orm.SinglefileData._hash_ignored_attributes, *_DESCRIPTION)

    @classmethod
    def from_card(cls, path: str | Path, card: Mapping[str, Any], **kwargs: Any) -> Self:
        """Return an unstored node with the checkpoint ``path`` and the description ``card``; the checkpoint is not
        opened.

        :param card: ``name``, ``elements`` (atomic numbers or symbols), ``outputs``; the other attributes if
            known.
        :raises ValueError: if the card lacks a key, or belongs to another file.
        """
        path = Path(path).resolve()
        sha256 = _sha256(path)
        if card.get("sha256") not in (None, sha256):
            raise ValueError(
                f"{path} has sha256 {sha256}, but its card belongs to the file with {card['sha256']}"
            )
        missing = [key for key in _REQUIRED if card.get(key) is None]
        if missing:
            raise ValueError(
                f"the card of {path} lacks {', '.join(missing)}: expected {', '.join(_DESCRIPTION)}"
            )
        node = cls(file=path, filename=FILE_NAME, **{"label": str(card["name"])[:255]} | kwargs)
        node.base.attributes.set("sha256", sha256)
        for key in _DESCRIPTION:
            node.base.attributes.set(key, _atomic_numbers(card[key]) if key == "elements" else card.get(key))
        return node

    @classmethod
    def get_or_create(cls, path: str | Path, card: Mapping[str, Any]) -> Self:
        """Return the stored node of the file ``path``: the existing node, or otherwise a new node with ``card``.

        :raises ValueError: if the card lacks a key, or belongs to another file.
        """
        node = cls.from_card(path, card)
        found = cls.find(node.sha256)
        return found if found is not None else node.store()

    @classmethod
    def find(cls, sha256: str) -> Self | None:
        """Return the oldest stored node of the file with this SHA-256, or None if there is none."""
        query = orm.QueryBuilder().append(cls, filters={"attributes.sha256": sha256}, tag="model")
        query.order_by({"model": {"id": "asc"}}).limit(1)
        return query.first(flat=True)

    @classmethod
    def from_file(cls, path: str | Path, trust: bool = False) -> Self:
        """Return the stored node of the checkpoint ``path``; equal content is one node.

        :param trust: take a file of unknown hash. A checkpoint is a program, and looking into it runs it.
        :raises UntrustedModelError: if the hash is unknown and ``trust`` is False; nothing was opened.
        :raises ModelError: if the file is missing, incomplete or no checkpoint, or if torch is needed and not
            installed.
        """
        from aiida_pet import models  # noqa: PLC0415 - data needs it for this alone

        return cls.get_or_create(path, models.card_of(Path(path), trust=trust))

    @property
    def sha256(self) -> str:
        """SHA-256 of the checkpoint, hexadecimal."""
        return str(self.base.attributes.get("sha256"))

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.base.attributes.get("name"))

    @property
    def version(self) -> str | None:
        """Version of the model, None if unknown."""
        version = self.base.attributes.get("version", None)
        return None if version is None else str(version)

    @property
    def elements(self) -> list[int]:
        """Atomic numbers of the elements that the model knows, ascending."""
        return list(self.base.attributes.get("elements"))

    @property
    def outputs(self) -> list[str]:
        """Names of the model's outputs."""
        return list(self.base.attributes.get("outputs"))

    def __repr__(self) -> str:
        card = self.base.attributes.all
        name = " ".join(str(card[key]) for key in ("name", "version") if card.get(key))
        known = [plural(len(card.get("elements") or ()), "element"), card.get("level_of_theory")]
        known.append(f"sha256 {str(card.get('sha256', ''))[:12]}")
        pk = self.pk if self.is_stored else "not stored"
        return f"<{type(self).__name__} {pk} {name}: {', '.join(part for part in known if part)}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"

    def _validate(self) -> bool:
        super()._validate()  # type: ignore[no-untyped-call]
        if self.filename != FILE_NAME:
            raise ValidationError(f"the checkpoint must be stored as {FILE_NAME}, got {self.filename!r}")
        missing = [key for key in ("sha256", *_REQUIRED) if self.base.attributes.get(key, None) is None]
        if missing:
            raise ValidationError(f"a PetModelData needs {', '.join(missing)}: make it with from_file")
        with self.open(mode="rb") as handle:
            found = hashlib.sha256()
            while block := handle.read(1 << 20):
                found.update(block)
        if found.hexdigest() != self.sha256:
            raise ValidationError(f"sha256 is {self.sha256}, but the content has {found.hexdigest()}")
        return True


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _atomic_numbers(elements: Any) -> list[int]:
    """:raises ValueError: if an element is unknown."""
    numbers = []
    for element in elements:
        number = atomic_numbers.get(element, 0) if isinstance(element, str) else int(element)
        if not 1 <= number <= 118:
            raise ValueError(f"elements of a card must be atomic numbers or symbols, got {element!r}")
        numbers.append(number)
    return sorted(set(numbers))
