"""How far samples are from the training images, with fresh real images at 1."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from handful.metrics.distances import require_rows

SET = 50
"""Images in each of the two sets whose mean distance is compared."""

MAX_ROWS = 2_000
"""Rows of a set that are compared; of more, every second, third and so on. More would hardly lower the error."""


class Sums(NamedTuple):
    """Sums of distances over pairs of different rows of each set, and over pairs across the sets."""

    samples: Float64[Tensor, "*r"]
    reference: Float64[Tensor, "*r"]
    across: Float64[Tensor, "*r"]


def relative_distance(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> tuple[float, float]:
    """Return the distance of samples from the reference over that of fresh images from it, and its standard error.

    The energy distance of two finite sets is positive even if both have one distribution. The result is its mean over
    sets of 50 samples and of 50 reference rows, divided by its mean over two disjoint sets of 50 reference rows. So it
    is 1 for samples from the distribution of the reference, less for copies, whatever the features and the numbers of
    rows. Infinite if all reference rows are equal.

    The means are over all such sets, in closed form. With ``D`` the unbiased energy distance and ``w`` the mean
    distance of two rows of a set, the result is ``(D + (w_samples + w_reference) / 50) / (2 w_reference / 50)``.

    Raises:
        ValueError: A set has fewer than 3 rows, which the jackknife needs.

    Source: energy distance: Szekely and Rizzo 2013, equation 6.3. Scaled so that real data has 1: Feng et al. 2026. The
    standard error is the delete-one jackknife, which counts interactions of two rows twice (Efron and Stein 1981,
    section 2), less these.
    """
    require_rows(3, samples, reference)
    samples, reference = (rows[:: -(-len(rows) // MAX_ROWS)] for rows in (samples, reference))
    n, m = len(samples), len(reference)
    inside, among, across = (torch.cdist(*pair) for pair in ((samples,) * 2, (reference,) * 2, (samples, reference)))
    for distances in (inside, among):
        distances.fill_diagonal_(0)
    sums = Sums(inside.sum(), among.sum(), across.sum())
    if sums.reference == 0:
        return math.inf, math.inf
    # Leaving a row out removes its row and its column from the matrix of its own set.
    left = sums._replace(samples=sums.samples - 2 * inside.sum(dim=1), across=sums.across - across.sum(dim=1))
    without_sample = _ratio(left, n - 1, m)
    left = sums._replace(reference=sums.reference - 2 * among.sum(dim=1), across=sums.across - across.sum(dim=0))
    without_reference = _ratio(left, n, m - 1)
    jackknife = (n - 1) * without_sample.var(correction=0) + (m - 1) * without_reference.var(correction=0)
    interactions = 2 * _interaction(inside, True) + 2 * _interaction(among, True) + 4 * _interaction(across, False)
    unit = 2 * sums.reference / (m * (m - 1)) / SET
    # Without any other variance, interactions are half of the jackknife's.
    variance = torch.maximum(jackknife - interactions / unit.square(), jackknife / 2)
    return max(0.0, float(_ratio(sums, n, m))), float(variance.sqrt())


def _ratio(sums: Sums, n: int, m: int) -> Float64[Tensor, "*r"]:
    """Return the result for sums over sets of these sizes."""
    inside, among, across = sums.samples / (n * (n - 1)), sums.reference / (m * (m - 1)), sums.across / (n * m)
    energy = 2 * across - inside - among
    return (SET * energy + inside + among) / (2 * among)


def _interaction(distances: Float64[Tensor, "n m"], within: bool) -> Float64[Tensor, ""]:
    """Return the mean square of what a distance has beyond the means of its rows, over the number of pairs.

    Times 2 within a set, where each pair stands twice, this is the variance of the mean distance that is due to pairs.
    """
    n, m = distances.shape
    others = m - 1 if within else m
    mean = distances.sum() / (n * others)
    beyond = distances - distances.sum(dim=1, keepdim=True) / others + mean
    beyond -= distances.sum(dim=0) / (n - 1 if within else n)
    if within:
        beyond.fill_diagonal_(0)
    return beyond.square().sum() / (n * others) ** 2
