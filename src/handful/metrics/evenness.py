"""Dots and checkers in busy parts of generated images, found by the positions of detail. No network."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handful.images.grid import from_bytes
from handful.objective.lattice import energies, unevenness


@final
class Detail:
    """Gathers the mean energy of detail by pixel position, separately for even and odd images of a stream."""

    def __init__(self) -> None:
        self.totals: list[Tensor | float] = [0.0, 0.0]
        self.counts = [0, 0]

    def add(self, images: UInt8[Tensor, "b c h w"]) -> None:
        """Add images."""
        first = sum(self.counts) % 2
        for half, chosen in ((first, images[::2]), (1 - first, images[1::2])):
            if len(chosen):
                self.totals[half] = self.totals[half] + energies(from_bytes(chosen.cpu())).double() * len(chosen)
                self.counts[half] += len(chosen)

    def mean(self, half: int) -> Float[Tensor, "k p p"]:
        """Return the mean energies of the images with even (0) or odd (1) numbers."""
        return torch.as_tensor(self.totals[half] / self.counts[half])


def excess_unevenness(samples: Detail, reference: Detail) -> float | None:
    """Return by how many decibels the energy of detail varies with pixel position, beyond the training images.

    The standard deviation over the positions in cells of 4 x 4, 8 x 8 or 16 x 16 pixels, for the kind of detail (see
    ``objective.lattice``) for which it is largest. It is the covariance of two halves of the images: chance differs
    between the halves, so it adds nothing on average. None if images are too small.

    Source: ours.
    """
    if not len(samples.mean(0)):
        return None
    one, other = (unevenness(samples.mean(half), reference.mean(half)) for half in (0, 1))
    variance = (one * other).mean(dim=(1, 2)).max().clamp(min=0)
    return float(variance.sqrt()) * (10 / math.log(10))
