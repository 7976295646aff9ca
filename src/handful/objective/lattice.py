"""How unevenly detail lies on the lattice of pixels, and what the generator is charged for it.

In a photograph no pixel knows whether its row is even: any place has as much detail as any other. A network that
doubles its maps again and again draws some places otherwise than others, and leaves dots and checkers where its
pictures are busy. Where their sign changes with what is drawn, no frequency stands out for it (see
``metrics.periodicity``), but the energy of detail still differs from place to place.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from handful.compute import shared_batch as shares
from handful.objective.spectrum import longest_period, mean_over

CELL = 4
"""Side of the cells within which places are told apart, in pixels of the image and of each smaller one."""


FILTERS = (
    ((1, -1, 0), (1, -1, 0), (0, 0, 0)),
    ((1, 1, 0), (-1, -1, 0), (0, 0, 0)),
    ((1, -1, 0), (-1, 1, 0), (0, 0, 0)),
    ((0, -1, 0), (-1, 4, -1), (0, -1, 0)),
)
"""The kinds of detail: how neighbours differ along rows, along columns and across, as the Haar transform has it, which
sees what lies in squares; and how a pixel differs from the four around it, which sees what lies around points."""


ROUNDING = (2 / 255) ** 2 / 12
"""Energy of rounding to 8 bits, added to each: less is nothing that can be seen."""


def energies(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "k p p"]:
    """Give the mean energy of each kind of detail by its place in cells of 4 x 4 pixels.

    Of the images, and of them halved and quartered. So cells are of 4, 8 and 16 pixels, where they repeat often enough;
    there are none in images below 32 px.

    Source: the Haar transform, undecimated (Mallat 1999, "A wavelet tour of signal processing", section 5.5); that
    upsampling makes statistics differ by place is Sathe and Vaidyanathan 1993, "Effects of multirate systems on the
    statistical properties of random signals".
    """
    longest = longest_period((images.shape[2], images.shape[3])) or 0
    now, found = images.float().flatten(0, 1)[:, None], []
    for level in range((longest // CELL).bit_length()):
        now = F.avg_pool2d(now, 2) if level else now
        # Pixels of one place become one channel, so that each place has its own output.
        detail = F.conv2d(F.pixel_unshuffle(now, CELL), kernel(now.device))  # [b 4*16 h/4-1 w/4-1]
        found.append(detail.square().mean(dim=(0, 2, 3)).view(len(FILTERS), CELL, CELL))
    return torch.cat(found) if found else images.new_zeros(0, CELL, CELL)


@lru_cache(maxsize=8)
def kernel(device: torch.device) -> Float[Tensor, "o 16 2 2"]:
    """Make the kernel that has each filter at each place of a cell, and reaches into those right of it and below."""
    placed = torch.zeros(len(FILTERS), CELL, CELL, 2 * CELL, 2 * CELL)
    for row, column in product(range(CELL), repeat=2):
        placed[:, row, column, row : row + 3, column : column + 3] = torch.tensor(FILTERS)
    return F.pixel_unshuffle(placed.flatten(0, 2)[:, None], CELL).to(device)


def sampled(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "k p p"]:
    """Estimate ``energies`` from one channel of each image, of the first of a batch the first, and so on."""
    number = shares.numbers(len(images), images.device)[:, None]
    looked_at = number % images.shape[1] == torch.arange(images.shape[1], device=images.device)  # [b c]
    return energies((images * looked_at[:, :, None, None]).sum(dim=1, keepdim=True))


def wanted(images: UInt8[Tensor, "n c h w"], device: torch.device, *, mirror: bool) -> Float[Tensor, "k p p"]:
    """Give the mean energies of the training images, with their mirror images if they are shown too."""
    return mean_over(images, device, energies, mirror=mirror)


def unevenness(mean: Float[Tensor, "k p p"], wanted: Float[Tensor, "k p p"]) -> Float[Tensor, "k p p"]:
    """Say how far each place is above the mean of all places, as a logarithm, and beyond what is wanted."""
    over = torch.log((mean + ROUNDING) / (wanted + ROUNDING))
    return over - over.mean(dim=(1, 2), keepdim=True)


def decibels(mean: Float[Tensor, "k p p"], wanted: Float[Tensor, "k p p"]) -> Float[Tensor, ""]:
    """Give the root mean square of the unevenness, over places and kinds of detail."""
    return unevenness(mean, wanted).square().sum().div(max(1, mean.numel())).sqrt() * (10 / math.log(10))


def charge(
    images: Float[Tensor, "b c h w"], mean: Float[Tensor, "k p p"], wanted: Float[Tensor, "k p p"]
) -> Float[Tensor, ""]:
    """Charge a batch for detail at places where images have had more than at others, and credit it for the contrary.

    The sum over kinds of detail of ``mean(u * e / m)`` over places, with the batch's energies ``e``, the running mean
    ``m`` of generated images, and ``u = log(m / w)`` less its mean, where ``w`` are the training images'. That is the
    gradient of half the variance of ``log(m / w)`` over places. It asks for no more detail and no less, only for as
    much at each place.

    Source: ours.
    """
    return (unevenness(mean, wanted) * sampled(images) / (mean + ROUNDING)).mean(dim=(1, 2)).sum()
