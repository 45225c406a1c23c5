"""A plain PET checkpoint in the two files that pet-kokkos reads.

``NAME.json`` has the hyperparameters, the elements, their energies and the scale of the energy. ``NAME.safetensors``
has the weights by metatrain's names, in float32. This is format 1 of pet-kokkos 0.1.1 (``src/checkpoint.cpp`` there).
pet-kokkos knows one energy head, by the name ``energy``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.heads import ENERGY, UnsupportedModelError
from aiida_pet.engine.model.plain.pet import PlainPet

_NETWORK = (
    "gnn_layers.",
    "combination_norms.",
    "combination_mlps.",
    "node_embedders.",
    "edge_embedder.",
)
_HEADS = tuple(
    f"{part}.{ENERGY}." for part in ("node_heads", "edge_heads", "node_last_layers", "edge_last_layers")
)
_CUTOFF_FUNCTIONS = {"bump": "Bump", "cosine": "Cosine"}  # as pet-kokkos spells them


def write_for_kokkos(model: PlainPet, prefix: Path) -> None:
    """Write ``prefix``.json and ``prefix``.safetensors.

    :raises UnsupportedModelError: if the energy has another scale for each element.
    """
    scale = model.head(ENERGY).scale
    if not torch.equal(scale, scale[:1].expand_as(scale)):
        raise UnsupportedModelError(
            f"pet-kokkos has one scale for the energy, but this model has {len(scale)}, one for each element: "
            "evaluate it without pet-kokkos"
        )
    described = {
        "format_version": 1,
        "architecture": "pet",
        "target": ENERGY,
        "hypers": _hypers(model),
        "length_unit": "angstrom",
        "energy_unit": "eV",
        "energy_scale": float(scale[0]),
        "n_species": len(model.atomic_types),
        "atomic_types": model.atomic_types,
        "species_to_index": model.index.tolist(),
        "composition_energies": model.composition(ENERGY)[model.atomic_types].tolist(),
    }
    prefix.with_name(f"{prefix.name}.json").write_text(json.dumps(described))
    prefix.with_name(f"{prefix.name}.safetensors").write_bytes(safetensors(_weights(model)))


def _hypers(model: PlainPet) -> dict[str, object]:
    shape, limits = model.shape, model.limits
    method, function = str(limits.adaptive_cutoff_method).lower(), str(limits.cutoff_function).lower()
    return asdict(shape) | {
        "head_dim": shape.d_pet // shape.num_heads,
        "num_readout_layers": 1 if shape.featurizer_type == "feedforward" else shape.num_gnn_layers,
        "cutoff": limits.cutoff,
        "cutoff_width": limits.cutoff_width,
        "cutoff_width_adaptive": limits.cutoff_width_adaptive,
        "cutoff_function": _CUTOFF_FUNCTIONS[function],
        "num_neighbors_adaptive": limits.num_neighbors_adaptive,
        "adaptive_cutoff_method": method,
    }


def _weights(model: PlainPet) -> dict[str, Tensor]:
    """Return the weights of the network and of the energy head."""
    return {
        name: values
        for name, values in model.tensors.items()
        if torch.is_tensor(values) and values.is_floating_point() and name.startswith((*_NETWORK, *_HEADS))
    }


def safetensors(tensors: dict[str, Tensor]) -> bytes:
    """Return ``tensors`` in float32 in the format safetensors: length of the header, header in JSON, values."""
    header: dict[str, object] = {}
    values: list[bytes] = []
    end = 0
    for name, tensor in tensors.items():
        content = (
            np.ascontiguousarray(tensor.detach().cpu().to(torch.float32).numpy()).astype("<f4").tobytes()
        )
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(content)],
        }
        end += len(content)
        values.append(content)
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + b"".join(values)
