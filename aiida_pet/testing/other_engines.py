"""A model of another engine: torch-sim's Morse potential, as a description names it."""

from __future__ import annotations

from importlib import metadata
from typing import Any

PACKAGE = "torch-sim-atomistic"
MORSE = {
    "sigma": 2.6,
    "epsilon": 0.3,
    "alpha": 3.0,
    "cutoff": 11.0,
}  # A, eV, 1/A, A: nothing is left at the cutoff
"""Arguments of the potential."""


def described_morse() -> dict[str, Any]:
    """Return the description of the potential for copper, silver and gold, as JSON has it."""
    return {
        "name": "morse",
        "interface": "aiida_pet.testing.other_engines:morse",
        "arguments": dict(MORSE),
        "package": PACKAGE,
        "version": metadata.version(PACKAGE),
        "elements": ["Cu", "Ag", "Au"],
        "cutoff": MORSE["cutoff"],
        "level_of_theory": "Morse",
    }


def morse(**arguments: Any) -> Any:
    """Return the potential, whose neighbours vesin finds: torch-sim's default compiles its own search for minutes."""
    from torch_sim.models.morse import MorseModel  # noqa: PLC0415 - torch
    from torch_sim.neighbors.vesin import vesin_nl  # noqa: PLC0415

    return MorseModel(**({"compute_stress": True, "neighbor_list_fn": vesin_nl} | arguments))


def single_morse(**_: Any) -> Any:
    """Return the potential in float32, whatever is asked for."""
    import torch  # noqa: PLC0415

    return morse(**MORSE, dtype=torch.float32)
