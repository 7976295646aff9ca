"""Dots and checkers that a generator leaves where its pictures are busy, found in where detail lies. No network."""

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
    """Gather the mean energy of detail by place of a stream of images, of every second one by itself."""

    def __init__(self) -> None:
        self.totals: list[Tensor | float] = [0.0, 0.0]
        self.counts = [0, 0]

    def add(self, images: UInt8[Tensor, "b c h w"]) -> None:
        """Take in the next images."""
        first = sum(self.counts) % 2
        for half, chosen in ((first, images[::2]), (1 - first, images[1::2])):
            if len(chosen):
                self.totals[half] = self.totals[half] + energies(from_bytes(chosen.cpu())).double() * len(chosen)
                self.counts[half] += len(chosen)

    def mean(self, half: int) -> Float[Tensor, "k p p"]:
        """Give the mean energies of every second image, from the first on or from the second."""
        return torch.as_tensor(self.totals[half] / self.counts[half])


def excess_unevenness(samples: Detail, reference: Detail) -> float | None:
    """Say by how many decibels the energy of detail differs from place to place, beyond the training images.

    The deviation over the places of a cell of 4 x 4, 8 x 8 or 16 x 16 pixels, of the kind of detail (see
    ``handful.lattice``) for which it is largest. It is taken from two halves of the images that are held against each
    other, so that chance, which gives each half other places, adds nothing on average. None if images are too small.

    Source: ours.
    """
    if not len(samples.mean(0)):
        return None
    one, other = (unevenness(samples.mean(half), reference.mean(half)) for half in (0, 1))
    variance = (one * other).mean(dim=(1, 2)).max().clamp(min=0)
    return float(variance.sqrt()) * (10 / math.log(10))
