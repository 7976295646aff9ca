"""Differentiable augmentation: what the discriminator sees is changed at random, real and generated images alike.

A change is drawn first, as numbers in [0, 1) that mean the same at any size, and then applied; so an image and its
small version can be changed alike. Applying keeps the shape and passes gradients on.

Source: DiffAugment (Zhao et al. 2020), section 3 and its policies ``color``, ``translation`` and ``cutout``; ADA
(Karras et al. 2020), section 2.2 and appendix B for the others and for changes that are only made at times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from handful.compute import shared_batch as shares
from handful.config.choices import Augmentation

LARGEST_SHIFT = 1 / 8


CUTOUT = 1 / 2


RGBA = 4
"""Channels of images that have transparency."""


LARGEST_SCALING = 0.4
"""In powers of two: from three quarters to four thirds."""


Changes = list[Float[Tensor, "_ b"]]
"""For each policy in turn, the numbers that it makes of each image's change."""


def augment(
    images: Float[Tensor, "b c h w"],
    policy: Sequence[Augmentation],
    random: torch.Generator,
    probability: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "b c h w"]:
    """Draw the named changes for each image and apply them, in the order given."""
    return apply(images, policy, draw(len(images), policy, random, probability))


def draw(
    count: int,
    policy: Sequence[Augmentation],
    random: torch.Generator,
    probability: Float[Tensor, ""] | None = None,
) -> Changes:
    """Draw the named changes for ``count`` images.

    With a ``probability``, each change is made of each image only that often, and otherwise leaves it as it is. Below 1
    this lets the generator find out which images are not changed, so that it does not learn to make changed ones.

    Source: ADA (Karras et al. 2020), section 2.2.
    """
    changes: Changes = []
    for name in policy:
        kind = POLICIES[name]
        units = shares.uniform((len(kind.nothing), count), random, dim=1)
        if probability is not None:
            made = shares.uniform((count,), random) < probability
            for number, nothing in zip(units, kind.nothing, strict=True):
                number.masked_fill_(~made, nothing)
        changes.append(units)
    return changes


def apply(
    images: Float[Tensor, "b c h w"], policy: Sequence[Augmentation], changes: Changes
) -> Float[Tensor, "b c h w"]:
    """Make the changes that were drawn for a policy.

    What fills with zeros, which is mid-grey, fills RGBA with what is transparent.
    """
    for name, units in zip(policy, changes, strict=True):
        kind = POLICIES[name]
        if kind.fills and images.shape[1] == RGBA:
            images = kind.apply(images + 1, units) - 1
        else:
            images = kind.apply(images, units)
    return images


def color(images: Float[Tensor, "b c h w"], units: Float[Tensor, "3 b"]) -> Float[Tensor, "b c h w"]:
    """Shift brightness by up to 0.5 either way, then scale saturation by 0 to 2 and contrast by 0.5 to 1.5.

    Of RGBA the colours of what is not transparent; alpha stays, and what is transparent stays so.
    """
    brightness, saturation, contrast = units[:, :, None, None, None].unbind()
    if images.shape[1] == RGBA:
        alpha = (images[:, 3:] + 1) / 2
        # Premultiplied and from 0 up, where black is: a colour is what remains after dividing by alpha.
        colours = images[:, :3] + 1 + alpha * (brightness - 0.5)
        grey = colours.mean(dim=1, keepdim=True)
        colours = (colours - grey) * (2 * saturation) + grey
        mean = colours.mean(dim=(1, 2, 3), keepdim=True) / alpha.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
        colours = (colours - alpha * mean) * (contrast + 0.5) + alpha * mean
        return torch.cat([colours - 1, images[:, 3:]], dim=1)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: Float[Tensor, "b c h w"], units: Float[Tensor, "2 b"]) -> Float[Tensor, "b c h w"]:
    """Shift each image by whole pixels, up to an eighth of its side either way, and fill with zeros (mid-grey)."""
    height, width = images.shape[2:]
    rows, columns = moved(height, units[0]), moved(width, units[1])  # [b h], [b w]
    inside = (within(rows, height)[:, :, None] & within(columns, width)[:, None, :])[:, None]  # [b 1 h w]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]  # [b h w]
    source = source.flatten(1)[:, None].expand(-1, images.shape[1], -1)  # [b c hw]
    return images.flatten(2).gather(2, source).view_as(images) * inside


def cutout(images: Float[Tensor, "b c h w"], units: Float[Tensor, "2 b"]) -> Float[Tensor, "b c h w"]:
    """Blank out one rectangle of half the height and width, centred anywhere in the image, with zeros (mid-grey)."""
    height, width = images.shape[2:]
    rows, columns = covered(height, units[0])[:, :, None], covered(width, units[1])[:, None, :]
    return images * ~(rows & columns)[:, None]


def flip(images: Float[Tensor, "b c h w"], units: Float[Tensor, "1 b"]) -> Float[Tensor, "b c h w"]:
    """Mirror every second image left to right. For pictures that have no side, unlike ``mirror``, which adds images."""
    return torch.where(units[0, :, None, None, None] < 0.5, images.flip(-1), images)


def zoom(images: Float[Tensor, "b c h w"], units: Float[Tensor, "1 b"]) -> Float[Tensor, "b c h w"]:
    """Enlarge or shrink each image about its middle, by up to a third, and fill with zeros (mid-grey)."""
    scale = torch.exp2((2 * units[0] - 1) * LARGEST_SCALING)
    zero = torch.zeros_like(scale)
    return warped(images, torch.stack([scale, zero, zero, scale]))


def rotation(images: Float[Tensor, "b c h w"], units: Float[Tensor, "1 b"]) -> Float[Tensor, "b c h w"]:
    """Turn each image about its middle by any angle, and fill with zeros (mid-grey)."""
    angle = (units[0] - 0.5) * (2 * math.pi)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    return warped(images, torch.stack([cosine, -sine, sine, cosine]))


def warped(images: Float[Tensor, "b c h w"], matrix: Float[Tensor, "4 b"]) -> Float[Tensor, "b c h w"]:
    """Give at each place what was at ``matrix`` times that place, seen from the middle, between pixels by bilinear."""
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    x = (torch.arange(width, device=images.device) - (width - 1) / 2)[None, None]
    xx, xy, yx, yy = matrix[:, :, None, None].unbind()
    places = torch.stack([(xx * x + xy * y[:, None]) * (2 / width), (yx * x + yy * y[:, None]) * (2 / height)], dim=-1)
    return F.grid_sample(images, places.to(images.dtype), padding_mode="zeros", align_corners=False)


def moved(length: int, unit: Float[Tensor, " b"]) -> Int64[Tensor, "b n"]:
    """Give, for each position along an axis, the one that a random shift brings there, perhaps out of range."""
    most = round(length * LARGEST_SHIFT)
    shift = (unit * (2 * most + 1)).long() - most
    return torch.arange(length, device=unit.device) - shift[:, None]


def within(positions: Int64[Tensor, "b n"], length: int) -> Bool[Tensor, "b n"]:
    """Say which positions lie on the axis."""
    return (positions >= 0) & (positions < length)


def covered(length: int, unit: Float[Tensor, " b"]) -> Bool[Tensor, "b n"]:
    """Say which positions along an axis a random stretch of half its length covers."""
    stretch = round(length * CUTOUT)
    start = (unit * (length + 1)).long()[:, None] - stretch // 2
    position = torch.arange(length, device=unit.device)
    return (position >= start) & (position < start + stretch)


class Change(NamedTuple):
    """One kind of change."""

    apply: Callable[[Tensor, Tensor], Tensor]
    nothing: tuple[float, ...]
    """The numbers that change nothing."""
    fills: bool = False
    """Whether it puts zeros where nothing is left to show."""


POLICIES = {
    "color": Change(color, (0.5, 0.5, 0.5)),
    "translation": Change(translation, (0.5, 0.5), fills=True),
    "cutout": Change(cutout, (2.0, 2.0), fills=True),
    "flip": Change(flip, (1.0,)),
    "zoom": Change(zoom, (0.5,), fills=True),
    "rotation": Change(rotation, (0.5,), fills=True),
}
