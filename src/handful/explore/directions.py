"""Directions of the latent space along which pictures change in one way, found without labels or from examples.

A file of directions is a safetensors file with the model's fingerprint, as latent files are (``points``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from handful.errors import UsageError
from handful.model import Model
from handful.points import ENDING, Points, chosen, read_tensors, write_tensors

FORMAT = "handful directions 1"
SHRINKAGES = torch.logspace(-3, 2, 21, dtype=torch.float64)
"""Among which leaving examples out decides, as shares of their mean square length."""
FREE = 10.0
"""How far the mean of scores may be from 0, in lengths of an example: so far that it is as good as free."""


@final
@dataclass(frozen=True)
class Directions:
    """Directions in the latent space of a model, on the CPU."""

    vectors: Float[Tensor, "n z"]
    """Of length 1, so that a strength is in standard deviations of latents."""
    names: tuple[str, ...]
    measures: tuple[float, ...]
    """How many times as far as a random direction it moves what it was found in; or, from examples, the share of the
    scores' variance that it tells of examples left out: below 0 it tells less than their mean."""

    def pick(self, place: int) -> Directions:
        """Give one of them."""
        return Directions(self.vectors[place : place + 1], (self.names[place],), (self.measures[place],))

    def save(self, path: Path | str, model: Model) -> None:
        """Write a file of directions, whole or not at all."""
        tensors = {"vectors": self.vectors, "measures": torch.tensor(self.measures)}
        write_tensors(Path(path), tensors, FORMAT, model, self.names)


def load_directions(path: Path | str, model: Model) -> Directions:
    """Read a file of directions.

    Raises:
        UsageError: as ``load_points``.
    """
    tensors, names = read_tensors(Path(path), FORMAT, model, "a file of directions")
    return Directions(tensors["vectors"], names, tuple(tensors["measures"].tolist()))


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


def from_examples(model: Model, points: Points, scores: Sequence[float], name: str) -> Directions:
    """Give the direction along which scores rise, from examples of them.

    Regresses scores on latents. A latent has hundreds of numbers and there are tens of examples, so it matters what is
    believed beforehand: that scores change where low maps do (``Model.response``). Twenty examples then do what two
    hundred would without (LOG.md, 2026-11-25). How much to believe it is decided by leaving out examples, one at a
    time.

    Args:
        model: The generator.
        points: The examples.
        scores: A number for each: any scale, and as many decimals as one likes.
        name: What to call it.

    Source: Ridge regression with its closed leave-one-out error (Hastie et al. 2009, section 7.10); its covariance is
    ours.

    Raises:
        UsageError: if there are fewer than 2 examples, or all scores are the same, or one is no finite number.
    """
    if len(points) != len(scores):
        raise UsageError(f"{len(scores)} scores for {len(points)} examples: give one for each")
    if not all(map(math.isfinite, scores)):
        raise UsageError("a score is not a finite number")
    if len(points) < 2 or min(scores) == max(scores):
        raise UsageError("examples: two or more are needed, and not all of the same score; nothing can be told apart")
    values, vectors = torch.linalg.eigh(model.response)
    root = vectors * values.clamp(min=0).sqrt()
    slope, told = regressed(points.z.double() @ root, torch.tensor(scores, dtype=torch.float64))
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


def moved(points: Points, vector: Float[Tensor, " z"], strength: float) -> Points:
    """Move points along a direction, and keep their latents as long as they were; 0 leaves them, bit for bit.

    Noise and classes stay. The strength is in standard deviations of latents: 3 goes far, 10 to where all are alike.

    Raises:
        UsageError: if the strength is not a finite number.
    """
    if not math.isfinite(strength):
        raise UsageError(f"strength {strength}: must be a number, such as 2 or -1.5")
    if strength == 0:
        return points
    z = points.z + strength * vector
    z = z * (points.z.norm(dim=1, keepdim=True) / z.norm(dim=1, keepdim=True).clamp(min=1e-12))
    return Points(z, points.noise, points.labels, points.names)


def along(points: Points, moves: Sequence[str], model: Model) -> Points:
    """Move points along directions, each told as ``FILE=STRENGTH`` or ``FILE:NAME=STRENGTH``.

    Raises:
        UsageError: if one cannot be read, or as ``load_directions``.
    """
    step = torch.zeros(model.config.latent)
    for text in moves:
        place, _, strength = text.rpartition("=")
        times = number(strength)
        if not place or times is None:
            raise UsageError(f"--along {text}: must be FILE{ENDING}:NAME=STRENGTH, as in smile{ENDING}=2")
        step += times * direction(place, model)
    return moved(points, step, 1.0) if step.any() else points


def number(text: str) -> float | None:
    """Read a finite number; None if the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def direction(text: str, model: Model) -> Float[Tensor, " z"]:
    """Read the one direction of a file, or that of ``FILE:NAME``."""
    stem, _, name = text.partition(f"{ENDING}:")
    found = load_directions(stem + ENDING if name else text, model)
    if not name and len(found.names) > 1:
        raise UsageError(f"{text}: holds {len(found.names)} directions; say which, as in {text}:{found.names[0]}")
    return found.vectors[chosen(found.names, name, text)[0] if name else 0]
