"""PET as an ASE calculator through metatrain and metatomic-ase: what the batched engine is compared with.

Nothing here is shared with the batched evaluation but the checkpoint and the check of its hash. An uncertainty (LLPR)
around the model is left off: the calculator has no place for it, and it would keep a part of the model in float32.
"""

from __future__ import annotations

from pathlib import Path

import torch
from ase.calculators.calculator import Calculator
from metatomic_ase import MetatomicCalculator
from metatrain.utils.io import model_from_checkpoint

from aiida_pet.engine.model.metatrain_pet import pet_of
from aiida_pet.job.checkpoint import load_checkpoint
from aiida_pet.job.parameters import Derivation, Dtype


def pet_calculator(
    path: Path | str,
    sha256: str,
    *,
    dtype: Dtype | str = Dtype.FLOAT64,
    device: str | None = None,
    forces: Derivation | str = Derivation.CONSERVATIVE,
    stress: Derivation | str = Derivation.CONSERVATIVE,
) -> Calculator:
    """Return the calculator of the checkpoint ``path``: energy eV, forces eV/A, stress eV/A^3.

    :param path: a metatrain checkpoint of PET.
    :param sha256: hex digest the file must have; it is not unpickled otherwise.
    :param dtype: precision of the model, ``float32`` or ``float64``.
    :param device: ``cpu``, ``cuda`` or ``cuda:N``; None takes what there is.
    :param forces: derivative of the energy, or the direct head.
    :param stress: derivative of the energy, or the direct head.
    :raises aiida_pet.job.checkpoint.ModelError: if the file is missing or is not the expected file.
    :raises ValueError: if the precision is mixed, which the batched engine alone has.
    """
    if Dtype(dtype) is Dtype.MIXED:
        raise ValueError(
            "dtype = 'mixed': expected float32 or float64, since ASE evaluates a model in one precision"
        )
    checkpoint = load_checkpoint(Path(path), sha256)
    model = pet_of(model_from_checkpoint(checkpoint, context="export")).eval()
    model = model.to(getattr(torch, Dtype(dtype).value))
    direct = (Derivation(forces) is Derivation.DIRECT, Derivation(stress) is Derivation.DIRECT)
    non_conservative = {
        (False, False): False,
        (True, True): True,
        (True, False): "forces",
        (False, True): "stress",
    }
    return MetatomicCalculator(model.export(), device=device, non_conservative=non_conservative[direct])
