"""``python -m benchmarks.recipe.card MODEL.ckpt --check check.json -o aiida_pet/models``: the model, as it ships.

Writes the checkpoint without what only training needs, and its card, as JSON for programs and as a page for people.
The figures are those that ``python -m benchmarks.model_check MODEL.ckpt`` found for the same file; all else that the
card says is in ``about.yaml``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import yaml
from ase.data import chemical_symbols
from ase.units import GPa

from aiida_pet.job.checkpoint import TRAINED_PAIRS, UNCERTAINTY_LIMIT, inspect_checkpoint, sha256_of
from aiida_pet.training.checkpoints import about_of, write_model

HERE = Path(__file__).parent
MAX_BYTES = 10_000_000
DIGITS = 5  # significant, of figures on the card
JUDGED = ("held-out", "references", "phases")
"""Parts of a check that say what was asked and whether it was reached."""
PARTS = (*JUDGED, "moduli")
KEPT_FACTS = (TRAINED_PAIRS, UNCERTAINTY_LIMIT)
"""What a training wrote into the checkpoint and warnings need."""
_VERSIONED = ("metatrain", "metatomic-torch", "torch")
_STAYS = ("data", "frames", "crystals", "stages", "limits", "not_for", "authors", "references", "description")


class CardError(ValueError):
    """Raised when no card can be written: the check is of another file or lacks a part, or the model is too large."""


def about() -> dict[str, Any]:
    """Return ``about.yaml``."""
    found: dict[str, Any] = yaml.safe_load((HERE / "about.yaml").read_text())
    return found


def ship(source: Path, check: Mapping[str, Any], folder: Path) -> Path:
    """Write checkpoint, card and page of the model ``source`` to ``folder``; return the checkpoint.

    :param check: what ``benchmarks.model_check`` found for ``source``.
    :raises CardError: if the check is of another file or lacks a part, or the checkpoint is above 10 MB.
    :raises aiida_pet.job.checkpoint.ModelError: if ``source`` is no checkpoint of PET.
    """
    sha256 = sha256_of(source)
    _check_the_check(check, sha256, source)
    said = about()
    target = folder / f"{said['name']}.ckpt"
    facts = about_of(source, sha256).get("extra", {})
    extra = {key: facts[key] for key in KEPT_FACTS if key in facts}
    extra |= {key: str(said[key]) for key in ("version", "level_of_theory", "licence")}
    write_model(
        source,
        target,
        {key: said[key] for key in ("name", "description", "authors", "references")} | {"extra": extra},
    )
    size = target.stat().st_size
    if size > MAX_BYTES:
        target.unlink()
        raise CardError(
            f"{source} makes a model of {size / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB ship"
        )
    card = inspect_checkpoint(target, sha256_of(target))
    card |= {key: said[key] for key in _STAYS}
    card |= {"file": target.name, "bytes": size, "versions": {name: version(name) for name in _VERSIONED}}
    card["evaluation"] = rounded({part: check[part] for part in PARTS})
    target.with_suffix(".json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    target.with_suffix(".md").write_text(render(card))
    return target


def _check_the_check(check: Mapping[str, Any], sha256: str, source: Path) -> None:
    if check.get("sha256") != sha256:
        raise CardError(
            f"the check is of the file with sha256 {check.get('sha256')}, and {source} has {sha256}: "
            "run `python -m benchmarks.model_check` on this file"
        )
    missing = [part for part in PARTS if part not in check]
    if missing:
        raise CardError(f"the check of {source} lacks {', '.join(missing)}: run it with all parts")


def rounded(value: Any) -> Any:
    """Return ``value`` with its numbers to five significant digits, and None for those that are not finite."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


# -- the page for people -------------------------------------------------------------------------------------------


def render(card: Mapping[str, Any]) -> str:
    """Return the Markdown of ``card``."""
    found = card["evaluation"]
    verdicts = [verdict for part in JUDGED for verdict in found[part]["verdicts"]]
    elements = [chemical_symbols[number] for number in card["elements"]]
    return Template((HERE / "card_template.md").read_text()).substitute(
        {key: card[key] for key in ("name", "version", "description", "level_of_theory", "dtype")},
        file=card["file"],
        sha256=card["sha256"],
        licence=card["licence"],
        n_elements=len(elements),
        elements=", ".join(elements),
        outputs=", ".join(f"`{name}`" for name in card["outputs"]),
        n_parameters=f"{card['n_parameters']:,}",
        cutoff=f"{card['cutoff']:g}",
        megabytes=f"{card['bytes'] / 1e6:.2f}",
        n_reached=sum(verdict["reached"] for verdict in verdicts),
        n_asked=len(verdicts),
        verdict_table=_verdict_table(verdicts),
        error_table=_error_table(found["held-out"]["errors"]),
        element_table=_element_table(found["held-out"]["errors"], elements),
        reference_table=_reference_table(found["references"]),
        n_binaries=len(found["moduli"]["crystals"]),
        bulk=found["moduli"]["bulk"],
        shear=found["moduli"]["shear"],
        limits=_list(card["limits"]),
        not_for=_list(card["not_for"]),
        data="\n\n".join(_source(one) for one in card["data"]),
        stages="\n".join(
            f"| {one['name']} | {one['made_by']} | {one['what']} | {one['epochs'] or '-'} |"
            for one in card["stages"]
        ),
        versions=", ".join(f"{name} {number}" for name, number in card["versions"].items()),
        **{f"n_{name}": f"{count:,}" for name, count in card["frames"].items()},
        **{f"crystals_{name}": f"{count:,}" for name, count in card["crystals"].items()},
    )


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _source(data: Mapping[str, str]) -> str:
    return (
        f"**{data['name'][0].upper()}{data['name'][1:]}**: {data['what']}. Labels: {data['method']}. "
        f"Source: {data['reference']}. Licence: {data['licence']}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    # |z| is one cell, not three
    cells = [[str(value).replace("|", "\\|") for value in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def _verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> str:
    rows = [[one["asked"], one["found"], "yes" if one["reached"] else "**no**"] for one in verdicts]
    lines = _table(["asked", "found", "reached"], rows).splitlines()
    return "\n".join([lines[0], "| --- | --- | --- |", *lines[2:]])


def _pair(row: Mapping[str, Any], name: str, scale: float, digits: int) -> str:
    both = [row.get(f"{name}_{kind}") for kind in ("mae", "rmse")]
    return " / ".join("-" if value is None else f"{scale * value:.{digits}f}" for value in both)


_COLUMNS = (
    ("energy", "energy (meV/atom)", 1e3, 1),
    ("forces", "forces, conservative (meV/Å)", 1e3, 0),
    ("direct_forces", "forces, direct (meV/Å)", 1e3, 0),
    ("stress", "stress, conservative (GPa)", 1 / GPa, 2),
    ("direct_stress", "stress, direct (GPa)", 1 / GPa, 2),
)
"""Quantity, head of its column, the card's unit in ASE's, digits."""


def _error_rows(rows: Sequence[tuple[str, Mapping[str, Any]]], first: str) -> str:
    head = [first, "frames", *(title for _, title, _, _ in _COLUMNS)]
    return _table(
        head,
        [
            [
                name,
                row["n_rows"],
                *(_pair(row, column, scale, digits) for column, _, scale, digits in _COLUMNS),
            ]
            for name, row in rows
        ],
    )


def _error_table(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return errors of all frames and of those of each kind."""
    chosen = [(row["id"], row) for row in errors if row["part"] == "all" or row["part"].startswith("kind ")]
    return _error_rows(chosen, "frames of")


def _element_table(errors: Sequence[Mapping[str, Any]], elements: Sequence[str]) -> str:
    by_part = {row["part"]: row for row in errors if row["set"] == errors[0]["set"]}
    return _error_rows([(symbol, by_part[symbol]) for symbol in elements if symbol in by_part], "element")


def _reference_table(found: Mapping[str, Any]) -> str:
    def share(value: float | None, digits: int = 0) -> str:
        return "-" if value is None else f"{100 * value:+.{digits}f} %"

    rows = [
        [
            one["name"],
            share(one["volume"], 1),
            share(one["bulk_modulus"]),
            share(one["max_frequency"]),
            "yes" if one["imaginary"] else "",
            "-" if one["departure"] is None else f"{100 * one['departure']:.0f} %",
        ]
        for one in found["references"]
    ]
    rows += [
        [name, "", "", "", "", f"{100 * one['departure']:.0f} %"]
        for name, one in found["orderings"].items()
        if one["departure"] is not None
    ]
    head = ["crystal", "volume", "K", "highest frequency", "new imaginary modes", "departure of local K"]
    return _table(head, rows)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.card", description=__doc__)
    parser.add_argument("model", type=Path, help="checkpoint of `aiida-pet model export`; it is opened")
    parser.add_argument(
        "--check", type=Path, required=True, help="what benchmarks.model_check wrote for this file"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("aiida_pet/models"), help="folder to write to (%(default)s)"
    )
    given = parser.parse_args()
    try:
        target = ship(given.model, json.loads(given.check.read_text()), given.output)
    except CardError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, sha256 {sha256_of(target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
