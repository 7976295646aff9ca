"""Distances between two sets of feature vectors, and nearest neighbours across them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

ROWS_PER_BLOCK = 256
"""Rows compared at once. A matrix against 50,000 rows takes 100 MB."""

SPARE_CANDIDATES = 8
"""Candidates beyond k whose distances are computed exactly; see ``nearest``."""

PAIRS_PER_BLOCK = 4096
"""Pairs of rows whose exact distances are computed at once: 64 MB a side for 2,048 features."""


def fid(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> float:
    """Return the Frechet distance between two sets, each taken as the Gaussian of its mean and covariance.

    ``|mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)``

    With fewer images than features, the covariances ``S`` lack full rank, and a general matrix square root of their
    product fails or turns complex. With ``A`` the centred features over ``sqrt(n - 1)``, ``S = A'A``. The trace of the
    root is then the sum of the singular values of ``A1 A2'``, which is real and exact for 20 rows as for 50,000. The
    fewer the images, the larger the bias upwards: compare only sets of equal sizes.

    Raises:
        ValueError: A set has fewer than 2 rows.

    Source: TTUR (Heusel et al. 2017), section 4, equation 6.
    """
    require_rows(2, samples, reference)
    first, second = _root_of_covariance(samples), _root_of_covariance(reference)
    offset = (samples.mean(dim=0) - reference.mean(dim=0)).square().sum()
    overlap: Tensor = torch.linalg.svdvals(first @ second.T).sum()
    # Rounding can make equal sets slightly negative.
    return max(0.0, float(offset + first.square().sum() + second.square().sum() - 2 * overlap))


def _root_of_covariance(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "r d"]:
    """Return ``A``, of n or d rows, whichever is less, such that ``A'A`` is the covariance of the rows."""
    count, features = rows.shape
    centred: Tensor = (rows - rows.mean(dim=0)) / (count - 1) ** 0.5
    if count <= features:
        return centred
    # A = QR with Q'Q = 1, so R'R = A'A.
    triangle: Tensor = torch.linalg.qr(centred, mode="r").R
    return triangle


def kid(samples: Float64[Tensor, "n d"], reference: Float64[Tensor, "m d"]) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy under the kernel ``(x.y / d + 1)^3``, and its standard error.

    Unbiased at any number of images, so it can be negative, and is for equal sets. Costs n^2 + m^2 + 2nm products of
    rows.

    Raises:
        ValueError: A set has fewer than 3 rows, which the jackknife needs.

    Source: KID (Binkowski et al. 2018), section 4, averages over random subsets of 1,000 images. We take all rows as
    one subset, which has the same expectation, less variance, and works with fewer images. The statistic is that of
    Gretton et al. 2012, lemma 6, equation 3. The standard error is the delete-one jackknife (Efron and Tibshirani 1993,
    chapter 11), the variances of the two sets added (Arvesen 1969).
    """
    require_rows(3, samples, reference)
    n, m = len(samples), len(reference)
    within_samples, within_reference = _kernel_sums(samples), _kernel_sums(reference)
    across, across_back = _kernel_sums(samples, reference), _kernel_sums(reference, samples)
    sums = within_samples.sum(), within_reference.sum(), across.sum()
    # Leaving a row out removes its row and its column from the kernel matrix of its own set.
    samples_left = _discrepancy(sums[0] - 2 * within_samples, sums[1], sums[2] - across, n - 1, m)
    reference_left = _discrepancy(sums[0], sums[1] - 2 * within_reference, sums[2] - across_back, n, m - 1)
    variance = (n - 1) * samples_left.var(correction=0) + (m - 1) * reference_left.var(correction=0)
    return float(_discrepancy(*sums, n, m)), float(variance.sqrt())


def _discrepancy(
    within_samples: Float64[Tensor, "*#r"],
    within_reference: Float64[Tensor, "*#r"],
    across: Float64[Tensor, "*#r"],
    n: int,
    m: int,
) -> Float64[Tensor, "*r"]:
    """Return the unbiased statistic from the sums of the kernel over pairs of different rows, and across the sets."""
    return within_samples / (n * (n - 1)) + within_reference / (m * (m - 1)) - 2 * across / (n * m)


def _kernel_sums(rows: Float64[Tensor, "n d"], others: Float64[Tensor, "m d"] | None = None) -> Float64[Tensor, " n"]:
    """Return each row's sum of the kernel with all ``others``, or with all other rows of its own set."""
    columns = rows if others is None else others
    features = rows.shape[1]
    sums = torch.cat(
        [(block @ columns.T / features + 1).pow(3).sum(dim=1) for block in torch.split(rows, ROWS_PER_BLOCK)]
    )
    return sums if others is not None else sums - (rows.square().mean(dim=1) + 1).pow(3)


def nearest(
    queries: Float64[Tensor, "n d"],
    targets: Float64[Tensor, "m d"],
    k: int,
    block: int = ROWS_PER_BLOCK,
    exclude_self: bool = False,
) -> tuple[Float64[Tensor, "n k"], Int64[Tensor, "n k"]]:
    """Return the Euclidean distances to the ``k`` nearest targets of each query, nearest first, and their indices.

    The distances are exact to rounding, and 0 for equal rows. For 5,000 rows against 5,000 of 2,048 features, exact
    differences of rows take 50 s on one core. A matrix product takes 3 s, but loses small distances to cancellation. So
    the product chooses ``k + SPARE_CANDIDATES`` candidates, and their distances are computed exactly. If the product
    cannot rule out the other targets of a query, all of them are compared exactly.

    Args:
        queries: Rows to find neighbours for.
        targets: Rows to find them among: at least ``k``, or ``k + 1`` with ``exclude_self``.
        k: Number of neighbours.
        block: Queries handled at once.
        exclude_self: The targets are the queries, and no row is its own neighbour. Equal rows are neighbours.
    """
    blocks = []
    for start in range(0, len(queries), block):
        rows = queries[start : start + block]
        squared, error = _squared_distances(rows, targets)
        if exclude_self:
            squared[:, start:].fill_diagonal_(torch.inf)
        blocks.append(_nearest(rows, targets, k, squared, error))
    distances, indices = zip(*blocks, strict=True)
    return torch.cat(distances), torch.cat(indices)


def _nearest(
    rows: Float64[Tensor, "b d"],
    targets: Float64[Tensor, "m d"],
    k: int,
    squared: Float64[Tensor, "b m"],
    error: Float64[Tensor, b],
) -> tuple[Float64[Tensor, "b k"], Int64[Tensor, "b k"]]:
    """Do the work of ``nearest`` for one block, from squared distances that are off by up to ``error``."""
    close = squared.topk(min(k + SPARE_CANDIDATES, len(targets)), largest=False)
    exact = _distances(rows[:, None], targets[close.indices])[:, 0].masked_fill(close.values.isinf(), torch.inf)
    ranked = exact.topk(k, largest=False)
    distances, indices = ranked.values, close.indices.gather(1, ranked.indices)
    if close.values.shape[1] == len(targets):
        return distances, indices
    furthest = distances[:, -1]
    # Nothing is nearer than an equal row, so sets of duplicates skip this.
    unsure = (furthest > 0) & (close.values[:, -1] - error <= furthest.square())
    every = _distances(rows[unsure], targets).masked_fill(squared[unsure].isinf(), torch.inf)
    distances[unsure], indices[unsure] = every.topk(k, largest=False)
    return distances, indices


def within(
    points: Float64[Tensor, "n d"], centres: Float64[Tensor, "m d"], radii: Float64[Tensor, " m"]
) -> Bool[Tensor, "n m"]:
    """Return which points are strictly inside the radius of which centre.

    Exact to the last bit: a point as far away as the row that set the radius is outside. The matrix product decides
    all pairs, but for those that it cannot tell from the radius.
    """
    answers = []
    for block in torch.split(points, ROWS_PER_BLOCK):
        squared, error = _squared_distances(block, centres)
        surplus = squared - radii.square()
        inside = surplus < 0
        undecided = (surplus.abs() <= error[:, None]).nonzero()
        for pairs in torch.split(undecided, PAIRS_PER_BLOCK):
            row, column = pairs.unbind(dim=1)
            inside[row, column] = _distances(block[row, None], centres[column, None]).flatten() < radii[column]
        answers.append(inside)
    return torch.cat(answers)


def _squared_distances(
    rows: Float64[Tensor, "b d"], targets: Float64[Tensor, "m d"]
) -> tuple[Float64[Tensor, "b m"], Float64[Tensor, b]]:
    """Return ``|x|^2 + |y|^2 - 2 x.y``, which rounding can make negative, and an error bound for each row."""
    lengths, target_lengths = (vectors.square().sum(dim=1) for vectors in (rows, targets))
    squared = torch.addmm(target_lengths, rows, targets.T, alpha=-2) + lengths[:, None]
    # Each term is a sum of d products. A few more roundings join them and square the radius.
    rounding = (rows.shape[1] + 8) * torch.finfo(rows.dtype).eps
    return squared, rounding * (lengths.sqrt() + target_lengths.max().sqrt()).square()


def _distances(rows: Float64[Tensor, "*b n d"], targets: Float64[Tensor, "*b m d"]) -> Float64[Tensor, "*b n m"]:
    """Return the lengths of the differences of rows, exact to rounding; a pair's does not depend on other rows."""
    return torch.cdist(rows, targets, compute_mode="donot_use_mm_for_euclid_dist")


def require_rows(least: int, samples: Tensor, reference: Tensor) -> None:
    """Raise ``ValueError`` if a set has fewer rows than a score needs."""
    for name, rows in (("samples", samples), ("reference", reference)):
        if len(rows) < least:
            raise ValueError(f"{name} has {len(rows)} images, but this score needs at least {least}")
