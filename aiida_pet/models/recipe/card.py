"""Evaluate the model and write its card: ``python -m aiida_pet.models.recipe.card CHECKPOINT --data DIR``.

The card is two files beside the checkpoint, NAME.json for programs and NAME.md for people. The model is run by
metatrain and metatomic-ase, one crystal at a time in float64: nothing of the batched engine that it will serve.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from aiida_pet.job.checkpoint import inspect_checkpoint, sha256_of
from aiida_pet.job.parameters import Derivation
from aiida_pet.models.recipe import errors, properties
from aiida_pet.models.recipe.about import Stage, about, epochs_of, options, resource
from aiida_pet.models.recipe.convert import REPEATED, SOURCE_SUFFIX, SPLITS, group_of, read_split

LOGGER = logging.getLogger(__name__)

N_ROTATED, N_ROTATIONS, SEED = 6, 10, 20261120
_VERSIONED = ("metatrain", "metatomic-torch", "torch")


def build_card(checkpoint: Path, data: Path) -> dict[str, Any]:
    """Return the card of ``checkpoint``, evaluated on the training data in folder ``data``: a few minutes on one core.

    :raises ModelError: if it is no checkpoint.
    :raises DataError: if the data are not there.
    """
    said = about()
    sha256 = sha256_of(checkpoint)
    frames = {split: read_split(data, split) for split in SPLITS}
    described = inspect_checkpoint(checkpoint, sha256)
    return {
        **described,
        **{key: said[key] for key in ("name", "version", "level_of_theory", "licence", "authors")},
        "description": said["description"],
        "file": checkpoint.name,
        "bytes": checkpoint.stat().st_size,
        "data": {
            **said["data"],
            **{f"n_{split}": len(frames[split]) for split in SPLITS},
            "sha256": {split: sha256_of(data / f"{split}{SOURCE_SUFFIX}") for split in SPLITS},
            "repeated": dict(REPEATED),
        },
        "recipe": {
            **{f"{stage.value}_epochs": epochs_of(options(stage)) for stage in Stage},
            "versions": {name: version(name) for name in _VERSIONED},
        },
        "references": said["references"],
        "aim": said["aim"],
        "not_for": said["not_for"],
        "evaluation": evaluate(checkpoint, sha256, frames),
    }


def evaluate(checkpoint: Path, sha256: str, frames: Mapping[str, Sequence[Atoms]]) -> dict[str, Any]:
    """Return errors, elements, orderings and the rest of the card's numbers; units are in their names.

    :param frames: ``train`` and ``validation``; errors are of the latter, DFT properties of both.
    """
    from aiida_pet.engine.model.ase_calculator import pet_calculator  # noqa: PLC0415  imports torch

    calculators = {
        source.value: pet_calculator(checkpoint, sha256, forces=source, stress=source, device="cpu")
        for source in (Derivation.CONSERVATIVE, Derivation.DIRECT)
    }
    conservative = calculators[Derivation.CONSERVATIVE.value]
    LOGGER.info("errors on %d frames", len(frames["validation"]))
    found = errors.by_group(errors.errors_of(frames["validation"], calculators))
    LOGGER.info("elements and orderings")
    known = [*frames["train"], *frames["validation"]]
    dft = {symbol: properties.dft_element(known, symbol) for symbol in properties.ELEMENTS}
    model = {symbol: properties.model_element(conservative, symbol) for symbol in properties.ELEMENTS}
    alloys = [frame for frame in frames["validation"] if group_of(frame.info["config"]) == errors.ALLOYS]
    rotated = alloys[:: max(1, len(alloys) // N_ROTATED)][:N_ROTATED]
    noise = properties.rotation_noise(conservative, rotated, N_ROTATIONS, SEED) if rotated else 0.0
    orderings = [_ordering(conservative, item, dft, model) for item in properties.dft_orderings(known)]
    misses = [row["formation_meV_atom"]["model"] - row["formation_meV_atom"]["dft"] for row in orderings]
    return {
        "dtype": "float64",
        "errors": found,
        "elements": {symbol: _element(dft[symbol], model[symbol]) for symbol in properties.ELEMENTS},
        "niobium_shear_secants_GPa": [round(value, 1) for value in properties.shear_secants(known, "Nb")],
        "orderings": orderings,
        "orderings_rmse_meV_atom": round(float(np.sqrt(np.mean(np.square(misses)))), 1),
        "fcc_above_bcc_eV_atom": {
            symbol: round(properties.fcc_energy(conservative, symbol) - model[symbol].energy, 3)
            for symbol in properties.ELEMENTS
        },
        "rotation_noise_meV_atom": round(noise, 2),
        "rotation_noise_frames": len(rotated),
        "rotation_noise_rotations": N_ROTATIONS,
    }


def _element(dft: properties.Cubic, model: properties.Cubic) -> dict[str, dict[str, float]]:
    def row(item: properties.Cubic) -> dict[str, float]:
        return {
            "a_A": round(item.a, 4),
            "C11_GPa": round(item.c11, 1),
            "C12_GPa": round(item.c12, 1),
            "C44_GPa": round(item.c44, 1),
            "K_GPa": round(item.bulk_modulus, 1),
        }

    return {"dft": row(dft), "model": row(model)}


def _ordering(
    calculator: Any,
    item: properties.Ordering,
    dft: dict[str, properties.Cubic],
    model: dict[str, properties.Cubic],
) -> dict[str, Any]:
    energy, _cell = properties.equilibrium(calculator, item.atoms)
    values = {
        "dft": properties.formation_energy(item.atoms, item.energy, dft),
        "model": properties.formation_energy(item.atoms, energy, model),
    }
    return {
        "name": item.name,
        "formula": item.formula,
        "formation_meV_atom": {source: round(1e3 * value, 1) for source, value in values.items()},
    }


# -- the page for people -------------------------------------------------------------------------------------------


def render(card: Mapping[str, Any]) -> str:
    """Return the Markdown of ``card``."""
    found = card["evaluation"]
    everything = found["errors"]["all"]
    slabs = found["errors"].get(errors.SURFACES, {})
    secants = found["niobium_shear_secants_GPa"]
    template = Template(resource("card_template.md"))
    return template.substitute(
        card,
        elements=", ".join(chemical_symbols[number] for number in card["elements"]),
        outputs=", ".join(f"`{name}`" for name in card["outputs"]),
        n_parameters=f"{card['n_parameters']:,}",
        cutoff=f"{card['cutoff']:g}",
        megabytes=f"{card['bytes'] / 1e6:.2f}",
        **{
            f"data_{key}": card["data"][key]
            for key in ("name", "reference", "repository", "licence", "method")
        },
        n_train=f"{card['data']['n_train']:,}",
        n_validation=card["data"]["n_validation"],
        repeated=max(card["data"]["repeated"].values()),
        **{f"{stage.value}_epochs": card["recipe"][f"{stage.value}_epochs"] for stage in Stage},
        aim_energy=f"{card['aim']['energy_meV_atom']:g}",
        aim_forces=f"{card['aim']['forces_meV_A']:g}",
        got_energy=everything["energy_mae_meV_atom"],
        got_forces=everything["forces_conservative_mae_meV_A"],
        error_table=_error_table(found["errors"]),
        n_slabs=slabs.get("frames", 0),
        slab_error=f"{slabs.get('energy_mae_meV_atom', float('nan')):.0f}",
        rotation_noise=found["rotation_noise_meV_atom"],
        n_rotations=found["rotation_noise_rotations"],
        n_rotated=found["rotation_noise_frames"],
        element_table=_element_table(found["elements"]),
        nb_low=min(secants),
        nb_high=max(secants),
        n_orderings=len(found["orderings"]),
        ordering_rmse=found["orderings_rmse_meV_atom"],
        ordering_table=_ordering_table(found["orderings"]),
        not_for="\n".join(f"- {item}" for item in card["not_for"]),
        fcc_list=", ".join(
            f"{symbol} {value:.2f}" for symbol, value in found["fcc_above_bcc_eV_atom"].items()
        ),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(value) for value in line) + " |" for line in lines)


def _error_table(groups: Mapping[str, Mapping[str, Any]]) -> str:
    def pair(row: Mapping[str, Any], name: str, unit: str, digits: int) -> str:
        return f"{row[f'{name}_mae_{unit}']:.{digits}f} / {row[f'{name}_rmse_{unit}']:.{digits}f}"

    head = ["group", "frames", "energy (meV/atom)"]
    head += [
        f"{what}, {source} ({unit})"
        for what, unit in (("forces", "meV/Å"), ("stress", "GPa"))
        for source in ("conservative", "direct")
    ]
    rows = [
        [
            name,
            row["frames"],
            pair(row, "energy", "meV_atom", 1),
            pair(row, "forces_conservative", "meV_A", 0),
            pair(row, "forces_direct", "meV_A", 0),
            pair(row, "stress_conservative", "GPa", 2),
            pair(row, "stress_direct", "GPa", 2),
        ]
        for name, row in groups.items()
    ]
    return _table(head, rows)


def _element_table(elements: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    keys = {
        "a_A": "a (Å)",
        "C11_GPa": "C11 (GPa)",
        "C12_GPa": "C12 (GPa)",
        "C44_GPa": "C44 (GPa)",
        "K_GPa": "K (GPa)",
    }
    head = ["", *(f"{title}: {source}" for title in keys.values() for source in ("DFT", "model"))]
    rows = [
        [symbol]
        + [
            f"{row[source][key]:.3f}" if key == "a_A" else f"{row[source][key]:.0f}"
            for key in keys
            for source in ("dft", "model")
        ]
        for symbol, row in elements.items()
    ]
    return _table(head, rows)


def _ordering_table(orderings: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            row["formula"],
            row["name"],
            *(f"{row['formation_meV_atom'][source]:.0f}" for source in ("dft", "model")),
        ]
        for row in orderings
    ]
    return _table(["", "ordering", "DFT", "model"], rows)


def write_card(checkpoint: Path, data: Path) -> dict[str, Any]:
    """Evaluate ``checkpoint``, write its card beside it (.json and .md) and return it."""
    card = build_card(checkpoint, data)
    checkpoint.with_suffix(".json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    checkpoint.with_suffix(".md").write_text(render(card))
    LOGGER.info("wrote %s and .md", checkpoint.with_suffix(".json"))
    return card


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m aiida_pet.models.recipe.card", description=__doc__)
    parser.add_argument(
        "checkpoint", type=Path, help="the stripped checkpoint, NAME.ckpt; the card goes beside it"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train.xyz.xz and validation.xyz.xz"
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    write_card(given.checkpoint, given.data)


if __name__ == "__main__":
    main()
