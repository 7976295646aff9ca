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

    The Vendi score is the number of different rows that a set amounts to: n for orthogonal rows, 1 for equal ones. Rows
    are compared by the cosine of their differences from the reference's mean, so that a set of alike images is alike
    however far it is from the reference. The score grows with the number of rows: all sets have as many as the
    reference, or as there are samples if those are fewer. The result is the mean over as many such sets of samples as
    there are.

    Raises:
        ValueError: A set has fewer than 3 rows.

    Source: Friedman and Dieng 2023, definition 3.1. The standard error is the jackknife over 20 groups of rows of one
    set of samples and of the reference.
    """
    require_rows(3, samples, reference)
    count = min(len(samples), len(reference), MAX_VENDI_ROWS)
    random = torch.Generator().manual_seed(SEED)
    # Shuffled, so that images of one class, or repeated ones, do not come into one set.
    centred, own = (
        (rows - reference.mean(dim=0))[torch.randperm(len(rows), generator=random)] for rows in (samples, reference)
    )
    sets = [centred[start : start + count] for start in range(0, len(centred) - count + 1, count)]
    share = torch.stack([log_vendi(rows) for rows in sets]).exp().mean() / log_vendi(own[:count]).exp()
    variance = vendi_variance(sets[0]) / len(sets) + vendi_variance(own[:count])
    return float(share), float(share * variance.sqrt())


def log_vendi(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, ""]:
    """Return the entropy of the eigenvalues of the matrix of the cosines between rows, divided by their number."""
    directions = torch.nn.functional.normalize(rows, dim=1)
    eigenvalues: Tensor = torch.linalg.eigvalsh(directions @ directions.T / len(rows))
    entropy: Tensor = torch.special.entr(eigenvalues.clamp(min=0)).sum()
    return entropy


def vendi_variance(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, ""]:
    """Return the variance of ``log_vendi``, by leaving out a group of rows at a time."""
    groups = min(JACKKNIFE_GROUPS, len(rows))
    group = torch.arange(len(rows)) % groups
    left = torch.stack([log_vendi(rows[group != number]) for number in range(groups)])
    return (groups - 1) * left.var(correction=0)


def mean_squared_distance(features: Float64[Tensor, "n d"]) -> float:
    """Return the mean squared distance of two different rows."""
    return float(2 * features.var(dim=0).sum())
