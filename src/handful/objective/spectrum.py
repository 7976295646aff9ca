"""The spectrum penalty: generated images should have no more power at any frequency than training images have.

A discriminator trained on a handful of images is slow to object to grids and fine grain: it sees few examples, through
convolutions whose gain is held at one. But twenty images suffice to know the mean spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from handful.config.sizes import Shape
from handful.images.grid import from_bytes

GRID_PERIODS = (2, 4, 8, 16)
"""Pixels between two lines of the grids that repeated upsampling by two can leave."""

MIN_CYCLES = 8
"""Times that a grid must repeat over an image to be told from the image's content."""

OUTER, INNER = 3, 1
"""A frequency is compared with those up to ``OUTER`` bins away, without those up to ``INNER`` bins away."""

MAX_MEASURED_IMAGES = 1_000
"""Training images that are measured, evenly spread; their mean is known well, and it takes seconds."""

FLOOR = 1e-3
"""Share of the median power that is added to each power: less is invisible."""

Places = tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]
"""Rows and columns of a spectrum."""


def longest_period(shape: Shape) -> int | None:
    """Return the longest grid period that divides both sides and repeats often enough; None if there is none."""
    height, width = shape
    fitting = (period for period in GRID_PERIODS if height % period == width % period == 0)
    return max((period for period in fitting if min(shape) // period >= MIN_CYCLES), default=None)


def power(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "h _"]:
    """Return the mean power at each frequency, over half the plane; the other half is the same.

    Each channel is taken less its mean and under a Hann window, so that opposite edges do not meet. Computed in
    float32; in float64 for float64 images.
    """
    exact = images if images.dtype == torch.float64 else images.float()
    height, width = images.shape[2:]
    column, row = (torch.hann_window(side, False, dtype=exact.dtype, device=exact.device) for side in (height, width))
    shown = (exact - exact.mean(dim=(2, 3), keepdim=True)) * (column[:, None] * row)
    measured: Tensor = MeanPower.apply(shown)  # type: ignore[no-untyped-call]
    return measured


class MeanPower(torch.autograd.Function):
    """The mean power of maps over half the plane.

    Automatic differentiation would take a transform over the whole plane, of complex numbers.
    """

    @staticmethod
    def forward(ctx: Any, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "h _"]:  # noqa: ANN401
        """Return the mean over images and channels."""
        transform = torch.fft.rfft2(maps)
        ctx.save_for_backward(transform)
        ctx.shape = maps.shape
        return torch.view_as_real(transform).square().sum(dim=-1).mean(dim=(0, 1))

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "h _"]) -> Float[Tensor, "b c h w"]:  # noqa: ANN401
        """Return ``2 Re(sum of gradient * transform)`` over half the plane, as the inverse transform sums it."""
        (transform,) = ctx.saved_tensors
        count, channels, height, width = ctx.shape
        # The inverse transform counts columns twice that have a mirror image in the other half.
        weight = gradient * (height * width / (count * channels))
        weight[:, 0] *= 2
        if width % 2 == 0:
            weight[:, -1] *= 2
        slope: Tensor = torch.fft.irfft2(transform * weight, s=(height, width))
        return slope


def target(images: UInt8[Tensor, "n c h w"], device: torch.device, *, mirror: bool) -> Float[Tensor, "h _"]:
    """Return the mean power of the training images, and of their mirror images if those are trained on."""
    return mean_over(images, device, power, mirror=mirror)


def mean_over(
    images: UInt8[Tensor, "n c h w"], device: torch.device, measure: Callable[[Tensor], Tensor], *, mirror: bool
) -> Float[Tensor, "*shape"]:
    """Return the mean of a measure over the training images, or many of them, and their mirror images."""
    chosen = images[:: -(-len(images) // MAX_MEASURED_IMAGES)]

    def measured(batch: UInt8[Tensor, "b c h w"]) -> Tensor:
        shown = from_bytes(batch.to(device))
        return (measure(shown) + measure(shown.flip(-1))) / 2 if mirror else measure(shown)

    total = sum(measured(batch) * len(batch) for batch in torch.split(chosen, 16))
    return torch.as_tensor(total) / len(chosen)


def floor(target: Float[Tensor, "h f"]) -> Float[Tensor, ""]:
    """Return the power below which nothing is visible."""
    return FLOOR * target.median()


def log_ratio(
    mean: Float[Tensor, "h f"], target: Float[Tensor, "h f"], least: Float[Tensor, ""]
) -> Float[Tensor, "h f"]:
    """Return ``log(mean / target)``, with ``least`` added to both."""
    return torch.log((mean + least) / (target + least))


def decibels(mean: Float[Tensor, "h f"], target: Float[Tensor, "h f"]) -> Float[Tensor, ""]:
    """Return the mean absolute difference from the target over frequencies, in dB."""
    return log_ratio(mean, target, floor(target)).abs().mean() * (10 / math.log(10))


def penalty(
    batch_power: Float[Tensor, "h f"], mean: Float[Tensor, "h f"], target: Float[Tensor, "h f"]
) -> Float[Tensor, ""]:
    """Penalise a batch's power at frequencies where generated images have had more than training images.

    ``mean(max(0, log(m / t)) * p / m)`` with the batch's power ``p``, the running mean ``m`` of generated images and
    the training images' power ``t``. The mean is taken over all frequencies, and again over the grid frequencies that
    upsampling leaves, since in a large image those are a vanishing share of all. At a grid frequency the target is
    lowered where its surroundings have less power than the training images': on blurred ground a weaker grid shows.

    One batch says little about the spectrum, many say enough. Where the means agree the penalty is 0, whatever the
    batch has. Missing power is not rewarded: a grid would be the easiest way to add it.

    Source: ours. Generators miss the spectrum and can be trained on it: Durall et al. 2020, "Watch your
    up-convolution", with means over circles and single images.
    """
    least = floor(target)

    def over(
        batch: Float[Tensor, "r c"], mean: Float[Tensor, "r c"], target: Float[Tensor, "r c"]
    ) -> Float[Tensor, ""]:
        return (log_ratio(mean, target, least).clamp(min=0) * batch / (mean + least)).mean()

    everywhere = over(batch_power, mean, target)
    longest = longest_period((len(mean), 2 * (mean.shape[1] - 1)))
    if longest is None:
        return everywhere
    at, around = grid_places(mean, longest)
    fair = target[at] * (surroundings(mean, around) / surroundings(target, around)).clamp(max=1)
    return everywhere + over(batch_power[at], mean[at], fair)


def grid_places(power: Float[Tensor, "h f"], longest: int) -> tuple[Places, Places]:
    """Return the places of the frequencies whose periods divide the longest one, and the places around each.

    Rows and columns are those of half a plane, as powers are; the other half is its mirror image.
    """
    height, half = power.shape
    width = 2 * (half - 1)
    device = power.device
    rows = torch.arange(0, height, height // longest, device=device)[:, None]
    columns = torch.arange(0, half, width // longest, device=device)
    near = torch.arange(-OUTER, OUTER + 1, device=device)
    y, x = rows[..., None, None] + near[:, None], columns[:, None, None] + near  # [r 1 n 1] and [c 1 n]
    y = torch.where((x < 0) | (x >= half), -y, y) % height
    x = torch.where(x >= half, width - x, x.abs())
    return (rows, columns), (y, x)


def surroundings(power: Float[Tensor, "h f"], around: Places) -> Float[Tensor, "r c"]:
    """Return the mean power around each frequency, without its nearest neighbours, which share its power."""
    counted = ring(power.device)
    return (power[around] * counted).sum(dim=(-1, -2)) / counted.sum()


def ring(device: torch.device) -> Bool[Tensor, "n n"]:
    """Return which of the places around a frequency it is compared with."""
    distance = torch.arange(-OUTER, OUTER + 1, device=device).abs()
    return torch.maximum(distance[:, None], distance) > INNER
