"""Grey, RGB and RGBA images, and how to show them to code that only knows RGB.

RGBA is premultiplied everywhere inside: transparent pixels are 0 (-1 in [-1, 1]) whatever colour they had. Averaging,
resampling and blurring are then correct at the edges of a shape. Files hold straight RGBA.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

CHANNEL_NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}


def over_white(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Convert images to RGB: grey in all three channels, transparency over white."""
    match images.shape[1]:
        case 1:
            return images.expand(-1, 3, -1, -1)
        case 4:
            # A network's colours can exceed its alpha, so the sum can exceed white.
            return (images[:, :3].int() + (255 - images[:, 3:].int())).clamp(max=255).to(torch.uint8)
    return images


def rgb_views(images: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b 3 h w"]]:
    """Return images in [-1, 1] as RGB in [-1, 1]; transparent ones twice, over black and over white.

    The two views together determine an RGBA image, so comparing both misses no difference.
    """
    match images.shape[1]:
        case 1:
            return [images.expand(-1, 3, -1, -1)]
        case 4:
            return [images[:, :3], images[:, :3] - images[:, 3:] + 1]
    return [images]
