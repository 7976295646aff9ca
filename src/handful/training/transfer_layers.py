"""Fit a learned tensor to a network of other channels, proportions or classes, so that it does there what it did."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handful.config.generator import GeneratorConfig


def fit(name: str, old: Tensor, new: Tensor, theirs: GeneratorConfig, ours: GeneratorConfig) -> Tensor | None:
    """Fit a tensor of a network of ``theirs`` to one of ``ours``; the very same tensor where there is nothing to fit.

    Args:
        name: What both networks call it, up to the number of a block.
        old: What was learned.
        new: What the new network has so far; not written to.
        theirs: The generator beside the old network.
        ours: The generator beside the new one.

    Returns:
        The fitted tensor, of the new one's shape if it can be fitted; none if it holds nothing that is wanted.
    """
    match name.split("."):
        case ["classes" | "small_classes", "weight"] | ["classes", _, "table", "weight"]:
            return rows_by_class(old, new, theirs, ours)
        case ["first", "conv", "weight"]:
            return stretched(old, ours)
        case [*_, "squeeze", "weight"]:
            # A kernel over the whole base map: of more cells each counts less.
            return stretched(old, ours, old.shape[2] * old.shape[3] / (ours.base[0] * ours.base[1]))
        case [*_, "to_image" | "to_small", "weight"]:
            return outputs(old, ours.channels)
        case ["stem" | "small", "0", "weight"]:
            return inputs(old, ours.channels)
    return old


def outputs(weight: Float[Tensor, "c k h w"], channels: int) -> Float[Tensor, "d k h w"]:
    """Make a layer that gives images give others: grey as the mean of the colours, colours each as grey.

    A new alpha is the mean of the colours, so that black becomes transparent; one that is not wanted is left out, which
    shows pictures over black.
    """
    if len(weight) == channels:
        return weight
    colours = weight[:3].expand(3, -1, -1, -1)
    mean = colours.mean(dim=0, keepdim=True)
    return {1: mean, 3: colours, 4: torch.cat([colours, mean])}[channels]


def inputs(weight: Float[Tensor, "k c h w"], channels: int) -> Float[Tensor, "k d h w"]:
    """Make a layer that takes images take others, and respond to grey ones as before; to alpha not at all."""
    if weight.shape[1] == channels:
        return weight
    colours = weight[:, :3] if weight.shape[1] > 1 else weight.expand(-1, 3, -1, -1) / 3
    total = colours.sum(dim=1, keepdim=True)
    return {1: total, 3: colours, 4: torch.cat([colours, torch.zeros_like(total)], dim=1)}[channels]


def stretched(weight: Float[Tensor, "k c h w"], ours: GeneratorConfig, factor: float = 1.0) -> Float[Tensor, "k c _ _"]:
    """Stretch what is laid out as the base map to the proportions of another one, times a factor."""
    if weight.shape[2:] == ours.base:
        return weight
    return factor * F.interpolate(weight, size=ours.base, mode="bilinear", align_corners=False)


def rows_by_class(
    old: Float[Tensor, "n ..."], new: Float[Tensor, "m ..."], theirs: GeneratorConfig, ours: GeneratorConfig
) -> Float[Tensor, "m ..."] | None:
    """Give what each class learned to the class of its name; the others keep what they have. None if all are others."""
    if theirs.classes == ours.classes:
        return old
    known = [name for name in ours.classes if name in theirs.classes]
    if not known or old.shape[1:] != new.shape[1:]:
        return None
    rows = new.clone()
    rows[[ours.classes.index(name) for name in known]] = old[[theirs.classes.index(name) for name in known]].to(rows)
    return rows
