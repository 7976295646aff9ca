"""The discriminator: it judges images in patches and must be able to reconstruct them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.compute.memory import checkpointed
from handful.compute.streams import run_on_stream
from handful.config.generator import GeneratorConfig
from handful.config.train import TrainConfig
from handful.networks.conv import conv, down_conv
from handful.networks.generator import small_size
from handful.networks.heads import ProjectedHeads
from handful.networks.layers import LEAKY_SLOPE, Decoder, DownBlock, Excitation, batch_norm, leaky_relu

BODY_SIZE = 256
"""Nominal size of the largest map; the stem brings larger images down to it."""

PATCH_PIXELS = 4
"""Side, in pixels of the last map, of the patch that one logit judges."""


class DiscriminatorOutput(NamedTuple):
    """The logits of a batch of images, and the feature maps that they are reconstructed from."""

    logits: Float[Tensor, "b l"]
    """One logit per patch, positive for real: first of the image, then of its small version (25 each in squares)."""
    wide: Float[Tensor, "b c 2*h 2*w"]
    deep: Float[Tensor, "b k h w"]
    small: Float[Tensor, "b j h w"]


class Discriminator(nn.Module):
    """Judge an image and its small version in patches.

    The stem brings images to a map of at most 256 px, so the same features serve at 256, 512, 1024 and 2048 px. Maps
    and blocks are named by their nominal size (``config.sizes``).

    Source: FastGAN (Liu et al. 2021), section 3.2 and figure 4; layer for layer the released network at 256, 512 and
    1024 px, with its excitations, which the paper does not mention. Departures: ``smooth`` averages where the released
    network strides; projected heads may judge beside it. With classes, each patch's logit also says how well it fits
    the image's class, by projection (Miyato and Koyama 2018, equation 3).
    """

    def __init__(self, config: GeneratorConfig, *, reconstruction: bool = True, smooth: bool = False) -> None:
        super().__init__()
        self.projected: ProjectedHeads | None = None
        """Heads that judge what a frozen network sees."""
        width, nominal = config.width, config.nominal
        channels = {size: width * 64 // size for size in (8, 16, 32, 64, 128, BODY_SIZE) if size <= nominal}
        sizes = sorted(channels, reverse=True)
        down = partial(down_conv, smooth=smooth)
        self.stem = stem(nominal, config.channels, channels, down)
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in sizes[1:]:
            self.blocks[str(size)] = ResidualDownBlock(channels[2 * size], channels[size], smooth=smooth)
            if config.sle and 8 * size in channels:
                self.gates[str(size)] = Excitation(channels[8 * size], channels[size], config.base)
        hidden = 2 * channels[8]
        self.head = nn.Sequential(
            conv(channels[8], hidden, 1), batch_norm(hidden), leaky_relu(), conv(hidden, 1, PATCH_PIXELS)
        )
        small = small_size(nominal)
        small_channels = [channels[size] // 2 for size in (64, 32, 16, 8) if size < small]
        self.small = nn.Sequential(down(config.channels, small_channels[0]), leaky_relu())
        self.small.extend(DownBlock(inputs, outputs, smooth=smooth) for inputs, outputs in pairwise(small_channels))
        self.small_head = conv(small_channels[-1], 1, PATCH_PIXELS)
        self.classes = self.small_classes = None
        if config.classes:
            self.classes = conv(channels[8], len(config.classes), 1)
            self.small_classes = conv(small_channels[-1], len(config.classes), 1)
        output_channels = channels[16], channels[8], small_channels[-1]
        self.decoders = Decoders(*output_channels, small, width, config.channels) if reconstruction else None

    @classmethod
    def of(cls, config: TrainConfig, classes: tuple[str, ...] = ()) -> Discriminator:
        """Build the discriminator of a run."""
        return cls(
            dataclasses.replace(config.generator, classes=classes),
            reconstruction=config.reconstruction,
            smooth=config.smooth_discriminator,
        )

    def forward(
        self,
        images: Float[Tensor, "b c h w"],
        small: Float[Tensor, "b c _ _"],
        labels: Int64[Tensor, " b"] | None = None,
    ) -> DiscriminatorOutput:
        """Judge images in [-1, 1] and their small versions.

        Args:
            images: As augmented.
            small: The augmented small images, of shape ``small_shape``.
            labels: Class numbers, if there are classes.
        """
        precision = self.small_head.weight.dtype
        x = self.stem(images.to(precision))
        maps = {2 * int(next(iter(self.blocks))): x}
        for name, block in self.blocks.items():
            size = int(name)
            x = block(maps[2 * size])
            maps[size] = self.gates[name](maps[8 * size], x) if name in self.gates else x
        small_map = self.small(small.to(precision))
        logits = torch.cat([self.head(maps[8]).flatten(1), self.small_head(small_map).flatten(1)], dim=1)  # [b l]
        if self.classes is not None and self.small_classes is not None:
            assert labels is not None
            fits = [class_logits(self.classes(maps[8]), labels), class_logits(self.small_classes(small_map), labels)]
            logits = logits + torch.cat(fits, dim=1)
        return DiscriminatorOutput(logits.float(), maps[16], maps[8], small_map)


@final
class ResidualDownBlock(nn.Module):
    """Halve the resolution by two paths, convolutions and average pooling, and return their mean.

    Source: FastGAN (Liu et al. 2021), figure 4.
    """

    def __init__(self, inputs: int, outputs: int, *, smooth: bool = False) -> None:
        super().__init__()
        self.recompute = False
        self.halve = nn.Sequential(down_conv(inputs, outputs, smooth=smooth), batch_norm(outputs))
        self.refine = nn.Sequential(conv(outputs, outputs, 3, padding=1), batch_norm(outputs))
        self.direct = nn.Sequential(nn.AvgPool2d(2), conv(inputs, outputs, 1), batch_norm(outputs))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h//2 w//2"]:
        """Halve height and width."""
        return checkpointed(self.both_paths, x, enabled=self.recompute)

    def both_paths(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h//2 w//2"]:
        """Return the mean of the two paths."""
        main = activated(self.refine(activated(self.halve(x))))
        return (main + activated(self.direct(x))) / 2


class Decoders(nn.Module):
    """Reconstruct the image, one quadrant of it and its small version from the discriminator's features.

    Source: FastGAN (Liu et al. 2021), section 3.2 and figure 4; the third decoder is in the released network only.
    """

    def __init__(self, wide: int, deep: int, small: int, size: int, width: int, channels: int) -> None:
        super().__init__()
        self.whole = Decoder(deep, size, width, channels)
        self.part = Decoder(wide, size, width, channels)
        self.small = Decoder(small, size, width, channels)

    def forward(self, output: DiscriminatorOutput, corner: Int64[Tensor, ""]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the image, its quadrant ``corner`` (0 to 3) and the small image, all of the small image's shape."""
        part = run_on_stream(lambda: self.part(quadrant(output.wide, corner)), 1, corner.device)
        small = run_on_stream(lambda: self.small(output.small), 2, corner.device)
        return self.whole(output.deep), part(), small()


def stem(size: int, inputs: int, channels: dict[int, int], down: Callable[[int, int], nn.Module]) -> nn.Sequential:
    """Build the layers from an image of nominal ``size`` to the largest map."""
    full = channels[max(channels)]
    if size <= BODY_SIZE:
        return nn.Sequential(conv(inputs, full, 3, padding=1), leaky_relu())
    halvings = (size // BODY_SIZE).bit_length() - 1
    widths = [full // 2] * (halvings - 1) + [full]
    layers: list[nn.Module] = [down(inputs, widths[0]), leaky_relu()]
    for before, after in pairwise(widths):
        layers += [down(before, after), batch_norm(after), leaky_relu()]
    return nn.Sequential(*layers)


def activated(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Apply the discriminator's activation in place."""
    return F.leaky_relu(x, LEAKY_SLOPE, inplace=True)


def class_logits(maps: Float[Tensor, "b k h w"], labels: Int64[Tensor, " b"]) -> Float[Tensor, "b l"]:
    """Sum the map of each image's class over patches, divided by the patch's side to keep the scale of noise."""
    own = maps[torch.arange(len(maps), device=maps.device), labels][:, None]  # [b 1 h w]
    return PATCH_PIXELS * F.avg_pool2d(own, PATCH_PIXELS, stride=1).flatten(1)


def quadrant(x: Float[Tensor, "b c h w"], corner: Int64[Tensor, ""]) -> Float[Tensor, "b c h//2 w//2"]:
    """Crop one quadrant: 0 top left, 1 top right, 2 bottom left, 3 bottom right.

    ``corner`` is a tensor, so that a random choice never waits for the GPU.
    """
    height, width = x.shape[2] // 2, x.shape[3] // 2
    half = torch.where(corner >= 2, x[:, :, height:], x[:, :, :height])  # [b c h/2 w]
    return torch.where(corner % 2 == 1, half[..., width:], half[..., :width])
