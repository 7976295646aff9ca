"""Precision, recall, density and coverage: whether two sets of features lie in the same region.

The manifold of a set is the union of balls around its rows. Each ball reaches to the k-th nearest other row.
"""

from __future__ import annotations

import statistics

from jaxtyping import Float64
from torch import Tensor

from handful.metrics.distances import nearest, require_rows, within


def precision_recall(
    samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"], k: int = 3
) -> tuple[float, float]:
    """Return the share of samples in the manifold of the reference, and of the reference in that of the samples.

    Fidelity and diversity, 1 at best. The ball of one outlier can be very large.

    Raises:
        ValueError: A set has ``k`` rows or fewer.

    Source: Kynkaanniemi et al. 2019, section 3, equations 1 and 2, with the published k = 3. A row on the edge of a
    ball is outside, as in the package prdc (Naeem et al. 2020); in the paper it is inside.
    """
    require_rows(k + 1, samples, reference)
    return _inside(samples, reference, k), _inside(reference, samples, k)


def precision_recall_in_equal_numbers(
    samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"], k: int = 3
) -> tuple[float, float]:
    """Return precision, and recall for sets with as many samples as the reference has rows; the mean over such sets.

    More samples have smaller balls. While samples are not yet close to the reference, the balls of a thousand samples
    contain almost none of a hundred images, however varied they are. If there are fewer samples than reference rows,
    all are one set.

    Raises:
        ValueError: A set has ``k`` rows or fewer.

    Source: published comparisons (Kynkaanniemi et al. 2019, section 4) are between sets of equal size.
    """
    require_rows(k + 1, samples, reference)
    count = min(len(samples), len(reference))
    starts = range(0, len(samples) - count + 1, count)
    recall = statistics.fmean(_inside(reference, samples[start : start + count], k) for start in starts)
    return _inside(samples, reference, k), recall


def density_coverage(
    samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"], k: int = 5
) -> tuple[float, float]:
    """Return density and coverage.

    Density is the mean number of reference balls that contain a sample, over ``k``. Coverage is the share of reference
    balls that contain a sample. For samples from the distribution of the reference, density is 1 on average, and
    coverage is 1 - 2^-k for sets of equal size. Density is higher where samples crowd. Unlike precision and recall,
    both are robust to outliers of the reference.

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
