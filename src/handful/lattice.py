"""How unevenly detail lies on the lattice of pixels, and what the generator is charged for it.

In a photograph no pixel knows whether its row is even: any place has as much detail as any other. A network that
doubles its maps again and again draws some places otherwise than others, and leaves dots and checkers where its
pictures are busy. Where their sign changes with what is drawn, no frequency stands out for it (see
``metrics.periodicity``), but the energy of detail still differs from place to place.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from handful import shares
from handful.metrics.periodicity import longest_period
from handful.spectrum import mean_over

CELL = 4
"""Side of the cells within which places are told apart, in pixels of the image and of each smaller one."""
ROUNDING = (2 / 255) ** 2 / 12
"""Energy of rounding to 8 bits, added to each: less is nothing that can be seen."""


def energies(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "k p p"]:
    """Give the mean energy of each kind of detail by its place in cells of 4 x 4 pixels.

    In the images, and in them halved and quartered, four kinds: how neighbours differ along rows, along columns and
    across, as the Haar transform has it, and how a pixel differs from the four around it. The former see what lies in
    squares, the latter what lies around points. So cells are of 4, 8 and 16 pixels, where they repeat often enough;
    there are none in images below 32 px.

    Source: the Haar transform, undecimated (Mallat 1999, "A wavelet tour of signal processing", section 5.5); that
    upsampling makes statistics differ by place is Sathe and Vaidyanathan 1993, "Effects of multirate systems on the
    statistical properties of random signals".
    """
    longest = longest_period((images.shape[2], images.shape[3])) or 0
    now, found = images.float(), []
    for level in range((longest // CELL).bit_length()):
        now = F.avg_pool2d(now, 2) if level else now
        left, right = now[..., :-1], now[..., 1:]
        along, across = left + right, left - right
        (upper, lower), (above, below) = ((each[:, :, :-1], each[:, :, 1:]) for each in (along, across))
        beside = along[:, :, 1:-1, :-1] + along[:, :, 1:-1, 1:]  # twice the middle, and both sides
        point = 6 * now[:, :, 1:-1, 1:-1] - beside - now[:, :, :-2, 1:-1] - now[:, :, 2:, 1:-1]
        found += [by_place(each) for each in (above + below, upper - lower, above - below, point)]
    return torch.stack(found) if found else images.new_zeros(0, CELL, CELL)


def by_place(detail: Float[Tensor, "b c h w"]) -> Float[Tensor, "p p"]:
    """Give the mean energy at each place of a cell; what is left at the edge is no whole cell, and not counted."""
    energy = detail.square().mean(dim=(0, 1))
    rows, columns = (side // CELL for side in energy.shape)
    return energy[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(dim=(0, 2))


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
