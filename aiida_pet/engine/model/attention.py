"""PET's attention with fewer copies than metatrain's, the same numbers.

``AttentionBlock.forward`` selects queries, keys and values one after another from one tensor, and the way back of each
select fills a tensor of the whole size with zeros and adds it to the others; ``unbind`` goes back by one stack. On a
CPU PyTorch has no fused attention whose mask has a gradient, and its composed one looks for rows that are masked
throughout, which PET's never are: written out it is the same sum. Both together take 11 % off an evaluation (float64,
one thread, 2,400 tokens). A block for which the two do not agree, as another version of metatrain might have, is left
as it is. On a GPU PyTorch's fused attention is taken, unless a block says otherwise (``is_fused``), which is how the
benchmark compares the two.
"""

from __future__ import annotations

import logging
from types import MethodType
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Tensor

logger = logging.getLogger(__name__)

EPSILON = 1e-15  # least factor of a neighbour, metatrain's


def lighten_attention(backend: torch.nn.Module) -> int:
    """Let the attention blocks of metatrain's ``backend`` be evaluated as written here.

    :return: how many were found and agreed.
    """
    lightened = 0
    for block in backend.modules():
        if type(block).__name__ != "AttentionBlock":
            continue
        if _agree(block):
            block.forward = MethodType(_forward, block)  # type: ignore[method-assign, assignment]
            lightened += 1
        else:
            logger.warning(
                "this version of metatrain has an unknown kind of attention, so evaluations are about 10 % slower"
            )
    return lightened


def log_factors_of(cutoff_factors: Tensor) -> Tensor:
    """Return the (A, 1, 1, 1 + M) logarithms of the (A, M) ``cutoff_factors``, after those of the atoms."""
    logarithms = torch.log(torch.clamp(cutoff_factors, EPSILON))
    return torch.nn.functional.pad(logarithms, (1, 0))[:, None, None]


def attended(block: Any, x: Tensor, log_factors: Tensor) -> Tensor:
    """Return the attention of tokens ``x`` (A, S, d), to whose scores ``log_factors`` (A, 1, S or 1, S) are added.

    :param block: with metatrain's names: linear layers, number of heads, width of a head, temperature.
    """
    n_atoms, n_tokens, _ = x.shape
    packed = block.input_linear(x).reshape(n_atoms, n_tokens, 3, block.num_heads, block.head_dim)
    queries, keys, values = packed.permute(2, 0, 3, 1, 4).unbind(0)
    scale = 1.0 / (block.head_dim**0.5 * block.temperature)
    if getattr(block, "is_fused", x.is_cuda):
        mask = log_factors.expand(-1, -1, n_tokens, -1).contiguous()
        mixed = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=scale
        )
    else:
        mixed = torch.softmax((queries * scale) @ keys.mT + log_factors, dim=-1) @ values
    return block.output_linear(mixed.transpose(1, 2).reshape(x.shape))


def _forward(block: Any, x: Tensor, cutoff_factors: Tensor, use_manual_attention: bool) -> Tensor:
    """Return the attention of tokens ``x`` (A, S, d), weighted by ``cutoff_factors`` (A, S, S).

    :param use_manual_attention: asked for in training only; it makes no difference here.
    """
    return attended(block, x, torch.log(torch.clamp(cutoff_factors[:, None], block.epsilon)))


def _agree(block: Any) -> bool:
    """Return whether both ways give the same on some tokens, one of them at the cutoff."""
    try:
        weight = block.input_linear.weight
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((2, 4, weight.shape[1]), generator=generator, dtype=torch.float64).to(weight)
        factors = torch.rand((2, 4, 4), generator=generator, dtype=torch.float64).to(weight)
        factors[0, :, 3] = 0.0
        with torch.no_grad():
            known, mine = type(block).forward(block, x, factors, False), _forward(block, x, factors, False)
    except (AttributeError, TypeError, RuntimeError) as error:
        logger.debug("attention: %s", error)
        return False
    tolerance = 1e-4 if weight.dtype is torch.float32 else 1e-10
    return bool(torch.allclose(known, mine, rtol=tolerance, atol=tolerance))
