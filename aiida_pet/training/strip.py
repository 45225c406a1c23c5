"""Strip a training checkpoint to what inference and fine-tuning need.

What goes: optimiser and scheduler state, training options (they name files of the machine that trained) and the
weights of the last epoch where another was the best. What stays is what metatrain's ``model_from_checkpoint`` reads,
so ``mtt export`` and ``mtt train`` (``finetune: read_from``) work on the result.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from aiida_pet.job.checkpoint import NotACheckpointError

KEPT = (
    "architecture_name",
    "model_ckpt_version",
    "metadata",
    "model_data",
    "epoch",
    "best_epoch",
    "model_state_dict",
    "best_model_state_dict",
)
"""Keys of the stripped checkpoint, in their order in the file."""


def stripped(checkpoint: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``checkpoint`` without what only training needs; its tensors are shared, not copied.

    :param about: what the model says of itself: ``name``, ``description``, ``authors``, ``references`` (kind -> list)
        and ``extra`` (key -> str, such as version and licence).
    :raises NotACheckpointError: if it is not a PET checkpoint of the version of metatrain that is installed.
    """
    from metatomic.torch import ModelMetadata  # noqa: PLC0415  torch only where a checkpoint is at hand

    if checkpoint["architecture_name"] != "pet" or "model_ckpt_version" not in checkpoint:
        raise NotACheckpointError(
            f"expected a versioned checkpoint of architecture 'pet', got {checkpoint['architecture_name']!r} "
            f"with keys {sorted(checkpoint)}"
        )
    best = checkpoint["best_model_state_dict"] or checkpoint["model_state_dict"]
    # Where fine-tuning read its start from is a path of the machine that trained. Cloned, so that no tensor keeps a
    # larger storage alive in the file.
    weights = OrderedDict((name, value.clone()) for name, value in best.items() if name != "finetune_config")
    references = {"architecture": ["https://arxiv.org/abs/2305.19302v3"], **about.get("references", {})}
    kept = {key: checkpoint.get(key) for key in KEPT}
    kept["epoch"] = kept["best_epoch"]
    # One dictionary of weights under both keys: torch writes a shared tensor once.
    kept["model_state_dict"] = kept["best_model_state_dict"] = weights
    kept["metadata"] = ModelMetadata(
        name=about["name"],
        description=about.get("description", ""),
        authors=list(about.get("authors", [])),
        references=references,
        extra={key: str(value) for key, value in about.get("extra", {}).items()},
    )
    return kept
