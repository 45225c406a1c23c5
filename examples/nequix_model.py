"""Nequix as a model of another engine, and the energies that its own calculator gives: docs/engines.md.

``pet-engine`` calls :func:`nequix`, which the description of the model names. As a program, in the environment of
Nequix, this file converts weights for torch, or prints what Nequix's calculator for ASE says of crystals:

    python nequix_model.py convert nequix-oam-1-pft.nqx nequix-oam-1-pft.pt
    python nequix_model.py energies nequix-oam-1-pft.pt crystals.json
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


def nequix(model: str, device: Any, dtype: Any) -> Any:
    """Return the weights ``model`` behind torch-sim's interface, for CPUs.

    Neighbours are found by vesin: the search that torch-sim takes by itself is compiled anew for minutes. Kernels are
    those of torch, since those of OpenEquivariance need a GPU.
    """
    from nequix.torch_sim import NequixTorchSimModel  # noqa: PLC0415
    from torch_sim.neighbors.vesin import vesin_nl  # noqa: PLC0415

    return NequixTorchSimModel(model, use_kernel=False, device=device, dtype=dtype, neighbor_list_fn=vesin_nl)


def convert(source: Path, target: Path) -> dict[str, Any]:
    """Write the weights ``source`` of JAX as ``target`` for torch, and return Nequix's configuration of the model."""
    from nequix.calculator import from_pretrained  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:  # it writes beside what it reads
        copy = Path(shutil.copy(source, folder))
        _, config = from_pretrained(
            model_name="converted", model_path=str(copy), backend="torch", use_kernel=False
        )
        shutil.move(Path(folder) / "converted.pt", target)
    return dict(config)


def energies(weights: Path, crystals: Path) -> list[float]:
    """Return the energies, eV, that Nequix's calculator gives to the ``crystals`` of a file that ASE reads."""
    import ase.io  # noqa: PLC0415
    from nequix.calculator import NequixCalculator  # noqa: PLC0415

    calculator = NequixCalculator(model_path=str(weights), backend="torch", use_kernel=False)
    found = []
    for atoms in ase.io.iread(crystals, ":"):
        atoms.calc = calculator
        found.append(float(atoms.get_potential_energy()))
    return found


def main() -> None:
    """Do what the command line asks for, and print the answer as JSON."""
    action, first, second = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    answer = {"convert": convert, "energies": energies}[action](first, second)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
