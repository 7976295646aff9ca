"""The discriminator: is an image real, and what does it show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful import shares
from handful.blocks import (
    Bias,
    ChainDownBlock,
    Decoder,
    DownBlock,
    Excitation,
    ResidualDownBlock,
    batch_norm,
    conv,
    leaky,
)
from handful.config import GeneratorConfig
from handful.generator import small_size

BODY = 256
"""The widest map of the body, in pixels; a larger image is first brought down to it by the stem."""


class View(NamedTuple):
    """What the discriminator makes of a batch of images."""

    logits: Float[Tensor, "b l"]
    """25 patches of the image, then 25 of its small version; above 0 where they look real."""
    wide: Float[Tensor, "b c 16 16"]
    deep: Float[Tensor, "b k 8 8"]
    small: Float[Tensor, "b j 8 8"]
    off_centre: Float[Tensor, ""]
    """Sum over CHAIN's places and channels of the squared mean; 0 without CHAIN."""


class Decoders(nn.Module):
    """Reconstruct the image, a quarter of it and its small version from the discriminator's features.

    Source: FastGAN (Liu et al. 2021), section 3.2 and figure 4; the third decoder is in the released network only.
    """

    def __init__(self, wide: int, deep: int, small: int, size: int, width: int) -> None:
        super().__init__()
        self.whole = Decoder(deep, size, width)
        self.part = Decoder(wide, size, width)
        self.small = Decoder(small, size, width)

    def forward(self, view: View, corner: Int64[Tensor, ""]) -> tuple[Tensor, Tensor, Tensor]:
        """Give the whole image, its quadrant number ``corner`` (0 to 3) and the small image, all ``[b 3 s s]``."""
        return self.whole(view.deep), self.part(quadrant(view.wide, corner)), self.small(view.small)


class Discriminator(nn.Module):
    """Judge an image in patches at two scales.

    From the stem on the image is a map of at most 256 px, so the features are alike at 256, 512, 1024 and 2048 px.

    Source: FastGAN (Liu et al. 2021), section 3.2 and figure 4; layer for layer the released network at 256, 512 and
    1024 px, with its excitations, which the paper does not mention. ``chained``: CHAIN in the body's blocks and no
    normalisation elsewhere, as CHAIN (Ni and Koniusz 2024) has it.
    """

    def __init__(self, config: GeneratorConfig, *, reconstruction: bool = True, chained: bool = False) -> None:
        super().__init__()
        width = config.width
        norm = Bias if chained else batch_norm
        channels = {size: width * 64 // size for size in (8, 16, 32, 64, 128, BODY) if size <= config.size}
        self.chained = [channels[size] for size in sorted(channels, reverse=True)[1:]] if chained else []
        """Channels that each block has for CHAIN to choose from, at each of its three places."""
        self.strength = nn.Buffer(torch.zeros(()))
        """Probability that CHAIN normalises a channel of an image."""
        self.stem = stem(config.size, channels, norm)
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in sorted(channels, reverse=True)[1:]:
            block = ChainDownBlock if chained else ResidualDownBlock
            self.blocks[str(size)] = block(channels[2 * size], channels[size])
            if config.sle and 8 * size in channels:
                self.gates[str(size)] = Excitation(channels[8 * size], channels[size])
        self.head = nn.Sequential(
            conv(channels[8], 2 * channels[8], 1), norm(2 * channels[8]), leaky(), conv(2 * channels[8], 1, 4)
        )
        small = small_size(config.size)
        halves = [channels[size] // 2 for size in (64, 32, 16, 8) if size < small]
        self.small = nn.Sequential(conv(3, halves[0], 4, 2, 1), leaky())
        self.small.extend(DownBlock(inputs, outputs, norm) for inputs, outputs in pairwise(halves))
        self.small_head = conv(halves[-1], 1, 4)
        self.decoders = Decoders(channels[16], channels[8], halves[-1], small, width) if reconstruction else None

    def chance(self, count: int, random: torch.Generator) -> list[Float[Tensor, "3 b _"]]:
        """Draw, for each block, what decides which channels of ``count`` images CHAIN normalises; empty without it."""
        return [shares.uniform((3, count, width), random, dim=1) for width in self.chained]

    def forward(
        self,
        images: Float[Tensor, "b 3 h w"],
        small: Float[Tensor, "b 3 s s"],
        chance: Sequence[Float[Tensor, "3 b _"]] = (),
    ) -> View:
        """View images in [-1, 1] and their small versions; CHAIN needs what ``chance`` drew."""
        precision = self.small_head.weight.dtype
        images, small = images.to(precision), small.to(precision)
        x = self.stem(images)
        maps = {x.shape[-1]: x}
        off_centre = torch.zeros_like(self.strength)
        for place, (name, block) in enumerate(self.blocks.items()):
            size = int(name)
            if self.chained:
                x, more = block(maps[2 * size], chance[place] < self.strength)
                off_centre = off_centre + more
            else:
                x = block(maps[2 * size])
            maps[size] = self.gates[name](maps[8 * size], x) if name in self.gates else x
        small_map = self.small(small)
        logits = torch.cat([self.head(maps[8]).flatten(1), self.small_head(small_map).flatten(1)], dim=1)  # [b 50]
        return View(logits.float(), maps[16], maps[8], small_map, off_centre)


def stem(size: int, channels: dict[int, int], norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """Make the layers that bring an image of ``size`` pixels to the body's first map."""
    full = channels[max(channels)]
    if size <= BODY:
        return nn.Sequential(conv(3, full, 3, padding=1), leaky())
    halvings = (size // BODY).bit_length() - 1
    widths = [full // 2] * (halvings - 1) + [full]
    layers: list[nn.Module] = [conv(3, widths[0], 4, 2, 1), leaky()]
    for inputs, outputs in pairwise(widths):
        layers += [conv(inputs, outputs, 4, 2, 1), norm(outputs), leaky()]
    return nn.Sequential(*layers)


def quadrant(x: Float[Tensor, "b c h w"], corner: Int64[Tensor, ""]) -> Float[Tensor, "b c h//2 w//2"]:
    """Cut out one quarter: 0 top left, 1 top right, 2 bottom left, 3 bottom right.

    The corner is a tensor so that choosing it on a GPU does not make the program wait for the GPU.
    """
    height, width = x.shape[2] // 2, x.shape[3] // 2
    half = torch.where(corner >= 2, x[:, :, height:], x[:, :, :height])  # [b c h/2 w]
    return torch.where(corner % 2 == 1, half[..., width:], half[..., :width])
