"""How different the images of a set are from each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.metrics.features import pixels
from handful.networks.pretrained.lpips import Perceptual

BATCH = 16


SEED = 0


@torch.no_grad()
def mean_distance(
    perceptual: Perceptual,
    images: UInt8[Tensor, "n c h w"],
    pairs: int,
    progress: Callable[[int, int], None],
) -> float:
    """Give the mean LPIPS distance of random pairs of different images; larger ones are averaged down to 256 px.

    Source: the diversity of few-shot generators, e.g. Ojha et al. 2021, section 4, there within clusters.
    """
    random = torch.Generator().manual_seed(SEED)
    first = torch.randint(len(images), (pairs,), generator=random)
    # A step of 1 to n - 1 around the set never comes back to the same image.
    second = (first + torch.randint(1, len(images), (pairs,), generator=random)) % len(images)
    device = next(perceptual.trunk.parameters()).device
    total = 0.0
    for start in range(0, pairs, BATCH):
        sides = [pixels(images[chosen[start : start + BATCH]].to(device)) for chosen in (first, second)]
        total += float(perceptual(*sides).double().sum())
        progress(min(start + BATCH, pairs), pairs)
    return total / pairs


def relative_spread(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> float:
    """Give the root of the ratio of the spreads of two sets: about 1 if one is as varied as the other."""
    within = spread(reference)
    return (spread(samples) / within) ** 0.5 if within > 0 else math.inf


def spread(features: Float64[Tensor, "n d"]) -> float:
    """Give the mean squared distance of two different rows."""
    return float(2 * features.var(dim=0).sum())
