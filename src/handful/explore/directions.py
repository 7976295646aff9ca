"""Find directions of the latent space along which pictures change in one way, from the generator or from examples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from handful.errors import UsageError
from handful.sampling.directions import Directions
from handful.sampling.latents import Latents
from handful.sampling.model import Model

SHRINKAGES = torch.logspace(-3, 2, 21, dtype=torch.float64)
"""Ridge strengths to try, as shares of the examples' mean square length. Leave-one-out error chooses."""

INTERCEPT = 10.0
"""Value of the constant input that fits the mean score, in lengths of an example. Ridge hardly shrinks it then."""


def from_weights(model: Model, count: int) -> Directions:
    """Return the directions that the first layer stretches most: eigenvectors of ``A A^T``. Draws no picture.

    Source: SeFa (Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs"), equation 4. The weights
    include spectral norm and BatchNorm.

    Raises:
        UsageError: if ``count`` is below 1 or above the latent's length.
    """
    weight = model.folded.first.weight.double().cpu()  # [z 2c*h*w]
    return leading(weight @ weight.T, count)


def from_maps(model: Model, count: int) -> Directions:
    """Return the directions along which a low-resolution map changes most, as far as the change is linear.

    Source: GANSpace (Härkönen et al. 2020), section 2.2, which takes the principal components of a map and regresses
    them on latents. Here the regression comes first, which removes what latents do not explain, such as noise.

    Raises:
        UsageError: if ``count`` is below 1 or above the latent's length.
    """
    return leading(model.response, count)


def from_examples(model: Model, latents: Latents, scores: Sequence[float], name: str) -> Directions:
    """Return the direction along which scores rise, by ridge regression of scores on latents.

    A latent has hundreds of numbers and there are tens of examples, so the prior matters: scores are expected to change
    where low-resolution maps do (``Model.response``). Twenty examples then do what two hundred would without it
    (dev/LOG.md). Leave-one-out error chooses the strength of the prior.

    Args:
        model: The generator.
        latents: The examples.
        scores: A number for each example, on any scale.
        name: Name of the direction.

    Source: Ridge regression with closed-form leave-one-out error (Hastie et al. 2009, section 7.10). The prior's
    covariance is ours.

    Raises:
        UsageError: if there are fewer than 2 examples, all scores are equal, or one is not finite.
    """
    if len(latents) != len(scores):
        raise UsageError(f"{len(scores)} scores for {len(latents)} examples: give one for each")
    if not all(map(math.isfinite, scores)):
        raise UsageError("a score is not a finite number")
    if len(latents) < 2 or min(scores) == max(scores):
        raise UsageError("examples: give two or more, with different scores")
    values, vectors = torch.linalg.eigh(model.response)
    root = vectors * values.clamp(min=0).sqrt()
    slope, explained = regress(latents.z.double() @ root, torch.tensor(scores, dtype=torch.float64))
    return Directions(F.normalize(root @ slope, dim=0).float()[None], (name,), (explained,))


def leading(covariance: Float64[Tensor, "z z"], count: int) -> Directions:
    """Return the eigenvectors of largest eigenvalue, signed so that their largest number is positive."""
    most = len(covariance)
    if not 1 <= count <= most:
        raise UsageError(f"--count {count}: must be from 1 to {most}, the length of a latent")
    values, vectors = torch.linalg.eigh(covariance)
    leaders = vectors.T.flip(0)[:count]
    largest = leaders.gather(1, leaders.abs().argmax(dim=1, keepdim=True))
    factors = (values.clamp(min=0) / values.mean()).sqrt().flip(0)[:count]
    names = tuple(str(index + 1) for index in range(count))
    return Directions((leaders * largest.sign()).float(), names, tuple(factors.tolist()))


def regress(inputs: Float64[Tensor, "n d"], scores: Float64[Tensor, " n"]) -> tuple[Float64[Tensor, " d"], float]:
    """Regress scores on inputs by ridge regression, with the strength of the smallest leave-one-out error.

    Returns:
        The slope, and the share of the scores' variance that it explains on left-out examples.
    """
    centred = scores - scores.mean()
    length = inputs.square().sum(dim=1).mean()
    constant = (INTERCEPT * length.sqrt()).expand(len(inputs), 1)
    left, stretch, right = torch.linalg.svd(torch.cat([inputs, constant], dim=1), full_matrices=False)
    seen = left.T @ centred
    tried = []
    for shrinkage in (SHRINKAGES * length).tolist():
        kept = stretch.square() / (stretch.square() + shrinkage)
        missed = (centred - left @ (kept * seen)) / (1 - left.square() @ kept)
        tried.append((float(missed.square().mean() / centred.square().mean()), shrinkage))
    error, shrinkage = min(tried)
    slope = right.T @ (stretch / (stretch.square() + shrinkage) * seen)
    return slope[:-1], 1 - error
