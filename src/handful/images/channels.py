"""Grey, RGB and RGBA images, and how what knows RGB alone sees them.

RGBA is premultiplied everywhere inside: its colours are what it adds to black, so that what is transparent is 0 (-1 in
[-1, 1]) whatever its colour was, and averages, resampling and blurring are right at the edges of a shape. Files have it
straight.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

KINDS = {1: "grey", 3: "RGB", 4: "RGBA"}
"""What the numbers of channels are called."""


def over_white(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Give images as RGB: grey ones in all three channels, transparent ones over white."""
    match images.shape[1]:
        case 1:
            return images.expand(-1, 3, -1, -1)
        case 4:
            # A network's colours can be larger than its alpha; brighter than white there is none.
            return (images[:, :3].int() + (255 - images[:, 3:].int())).clamp(max=255).to(torch.uint8)
    return images


def views(images: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b 3 h w"]]:
    """Give images in [-1, 1] as RGB, in [-1, 1]: transparent ones twice, over black and over white.

    What two images look like over both tells all in which they differ.
    """
    match images.shape[1]:
        case 1:
            return [images.expand(-1, 3, -1, -1)]
        case 4:
            return [images[:, :3], images[:, :3] - images[:, 3:] + 1]
    return [images]
