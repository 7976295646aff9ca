"""Differentiable augmentation: what the discriminator sees is changed at random, real and generated images alike.

Each function draws from the generator it is given and from nothing else, keeps the shape, and passes gradients on.

Source: DiffAugment (Zhao et al. 2020), section 3 and its policies ``color``, ``translation`` and ``cutout``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from handful.config import Augmentation

LARGEST_SHIFT = 1 / 8
CUTOUT = 1 / 2


def augment(
    images: Float[Tensor, "b c h w"], policy: Sequence[Augmentation], random: torch.Generator
) -> Float[Tensor, "b c h w"]:
    """Apply the named changes in the order given."""
    for name in policy:
        images = POLICIES[name](images, random)
    return images


def color(images: Float[Tensor, "b c h w"], random: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Shift brightness by up to 0.5 either way, then scale saturation by 0 to 2 and contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(
        3, len(images), 1, 1, 1, device=images.device, generator=random
    ).unbind()
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: Float[Tensor, "b c h w"], random: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Shift each image by whole pixels, up to an eighth of its side either way, and fill with zeros (mid-grey)."""
    height, width = images.shape[2:]
    rows = moved(height, len(images), random)  # [b h]
    columns = moved(width, len(images), random)  # [b w]
    inside = (within(rows, height)[:, :, None] & within(columns, width)[:, None, :])[:, None]  # [b 1 h w]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]  # [b h w]
    source = source.flatten(1)[:, None].expand(-1, images.shape[1], -1)  # [b c hw]
    return images.flatten(2).gather(2, source).view_as(images) * inside


def cutout(images: Float[Tensor, "b c h w"], random: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Blank out one rectangle of half the height and width, centred anywhere in the image, with zeros (mid-grey)."""
    height, width = images.shape[2:]
    rows = covered(height, len(images), random)[:, :, None]
    columns = covered(width, len(images), random)[:, None, :]
    return images * ~(rows & columns)[:, None]


def moved(length: int, count: int, random: torch.Generator) -> Int64[Tensor, "b n"]:
    """Give, for each position along an axis, the one that a random shift brings there, perhaps out of range."""
    most = round(length * LARGEST_SHIFT)
    shift = torch.randint(-most, most + 1, (count, 1), device=random.device, generator=random)
    return torch.arange(length, device=random.device) - shift


def within(positions: Int64[Tensor, "b n"], length: int) -> Bool[Tensor, "b n"]:
    """Say which positions lie on the axis."""
    return (positions >= 0) & (positions < length)


def covered(length: int, count: int, random: torch.Generator) -> Bool[Tensor, "b n"]:
    """Say which positions along an axis a random stretch of half its length covers."""
    stretch = round(length * CUTOUT)
    start = torch.randint(0, length + 1, (count, 1), device=random.device, generator=random) - stretch // 2
    position = torch.arange(length, device=random.device)
    return (position >= start) & (position < start + stretch)


POLICIES = {"color": color, "translation": translation, "cutout": cutout}
