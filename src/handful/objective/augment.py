"""Differentiable augmentation: the discriminator sees real and generated images changed at random.

A change is drawn first, as numbers in [0, 1) that mean the same at any size, and then applied. Applying keeps the shape
and passes gradients on.

Source: DiffAugment (Zhao et al. 2020), section 3, policies ``color`` and ``translation``; ADA (Karras et al. 2020),
section 2.2, for changes made with a probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from handful.compute import shared_batch
from handful.config.choices import Augmentation

LARGEST_SHIFT = 1 / 8
"""Share of the image's side."""

RGBA = 4

Changes = list[Float[Tensor, "_ b"]]
"""For each policy in turn, the numbers of each image's change."""


def augment(
    images: Float[Tensor, "b c h w"],
    policy: Sequence[Augmentation],
    random: torch.Generator,
    probability: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "b c h w"]:
    """Draw the named changes for each image and apply them in order."""
    return apply(images, policy, draw(len(images), policy, random, probability))


def draw(
    count: int,
    policy: Sequence[Augmentation],
    random: torch.Generator,
    probability: Float[Tensor, ""] | None = None,
) -> Changes:
    """Draw the named changes for ``count`` images.

    Each change is made to each image with this ``probability``; None: always. Below 1 the generator can learn what
    unchanged images look like, so augmentations do not leak into its images.

    Source: ADA (Karras et al. 2020), section 2.2.
    """
    changes: Changes = []
    for name in policy:
        change = POLICIES[name]
        units = shared_batch.uniform((len(change.identity), count), random, dim=1)
        if probability is not None:
            made = shared_batch.uniform((count,), random) < probability
            for number, identity in zip(units, change.identity, strict=True):
                number.masked_fill_(~made, identity)
        changes.append(units)
    return changes


def apply(
    images: Float[Tensor, "b c h w"], policy: Sequence[Augmentation], changes: Changes
) -> Float[Tensor, "b c h w"]:
    """Apply the changes that were drawn for a policy.

    A change that fills with zeros (mid-grey) fills RGBA with transparency.
    """
    for name, units in zip(policy, changes, strict=True):
        change = POLICIES[name]
        if change.fills and images.shape[1] == RGBA:
            images = change.apply(images + 1, units) - 1
        else:
            images = change.apply(images, units)
    return images


def color(images: Float[Tensor, "b c h w"], units: Float[Tensor, "3 b"]) -> Float[Tensor, "b c h w"]:
    """Shift brightness by up to 0.5 either way, then scale saturation by 0 to 2 and contrast by 0.5 to 1.5.

    In RGBA the colours of visible pixels change; alpha stays, and transparent pixels stay transparent.
    """
    brightness, saturation, contrast = units[:, :, None, None, None].unbind()
    if images.shape[1] == RGBA:
        alpha = (images[:, 3:] + 1) / 2
        # Premultiplied and counted from black: dividing by alpha would give the colour.
        colours = images[:, :3] + 1 + alpha * (brightness - 0.5)
        grey = colours.mean(dim=1, keepdim=True)
        colours = (colours - grey) * (2 * saturation) + grey
        mean = colours.mean(dim=(1, 2, 3), keepdim=True) / alpha.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
        colours = (colours - alpha * mean) * (contrast + 0.5) + alpha * mean
        return torch.cat([colours - 1, images[:, 3:]], dim=1)
    # (s * (x - grey) + grey - mean) * c + mean, plus brightness, in one pass over the colours.
    scale, contrast = 2 * saturation, contrast + 0.5
    grey = images.mean(dim=1, keepdim=True)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    base = contrast * (1 - scale) * grey + ((1 - contrast) * mean + brightness - 0.5)  # [b 1 h w]
    return torch.addcmul(base, images, contrast * scale)


def translation(images: Float[Tensor, "b c h w"], units: Float[Tensor, "2 b"]) -> Float[Tensor, "b c h w"]:
    """Shift each image by whole pixels, up to an eighth of its side either way, and fill with zeros (mid-grey)."""
    height, width = images.shape[2:]
    rows, columns = shifted(height, units[0]), shifted(width, units[1])  # [b h], [b w]
    inside = (within(rows, height)[:, :, None] & within(columns, width)[:, None, :])[:, None]  # [b 1 h w]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]  # [b h w]
    source = source.flatten(1)[:, None].expand(-1, images.shape[1], -1)  # [b c hw]
    return images.flatten(2).gather(2, source).view_as(images) * inside


def shifted(length: int, unit: Float[Tensor, " b"]) -> Int64[Tensor, "b n"]:
    """Return, for each position along an axis, where a random shift takes its pixel from, perhaps out of range."""
    most = round(length * LARGEST_SHIFT)
    shift = (unit * (2 * most + 1)).long() - most
    return torch.arange(length, device=unit.device) - shift[:, None]


def within(positions: Int64[Tensor, "b n"], length: int) -> Bool[Tensor, "b n"]:
    """Return which positions lie on the axis."""
    return (positions >= 0) & (positions < length)


class Change(NamedTuple):
    """One kind of change."""

    apply: Callable[[Tensor, Tensor], Tensor]
    identity: tuple[float, ...]
    """The numbers that change nothing."""
    fills: bool = False
    """Whether it fills uncovered pixels with zeros."""


POLICIES = {
    "color": Change(color, (0.5, 0.5, 0.5)),
    "translation": Change(translation, (0.5, 0.5), fills=True),
}
