"""How much the images of a set differ from each other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.metrics.distances import require_rows
from handful.metrics.features import pixels
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import advance

BATCH = 16

SEED = 0

MAX_VENDI_ROWS = 500
"""Rows in one set of ``relative_variety``. Its cost grows with their third power."""

JACKKNIFE_GROUPS = 20

ALIKE = 0.4
"""Width of the Gaussian of a distance, in mean distances, that says how alike two rows are; dev/log-2026-11.md."""


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


def relative_variety(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> tuple[float, float]:
    """Return the Vendi score of samples over that of the reference, and its standard error.

    The Vendi score is the number of different rows that a set amounts to: n if all differ, 1 if all are equal. The
    likeness of two rows is a Gaussian of their distance, as wide as ``ALIKE`` of the mean distance in the reference. So
    what all samples have in common, as blur or grain, changes little. The score grows with the number of rows: all sets
    have as many as the reference, or as there are samples if those are fewer. The result is the mean over as many such
    sets of samples as there are. Infinite if all reference rows are equal.

    Raises:
        ValueError: A set has fewer than 3 rows.

    Source: Friedman and Dieng 2023, definition 3.1. The standard error is the jackknife over 20 groups of rows of one
    set of samples and of the reference.
    """
    require_rows(3, samples, reference)
    count = min(len(samples), len(reference), MAX_VENDI_ROWS)
    random = torch.Generator().manual_seed(SEED)
    # Shuffled, so that images of one class, or repeated ones, do not come into one set.
    samples, reference = (rows[torch.randperm(len(rows), generator=random)] for rows in (samples, reference))
    own = reference[:count]
    width = ALIKE * float(torch.pdist(own).mean())
    if width == 0:
        return math.inf, math.inf
    sets = [likenesses(samples[start : start + count], width) for start in range(0, len(samples) - count + 1, count)]
    unit = likenesses(own, width)
    share = torch.stack([log_vendi(likeness) for likeness in sets]).exp().mean() / log_vendi(unit).exp()
    variance = vendi_variance(sets[0]) / len(sets) + vendi_variance(unit)
    return float(share), float(share * variance.sqrt())


def likenesses(rows: Float64[Tensor, "n d"], width: float) -> Float64[Tensor, "n n"]:
    """Return the likeness of each pair of rows, 0 to 1."""
    return torch.exp(-torch.cdist(rows, rows).square() / (2 * width**2))


def log_vendi(likeness: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:
    """Return the entropy of the eigenvalues of the likenesses over their number."""
    eigenvalues: Tensor = torch.linalg.eigvalsh(likeness / len(likeness))
    entropy: Tensor = torch.special.entr(eigenvalues.clamp(min=0)).sum()
    return entropy


def vendi_variance(likeness: Float64[Tensor, "n n"]) -> Float64[Tensor, ""]:
    """Return the variance of ``log_vendi``, by leaving out a group of rows at a time."""
    groups = min(JACKKNIFE_GROUPS, len(likeness))
    group = torch.arange(len(likeness)) % groups
    kept = [(group != number).nonzero()[:, 0] for number in range(groups)]
    left = torch.stack([log_vendi(likeness[rows][:, rows]) for rows in kept])
    return (groups - 1) * left.var(correction=0)


def mean_squared_distance(features: Float64[Tensor, "n d"]) -> float:
    """Return the mean squared distance of two different rows."""
    return float(2 * features.var(dim=0).sum())
