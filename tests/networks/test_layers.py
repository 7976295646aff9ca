"""Layers that no published network has, held against their formulas."""

import torch

from handful.networks.layers import upsample_smoothly


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_smooth_enlarging_is_the_binomial_1_3_3_1():
    x = torch.randn(2, 3, 6, 6, generator=seeded())
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (line[:, None] * line).expand(3, 1, 4, 4)
    spread = torch.nn.functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=3)
    inner = (..., slice(1, -1), slice(1, -1))  # at the edges bilinear repeats the last pixel
    assert torch.allclose(upsample_smoothly(x)[inner], spread[inner], atol=1e-6)
