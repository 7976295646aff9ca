"""The projected discriminator, which sees images through a frozen network trained on ImageNet."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.compute.precision import memory_format
from handful.config.generator import GeneratorConfig
from handful.config.sizes import map_shape
from handful.images.channels import rgb_views
from handful.networks.conv import conv, resize, upsample_bilinear
from handful.networks.discriminator import DiscriminatorOutput
from handful.networks.layers import DownBlock, batch_norm, leaky_relu
from handful.networks.pretrained.efficientnet import TAP_CHANNELS, EfficientNet

MIN_SIZE = 128
"""Nominal size that smaller images are upsampled to: the deepest map then has the 8 pixels that its head needs."""

MAX_SIZE = 256
"""Nominal size that larger images are averaged down to, and side of the window at full resolution. Memory and time stop
growing there."""

MIXED_CHANNELS = (64, 128, 256, 512)
"""Channels of the mixed maps, from the widest map to the deepest (Projected GAN's)."""


@final
class Features:
    """Feature maps of EfficientNet-Lite0, mixed at random. Nothing here is ever trained.

    Four maps, of 1/2 to 1/16 of the image's side, each go through a random 1x1 convolution. Then, from the deepest up,
    each goes through a random 3x3 convolution, is upsampled and added to the next. So every map contains all deeper
    ones.

    Not a module, so that it is no part of the discriminator, whose layers are trained, normalised and saved.

    Source: Projected GAN (Sauer et al. 2021), section 3, with the same network; its maps are one halving deeper, of
    images twice as large.
    """

    def __init__(
        self,
        backbone: EfficientNet,
        random: torch.Generator,
        device: torch.device,
        precision: torch.dtype,
        recompute: bool,
    ) -> None:
        """Copy the backbone and draw the mixing, which is the same on every device."""
        self.backbone = copy.deepcopy(backbone)
        self.backbone.recompute = recompute
        self.channels = nn.ModuleList(
            conv(tap, mixed, 1) for tap, mixed in zip(TAP_CHANNELS, MIXED_CHANNELS, strict=True)
        )
        self.scales = nn.ModuleList(conv(deep, wide, 3, padding=1) for wide, deep in pairwise(MIXED_CHANNELS))
        for layer in (*self.channels, *self.scales):
            assert isinstance(layer.weight, Tensor)
            nn.init.normal_(layer.weight, 0.0, layer.weight[0].numel() ** -0.5, generator=random)
        for module in (self.backbone, self.channels, self.scales):
            module.to(device, precision, memory_format=memory_format(precision))  # type: ignore[call-overload]
            module.requires_grad_(False)

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the mixed maps of images in [-1, 1], from the widest to the deepest; gradients reach the images."""
        maps = [mix(tap) for mix, tap in zip(self.channels, self.backbone.taps(images), strict=True)]
        for level in reversed(range(len(self.scales))):
            maps[level] = maps[level] + upsample_bilinear(self.scales[level](maps[level + 1]))
        return maps


class ProjectedDiscriminator(nn.Module):
    """Judge an image in patches, by one small network on each of the four maps of ``Features``.

    Above 256 px it sees the image twice: whole, averaged down, and at full resolution through a window of 256 px at a
    random position. Each view has its own heads. The small image is not used.

    Source: Projected GAN (Sauer et al. 2021), section 3. The window is ours: the released code runs the frozen network
    on the whole image, at a cost that grows with its area.
    """

    def __init__(self, config: GeneratorConfig, features: Features) -> None:
        super().__init__()
        self.shape, self.features = config.shape, features
        self.decoders = self.projected = None
        size = min(max(config.nominal, MIN_SIZE), MAX_SIZE)
        self.whole_shape = map_shape(config.base, size)
        views = ("whole", "window") if config.nominal > MAX_SIZE else ("whole",)
        self.heads = nn.ModuleDict(
            {
                f"{view}_{size >> level}": head(channels, size >> level, config.width)
                for view in views
                for level, channels in enumerate(MIXED_CHANNELS, start=1)
            }
        )

    def draw_window(self, random: torch.Generator) -> Int64[Tensor, " 2"] | None:
        """Draw the top and left of the window for a batch; return None where images are seen whole only."""
        if not any(name.startswith("window") for name in self.heads):
            return None
        positions = max(self.shape) - MAX_SIZE + 1
        drawn = torch.randint(positions, (2,), device=random.device, generator=random)
        return torch.stack([drawn[axis] * (side - MAX_SIZE + 1) // positions for axis, side in enumerate(self.shape)])

    def forward(
        self,
        images: Float[Tensor, "b c h w"],
        small: Float[Tensor, "b c _ _"],
        labels: Int64[Tensor, " b"] | None = None,
        window: Int64[Tensor, " 2"] | None = None,
    ) -> DiscriminatorOutput:
        """Judge RGB or grey images in [-1, 1].

        Args:
            images: As augmented.
            small: Not used.
            labels: Must be None: this discriminator knows no classes.
            window: Top and left of the window, from ``draw_window``.
        """
        assert labels is None
        images = rgb_views(images)[0]
        views = [resize(images, self.whole_shape)] + ([] if window is None else [crop(images, window)])
        maps = [features for view in views for features in self.features(view)]
        logits = [head(features).flatten(1) for head, features in zip(self.heads.values(), maps, strict=True)]
        unused = images.new_empty(0)  # there are no decoders that need maps
        return DiscriminatorOutput(torch.cat(logits, dim=1).float(), unused, unused, unused)


def head(inputs: int, side: int, width: int) -> nn.Sequential:
    """Build the network that turns a map of nominal ``side`` into 5x5 logits, through maps down to 8 px.

    The 1x1 convolution at its start makes it nonlinear even on the deepest map, which may have 8 px already.
    """
    outputs = [width * 64 // (side >> halvings) for halvings in range((side // 8).bit_length())]
    layers: list[nn.Module] = [conv(inputs, outputs[0], 1), batch_norm(outputs[0]), leaky_relu()]
    layers += [DownBlock(before, after) for before, after in pairwise(outputs)]
    return nn.Sequential(*layers, conv(outputs[-1], 1, 4))


def crop(images: Float[Tensor, "b 3 h w"], window: Int64[Tensor, " 2"]) -> Float[Tensor, "b 3 256 256"]:
    """Crop 256 x 256 pixels; the position may be on the GPU, which is not waited for.

    Do not compile it: PyTorch 2.13 writes out of bounds in its gradient (dev/LOG.md, 2026-11-24).
    """
    offsets = torch.arange(MAX_SIZE, device=images.device)
    return images.index_select(2, window[0] + offsets).index_select(3, window[1] + offsets)
