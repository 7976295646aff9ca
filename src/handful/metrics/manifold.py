"""Whether samples lie where the reference lies, and the reference where the samples lie.

A set's manifold is the union of a ball around each row, which reaches to the k-th nearest other row of the set.
"""

from __future__ import annotations

import statistics

from jaxtyping import Float64
from torch import Tensor

from handful.metrics.distances import nearest, require_rows, within


def precision_recall(
    samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"], k: int = 3
) -> tuple[float, float]:
    """Give the share of samples in the manifold of the reference, and of the reference in that of the samples.

    Fidelity and variety, 1 at best. One outlier's ball can hold much.

    Raises:
        ValueError: A set has ``k`` rows or fewer.

    Source: Kynkaanniemi et al. 2019, section 3, equations 1 and 2, with the published k = 3. A row on the edge of a
    ball is outside, as in the package prdc (Naeem et al. 2020); the paper counts it in.
    """
    require_rows(k + 1, samples, reference)
    return _inside(samples, reference, k), _inside(reference, samples, k)


def precision_recall_in_equal_numbers(
    samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"], k: int = 3
) -> tuple[float, float]:
    """Give precision, and the recall of as many samples as the reference has rows, the mean over such sets.

    The more samples, the smaller their balls: while samples are still at some distance from the reference, a thousand
    reach next to none of a hundred images, however varied they are. Of fewer samples than the reference has rows, all
    are taken at once.

    Raises:
        ValueError: A set has ``k`` rows or fewer.

    Source: the published comparisons (Kynkaanniemi et al. 2019, section 4) are of sets of one size.
    """
    require_rows(k + 1, samples, reference)
    count = min(len(samples), len(reference))
    starts = range(0, len(samples) - count + 1, count)
    recall = statistics.fmean(_inside(reference, samples[start : start + count], k) for start in starts)
    return _inside(samples, reference, k), recall


def density_coverage(
    samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"], k: int = 5
) -> tuple[float, float]:
    """Give how many balls of the reference hold a sample, over ``k``, and the share of its balls that hold one.

    The expectation for samples of the reference's own kind is 1 for density, which may be above it where samples crowd
    in, and 1 - 2^-k for coverage with sets of one size. Both forgive outliers of the reference, for which precision and
    recall grow.

    Raises:
        ValueError: A set has ``k`` rows or fewer.

    Source: Naeem et al. 2020, section 3, equations 3 and 4, with the published k = 5; strict as their package prdc.
    """
    require_rows(k + 1, samples, reference)
    radii = _radii(reference, k)
    density = within(samples, reference, radii).double().sum(dim=1).mean() / k
    closest, _ = nearest(reference, samples, k=1)
    return float(density), float((closest[:, 0] < radii).double().mean())


def _inside(rows: Float64[Tensor, "n d"], others: Float64[Tensor, "m d"], k: int) -> float:
    """Return the share of rows in the manifold of the others."""
    return float(within(rows, others, _radii(others, k)).any(dim=1).double().mean())


def _radii(rows: Float64[Tensor, "n d"], k: int) -> Float64[Tensor, " n"]:
    """Return each row's distance to the k-th nearest other row."""
    distances, _ = nearest(rows, rows, k, exclude_self=True)
    return distances[:, -1]
