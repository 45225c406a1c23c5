"""Attention as written here against metatrain's own, forth and back."""

from __future__ import annotations

import copy

import pytest
import torch
from metatrain.pet.modules.transformer import AttentionBlock

from aiida_pet.engine.model.attention import lighten_attention


def blocks(dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(3)
    own = torch.nn.Sequential(AttentionBlock(24, num_heads=3, temperature=1.3)).to(dtype)
    light = copy.deepcopy(own)
    assert lighten_attention(light) == 1
    return own[0], light[0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_output_and_gradients_are_those_of_metatrain(dtype, tolerance):
    answers = []
    for block in blocks(dtype):
        torch.manual_seed(4)
        x = torch.randn((5, 7, 24), dtype=dtype, requires_grad=True)
        factors = torch.rand((5, 7, 7), dtype=dtype)
        factors[2, :, 5:] = 0.0  # padded
        factors.requires_grad_()
        out = block(x, factors, False)
        answers.append([out, *torch.autograd.grad((out**2).sum(), [x, factors])])
    for known, mine in zip(*answers, strict=True):
        torch.testing.assert_close(mine, known, rtol=tolerance, atol=tolerance)


def test_attention_of_another_kind_is_left_as_it_is(caplog):
    class AttentionBlock(torch.nn.Module):  # as a later metatrain might have it
        def __init__(self) -> None:
            super().__init__()
            self.input_linear = torch.nn.Linear(8, 24)

        def forward(self, x, cutoff_factors, use_manual_attention):
            return 2.0 * x

    block = AttentionBlock()
    assert lighten_attention(torch.nn.Sequential(block)) == 0
    assert "unknown kind of attention" in caplog.text
    assert block(torch.ones(1), None, False) == 2.0


def test_attention_whose_numbers_differ_is_left_as_it_is():
    class Sharper(AttentionBlock):
        def forward(self, x, cutoff_factors, use_manual_attention):
            return super().forward(x, cutoff_factors**2, use_manual_attention)

    Sharper.__name__ = "AttentionBlock"
    assert lighten_attention(torch.nn.Sequential(Sharper(24, num_heads=3, temperature=1.0))) == 0
