"""Directions of the latent space along which pictures change in one way, found without labels or from examples.

A file of directions is a safetensors file with the model's fingerprint, as latent files are (``points``).
"""

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
"""Among which leaving examples out decides, as shares of their mean square length."""


FREE = 10.0
"""How far the mean of scores may be from 0, in lengths of an example: so far that it is as good as free."""


def from_weights(model: Model, count: int) -> Directions:
    """Give the directions that the first layer's weights stretch most: eigenvectors of ``A A^T``, without a picture.

    Source: SeFa (Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs"), equation 4. The weights
    are those with spectral norm and BatchNorm in them.

    Raises:
        UsageError: if there are not so many.
    """
    weight = model.folded.first.weight.double().cpu()  # [z 2c*h*w]
    return leading(weight @ weight.T, count)


def from_maps(model: Model, count: int) -> Directions:
    """Give the directions along which a low map changes most, as far as latents move it linearly.

    Source: GANSpace (Härkönen et al. 2020), section 2.2, which takes the principal components of a map and then looks
    for the latents that move it so. Here what latents do not explain, such as noise, is taken away first.

    Raises:
        UsageError: if there are not so many.
    """
    return leading(model.response, count)


def from_examples(model: Model, latents: Latents, scores: Sequence[float], name: str) -> Directions:
    """Give the direction along which scores rise, from examples of them.

    Regresses scores on latents. A latent has hundreds of numbers and there are tens of examples, so it matters what is
    believed beforehand: that scores change where low maps do (``Model.response``). Twenty examples then do what two
    hundred would without (dev/LOG.md, 2026-11-25). How much to believe it is decided by leaving out examples, one at a
    time.

    Args:
        model: The generator.
        latents: The examples.
        scores: A number for each: any scale, and as many decimals as one likes.
        name: What to call it.

    Source: Ridge regression with its closed leave-one-out error (Hastie et al. 2009, section 7.10); its covariance is
    ours.

    Raises:
        UsageError: if there are fewer than 2 examples, or all scores are the same, or one is no finite number.
    """
    if len(latents) != len(scores):
        raise UsageError(f"{len(scores)} scores for {len(latents)} examples: give one for each")
    if not all(map(math.isfinite, scores)):
        raise UsageError("a score is not a finite number")
    if len(latents) < 2 or min(scores) == max(scores):
        raise UsageError("examples: two or more are needed, and not all of the same score; nothing can be told apart")
    values, vectors = torch.linalg.eigh(model.response)
    root = vectors * values.clamp(min=0).sqrt()
    slope, told = regressed(latents.z.double() @ root, torch.tensor(scores, dtype=torch.float64))
    return Directions(F.normalize(root @ slope, dim=0).float()[None], (name,), (told,))


def leading(covariance: Float64[Tensor, "z z"], count: int) -> Directions:
    """Give the eigenvectors of largest eigenvalue; their largest number is positive, so that signs are no accident."""
    most = len(covariance)
    if not 1 <= count <= most:
        raise UsageError(f"--count {count}: must be from 1 to {most}, the numbers in a latent")
    values, vectors = torch.linalg.eigh(covariance)
    found = vectors.T.flip(0)[:count]
    largest = found.gather(1, found.abs().argmax(dim=1, keepdim=True))
    times = (values.clamp(min=0) / values.mean()).sqrt().flip(0)[:count]
    names = tuple(str(place + 1) for place in range(count))
    return Directions((found * largest.sign()).float(), names, tuple(times.tolist()))


def regressed(inputs: Float64[Tensor, "n d"], scores: Float64[Tensor, " n"]) -> tuple[Float64[Tensor, " d"], float]:
    """Regress scores on inputs by ridge regression, with the strength that tells left-out scores best.

    Returns:
        The slope, and the share of the scores' variance that is told of examples left out one at a time.
    """
    about = scores - scores.mean()
    length = inputs.square().sum(dim=1).mean()
    free = (FREE * length.sqrt()).expand(len(inputs), 1)
    left, stretch, right = torch.linalg.svd(torch.cat([inputs, free], dim=1), full_matrices=False)
    seen = left.T @ about
    tried = []
    for shrinkage in (SHRINKAGES * length).tolist():
        kept = stretch.square() / (stretch.square() + shrinkage)
        missed = (about - left @ (kept * seen)) / (1 - left.square() @ kept)
        tried.append((float(missed.square().mean() / about.square().mean()), shrinkage))
    error, shrinkage = min(tried)
    slope = right.T @ (stretch / (stretch.square() + shrinkage) * seen)
    return slope[:-1], 1 - error
