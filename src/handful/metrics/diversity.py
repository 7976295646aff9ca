"""How much the images of a set differ from each other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.metrics.features import pixels
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import advance

BATCH = 16

SEED = 0


@torch.no_grad()
def mean_lpips(perceptual: Perceptual, images: UInt8[Tensor, "n c h w"], pairs: int, task: str) -> float:
    """Return the mean LPIPS distance of random pairs of different images. Images over 256 px are averaged down to it.

    ``task`` is what the progress bar says.

    Source: the diversity of few-shot generators, e.g. Ojha et al. 2021, section 4, there within clusters.
    """
    random = torch.Generator().manual_seed(SEED)
    first = torch.randint(len(images), (pairs,), generator=random)
    # A step of 1 to n - 1 around the set never returns to the same image.
    second = (first + torch.randint(1, len(images), (pairs,), generator=random)) % len(images)
    device = next(perceptual.backbone.parameters()).device
    total = 0.0
    for start in range(0, pairs, BATCH):
        sides = [pixels(images[chosen[start : start + BATCH]].to(device)) for chosen in (first, second)]
        total += float(perceptual(*sides).double().sum())
        advance(task, min(start + BATCH, pairs), pairs)
    return total / pairs


def relative_spread(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> float:
    """Return how far apart the rows of a set are, relative to another set: 1 if both are equally diverse."""
    unit = mean_squared_distance(reference)
    return (mean_squared_distance(samples) / unit) ** 0.5 if unit > 0 else math.inf


def mean_squared_distance(features: Float64[Tensor, "n d"]) -> float:
    """Return the mean squared distance of two different rows."""
    return float(2 * features.var(dim=0).sum())
