"""The power that images have at each frequency, and what the generator is charged for having another.

A discriminator that is trained on a handful of images is slow to object to grids and to fine grain: it sees few
examples, through convolutions whose gain is held at one. But the mean spectrum of even twenty images is known well.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from handful.config.sizes import Shape
from handful.images.grid import from_bytes

PERIODS = (2, 4, 8, 16)
"""Pixels between two lines of the grids that are looked for: what upsampling by two, again and again, can leave."""


FEWEST_CYCLES = 8
"""Times that a grid must repeat over an image; fewer cannot be told from what the image shows."""


AROUND, CORE = 3, 1
"""A frequency is held against those at most so far from it, without those that are nearer than the other."""


def longest_period(shape: Shape) -> int | None:
    """Give the longest of the ``PERIODS`` that divides both sides and repeats often enough; None if none does."""
    height, width = shape
    fitting = (period for period in PERIODS if height % period == width % period == 0)
    return max((period for period in fitting if min(shape) // period >= FEWEST_CYCLES), default=None)


MOST = 1_000
"""Training images that are looked at, evenly spread: the mean of so many is known well, and takes seconds."""


FLOOR = 1e-3
"""What is added to each power, of the median of all: less is nothing that can be seen."""


Places = tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]
"""Rows and columns."""


def power(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "h _"]:
    """Give the mean power at each frequency, of half the plane: the other half is the same.

    Each channel is taken less its mean and under a Hann window, so that opposite edges do not meet.
    """
    lines = [torch.hann_window(side, periodic=False, device=images.device) for side in images.shape[2:]]
    exact = images.float()
    shown = (exact - exact.mean(dim=(2, 3), keepdim=True)) * (lines[0][:, None] * lines[1])
    return torch.view_as_real(torch.fft.rfft2(shown)).square().sum(dim=-1).mean(dim=(0, 1))


def wanted(images: UInt8[Tensor, "n c h w"], device: torch.device, *, mirror: bool) -> Float[Tensor, "h _"]:
    """Give the mean power of the training images, with their mirror images if they are shown too."""
    return mean_over(images, device, power, mirror=mirror)


def mean_over(
    images: UInt8[Tensor, "n c h w"], device: torch.device, measure: Callable[[Tensor], Tensor], *, mirror: bool
) -> Float[Tensor, "*shape"]:
    """Give the mean of a measure over the training images, or many of them, and their mirror images."""
    chosen = images[:: -(-len(images) // MOST)]

    def of(batch: UInt8[Tensor, "b c h w"]) -> Tensor:
        shown = from_bytes(batch.to(device))
        return (measure(shown) + measure(shown.flip(-1))) / 2 if mirror else measure(shown)

    total = sum(of(batch) * len(batch) for batch in torch.split(chosen, 16))
    return torch.as_tensor(total) / len(chosen)


def floor(wanted: Float[Tensor, "h f"]) -> Float[Tensor, ""]:
    """Give the power that is too little to be seen."""
    return FLOOR * wanted.median()


def excess(mean: Float[Tensor, "h f"], wanted: Float[Tensor, "h f"], least: Float[Tensor, ""]) -> Float[Tensor, "h f"]:
    """Say how far a mean power is above the one that is wanted, as a logarithm."""
    return torch.log((mean + least) / (wanted + least))


def decibels(mean: Float[Tensor, "h f"], wanted: Float[Tensor, "h f"]) -> Float[Tensor, ""]:
    """Give the mean over frequencies of how far the power is off, either way."""
    return excess(mean, wanted, floor(wanted)).abs().mean() * (10 / math.log(10))


def charge(
    images: Float[Tensor, "b c h w"], mean: Float[Tensor, "h f"], wanted: Float[Tensor, "h f"]
) -> Float[Tensor, ""]:
    """Charge a batch for its power at frequencies where images have had more than is wanted.

    ``mean(max(0, log(m / w)) * p / m)``, with the batch's power ``p``, the running mean ``m`` of generated images and
    the power ``w`` of the training images; over all frequencies, and again over those of the grids that upsampling
    leaves, which in a large image are a vanishing share of all. There ``w`` is less where the surroundings of a
    frequency have less than is wanted: on blurred ground a grid shows that would not on the training images'.

    A batch says little about its spectrum, many say enough; and where the two agree nothing is charged, whatever a
    batch has. Power that is wanting is not credited: a grid is the easiest way to have it.

    Source: ours. That generators miss the spectrum, and that they can be trained on it: Durall et al. 2020, "Watch
    your up-convolution", with means over circles and single images.
    """
    least, had = floor(wanted), power(images)

    def charged(
        had: Float[Tensor, "r c"], mean: Float[Tensor, "r c"], wanted: Float[Tensor, "r c"]
    ) -> Float[Tensor, ""]:
        return (excess(mean, wanted, least).clamp(min=0) * had / (mean + least)).mean()

    everywhere = charged(had, mean, wanted)
    height, width = images.shape[2:]
    longest = longest_period((height, width))
    if longest is None:
        return everywhere
    at, around = grids(mean, longest)
    fair = wanted[at] * (surroundings(mean, around) / surroundings(wanted, around)).clamp(max=1)
    return everywhere + charged(had[at], mean[at], fair)


def grids(power: Float[Tensor, "h f"], longest: int) -> tuple[Places, Places]:
    """Give the places of the frequencies whose periods divide the longest one, and those around each of them.

    Rows and columns are of half a plane, as powers are; the other half is mirrored in its middle.
    """
    height, half = power.shape
    width = 2 * (half - 1)
    device = power.device
    rows = torch.arange(0, height, height // longest, device=device)[:, None]
    columns = torch.arange(0, half, width // longest, device=device)
    near = torch.arange(-AROUND, AROUND + 1, device=device)
    y, x = rows[..., None, None] + near[:, None], columns[:, None, None] + near  # [r 1 n 1] and [c 1 n]
    y = torch.where((x < 0) | (x >= half), -y, y) % height
    x = torch.where(x >= half, width - x, x.abs())
    return (rows, columns), (y, x)


def surroundings(power: Float[Tensor, "h f"], around: Places) -> Float[Tensor, "r c"]:
    """Give the mean power around each frequency, without those that are so near that they share in it."""
    far = torch.arange(-AROUND, AROUND + 1, device=power.device).abs()
    ring = torch.maximum(far[:, None], far) > CORE
    return (power[around] * ring).sum(dim=(-1, -2)) / ring.sum()
