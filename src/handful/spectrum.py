"""The power that images have at each frequency, and what the generator is charged for having another.

A discriminator that is trained on a handful of images is slow to object to grids and to fine grain: it sees few
examples, through convolutions whose gain is held at one. But the mean spectrum of even twenty images is known well.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handful.images import from_bytes

MOST = 1_000
"""Training images that are looked at, evenly spread: the mean of so many is known well, and takes seconds."""
FLOOR = 1e-3
"""What is added to each power, of the median of all: less is nothing that can be seen."""


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
    chosen = images[:: -(-len(images) // MOST)]
    total = sum(power(from_bytes(batch.to(device))) * len(batch) for batch in torch.split(chosen, 64))
    mean = torch.as_tensor(total) / len(chosen)
    return (mean + mean.flip(0).roll(1, 0)) / 2 if mirror else mean


def excess(mean: Float[Tensor, "h f"], wanted: Float[Tensor, "h f"]) -> Float[Tensor, "h f"]:
    """Say how far a mean power is above the one that is wanted, as a logarithm."""
    floor = FLOOR * wanted.median()
    return torch.log((mean + floor) / (wanted + floor))


def decibels(mean: Float[Tensor, "h f"], wanted: Float[Tensor, "h f"]) -> Float[Tensor, ""]:
    """Give the mean over frequencies of how far the power is off, either way."""
    return excess(mean, wanted).abs().mean() * (10 / math.log(10))


def charge(
    images: Float[Tensor, "b c h w"], mean: Float[Tensor, "h f"], wanted: Float[Tensor, "h f"]
) -> Float[Tensor, ""]:
    """Charge a batch for its power at frequencies where images have had more than is wanted.

    ``mean(max(0, log(m / w)) * p / m)`` over frequencies, with the batch's power ``p``, the running mean ``m`` of
    generated images and the power ``w`` of the training images. A batch says little about its spectrum, many say
    enough; and where the two agree nothing is charged, whatever a batch has. Power that is wanting is not credited:
    a grid is the easiest way to have it.

    Source: ours. That generators miss the spectrum, and that they can be trained on it: Durall et al. 2020, "Watch
    your up-convolution", with means over circles and single images.
    """
    floor = FLOOR * wanted.median()
    return (excess(mean, wanted).clamp(min=0) * power(images) / (mean + floor)).mean()
