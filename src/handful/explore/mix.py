"""Mix pictures: what one shows, with the colours and textures of another, through the gates of the generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.errors import UsageError
from handful.fold import Gates
from handful.images import to_bytes, to_image, write_png
from handful.labelled import Cell, seed_or_name, sheet
from handful.log import Console, Watch
from handful.machine import prepare
from handful.model import Model, load, whole
from handful.points import Points, read_points


@torch.no_grad()
def mix(
    model: Model, content: Points, style: Points, levels: Sequence[int] = (), truncation: float = 1.0
) -> UInt8[Tensor, "n m c h w"]:
    """Draw each of n pictures with the gates that each of m others set.

    A gate scales each channel of a high-resolution map by a number read from a low-resolution one: here the low map of
    the style picture. On the CPU a picture with its own style is itself, bit for bit.

    Args:
        model: The generator.
        content: Pictures whose maps are drawn, with their noise and class.
        style: Pictures whose low maps set the gates.
        levels: Gates that the style sets, by the nominal size of the map that they scale; the content sets the others.
            Default: the style sets all.
        truncation: See ``Model.draw``.

    Source: FastGAN (Liu et al. 2021), section 3.1, "style-content disentanglement", and figure 6.

    Raises:
        UsageError: if the model has no gates, or not at these levels.
    """
    chosen = [str(level) for level in checked(model, levels)]
    styles = [gates(model, style.pick([place]), truncation) for place in range(len(style))]
    rows = []
    for place, name in enumerate(content.names):
        picture = content.pick([place])
        own = gates(model, picture, truncation)
        row = []
        for each in styles:
            driven = own | {level: each[level] for level in chosen}
            drawn = model.draw(*picture.on(model.device), truncation, driven)
            row.append(to_bytes(whole(drawn, name)).cpu())
        rows.append(torch.cat(row))
    return torch.stack(rows)
