"""The lattice penalty: detail should not depend on a pixel's position within the lattice of pixels.

In a photograph even rows have as much detail as odd ones. A network that doubles its maps again and again draws some
positions differently, and leaves dots and checkers where its images are busy. If their sign depends on the image, no
frequency stands out (see ``metrics.periodicity``), but the energy of detail still differs from position to position.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from handful.compute import shared_batch
from handful.objective.spectrum import longest_period, mean_over

CELL = 4
"""Side, in pixels, of the cells within which positions are told apart, at full, half and quarter size."""

FILTERS = (
    ((1, -1, 0), (1, -1, 0), (0, 0, 0)),
    ((1, 1, 0), (-1, -1, 0), (0, 0, 0)),
    ((1, -1, 0), (-1, 1, 0), (0, 0, 0)),
    ((0, -1, 0), (-1, 4, -1), (0, -1, 0)),
)
"""The kinds of detail: Haar differences along rows, along columns and across, and a pixel against its four neighbours.

The first three see patterns in squares, the last one patterns around points."""

ROUNDING_ENERGY = (2 / 255) ** 2 / 12
"""Energy of rounding to 8 bits, added to each energy: less is invisible."""


def energies(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "k p p"]:
    """Return the mean energy of each kind of detail by position in cells of 4x4 pixels.

    Measured at full, half and quarter size, so cells cover 4, 8 and 16 pixels, as far as they repeat often enough;
    empty below 32 px.

    Source: the undecimated Haar transform (Mallat 1999, "A wavelet tour of signal processing", section 5.5); upsampling
    makes statistics differ by position (Sathe and Vaidyanathan 1993, "Effects of multirate systems on the statistical
    properties of random signals").
    """
    longest = longest_period((images.shape[2], images.shape[3])) or 0
    scaled, measured = images.float().flatten(0, 1)[:, None], []
    for level in range((longest // CELL).bit_length()):
        scaled = F.avg_pool2d(scaled, 2) if level else scaled
        # Pixels of one position become one channel, so that each position has its own output.
        detail = F.conv2d(F.pixel_unshuffle(scaled, CELL), kernel(scaled.device))  # [b 4*16 h/4-1 w/4-1]
        measured.append(detail.square().mean(dim=(0, 2, 3)).view(len(FILTERS), CELL, CELL))
    return torch.cat(measured) if measured else images.new_zeros(0, CELL, CELL)


@lru_cache(maxsize=8)
def kernel(device: torch.device) -> Float[Tensor, "o 16 2 2"]:
    """Build the kernel that has each filter at each position of a cell, reaching into the cells right and below."""
    placed = torch.zeros(len(FILTERS), CELL, CELL, 2 * CELL, 2 * CELL)
    for row, column in product(range(CELL), repeat=2):
        placed[:, row, column, row : row + 3, column : column + 3] = torch.tensor(FILTERS)
    return F.pixel_unshuffle(placed.flatten(0, 2)[:, None], CELL).to(device)


def sampled(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "k p p"]:
    """Estimate ``energies`` from one channel of each image: the first image's first, the second's second, and so on."""
    number = shared_batch.local_indices(len(images), images.device)[:, None]
    used = number % images.shape[1] == torch.arange(images.shape[1], device=images.device)  # [b c]
    return energies((images * used[:, :, None, None]).sum(dim=1, keepdim=True))


def target(images: UInt8[Tensor, "n c h w"], device: torch.device, *, mirror: bool) -> Float[Tensor, "k p p"]:
    """Return the mean energies of the training images, and of their mirror images if those are trained on."""
    return mean_over(images, device, energies, mirror=mirror)


def unevenness(mean: Float[Tensor, "k p p"], target: Float[Tensor, "k p p"]) -> Float[Tensor, "k p p"]:
    """Return ``log(mean / target)`` at each position, less its mean over positions."""
    ratio = torch.log((mean + ROUNDING_ENERGY) / (target + ROUNDING_ENERGY))
    return ratio - ratio.mean(dim=(1, 2), keepdim=True)


def decibels(mean: Float[Tensor, "k p p"], target: Float[Tensor, "k p p"]) -> Float[Tensor, ""]:
    """Return the root mean square of the unevenness over positions and kinds of detail, in dB."""
    return unevenness(mean, target).square().sum().div(max(1, mean.numel())).sqrt() * (10 / math.log(10))


def penalty(
    batch_energies: Float[Tensor, "k p p"], mean: Float[Tensor, "k p p"], target: Float[Tensor, "k p p"]
) -> Float[Tensor, ""]:
    """Penalise detail at positions where generated images have had more than at others, and reward it elsewhere.

    The sum over kinds of detail of ``mean(u * e / m)`` over positions, with the batch's energies ``e``, the running
    mean ``m`` of generated images, and ``u = log(m / t)`` less its mean, for the training images' energies ``t``. Its
    gradient is that of half the variance of ``log(m / t)`` over positions. So it asks for neither more detail nor less,
    only for the same amount at each position.

    Source: ours.
    """
    return (unevenness(mean, target) * batch_energies / (mean + ROUNDING_ENERGY)).mean(dim=(1, 2)).sum()
