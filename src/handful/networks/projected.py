"""A discriminator that looks at images through a frozen network that others trained on many more."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.compute.precision import layout
from handful.config.generator import GeneratorConfig
from handful.config.sizes import Shape, map_shape
from handful.images.channels import rgb_views
from handful.networks.discriminator import DiscriminatorOutput
from handful.networks.layers import DownBlock, batch_norm, conv, leaky, shrink, upsample_smoothly
from handful.networks.pretrained.efficientnet import TAPS, EfficientNet

SMALLEST = 128
"""Nominal size, in pixels, that smaller images are enlarged to: the deepest map then has the 8 pixels that its head
needs."""


LARGEST = 256
"""Nominal size that larger images are averaged down to, and side of the window through which they are also seen as they
are. So memory and time stop growing there."""


MIXED = (64, 128, 256, 512)
"""Channels that the maps are mixed to, from the widest map to the deepest (Projected GAN's)."""


@final
class Features:
    """What EfficientNet-Lite0 and a random mixing of its maps make of an image; nothing of it is ever learned.

    Four maps, 1/2 to 1/16 of the image's side, each go through a random 1x1 convolution. Then, from the deepest up, a
    map goes through a random 3x3 convolution, is enlarged and added to the next one. So every map holds what all deeper
    ones see.

    Not a module, and so no part of the discriminator's: what a module holds is trained, normalised and saved.

    Source: Projected GAN (Sauer et al. 2021), section 3, which has the same network, and takes its maps one halving
    deeper, of images twice as large.
    """

    def __init__(
        self,
        trunk: EfficientNet,
        random: torch.Generator,
        device: torch.device,
        precision: torch.dtype,
        recompute: bool,
    ) -> None:
        """Copy the trunk, and draw the mixing: the same for the same ``random``, whatever the device."""
        self.trunk = copy.deepcopy(trunk)
        self.trunk.recompute = recompute
        self.channels = nn.ModuleList(conv(tap, mixed, 1) for tap, mixed in zip(TAPS, MIXED, strict=True))
        self.scales = nn.ModuleList(conv(deep, wide, 3, padding=1) for wide, deep in pairwise(MIXED))
        for layer in (*self.channels, *self.scales):
            assert isinstance(layer.weight, Tensor)
            nn.init.normal_(layer.weight, 0.0, layer.weight[0].numel() ** -0.5, generator=random)
        for part in (self.trunk, self.channels, self.scales):
            part.to(device, precision, memory_format=layout(precision))  # type: ignore[call-overload]
            part.requires_grad_(False)

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Give the mixed maps of images in [-1, 1], from the widest to the deepest; gradients reach the images."""
        maps = [mix(tap) for mix, tap in zip(self.channels, self.trunk.taps(images), strict=True)]
        for level in reversed(range(len(self.scales))):
            maps[level] = maps[level] + upsample_smoothly(self.scales[level](maps[level + 1]))
        return maps


class ProjectedDiscriminator(nn.Module):
    """Judge an image in patches, by one small network on each of the four maps of ``Features``.

    Above 256 px it looks twice: at the whole image, made smaller, and at a window of 256 px, at a place drawn anew each
    time, since nothing else would see the finest detail. Each look has networks of its own. The generator's small image
    is not looked at.

    Source: Projected GAN (Sauer et al. 2021), section 3. The window is ours: the released code puts the frozen network
    on the whole image, whose cost grows with its area.
    """

    def __init__(self, config: GeneratorConfig, features: Features) -> None:
        super().__init__()
        self.shape, self.features = config.shape, features
        self.decoders = None
        nominal, base = config.nominal, config.base
        side = min(max(nominal, SMALLEST), LARGEST)
        self.whole = map_shape(base, side)
        looks = ("whole", "window") if nominal > LARGEST else ("whole",)
        self.heads = nn.ModuleDict(
            {
                f"{look}_{side >> level}": head(channels, side >> level, config.width)
                for look in looks
                for level, channels in enumerate(MIXED, start=1)
            }
        )

    def draw_window(self, random: torch.Generator) -> Int64[Tensor, " 2"] | None:
        """Draw the top and left of the window for a batch; None where images are seen whole."""
        if not any(name.startswith("window") for name in self.heads):
            return None
        longest = max(self.shape) - LARGEST + 1
        drawn = torch.randint(longest, (2,), device=random.device, generator=random)
        return torch.stack([drawn[axis] * (side - LARGEST + 1) // longest for axis, side in enumerate(self.shape)])

    def forward(
        self,
        images: Float[Tensor, "b c h w"],
        small: Float[Tensor, "b c _ _"],
        labels: Int64[Tensor, " b"] | None = None,
        window: Int64[Tensor, " 2"] | None = None,
    ) -> DiscriminatorOutput:
        """Judge images in [-1, 1], RGB or grey; above 256 px also at ``window``, from ``draw_window``."""
        assert labels is None
        images = rgb_views(images)[0]
        looks = [bounded(images, self.whole)] + ([] if window is None else [cropped(images, window)])
        maps = [each for look in looks for each in self.features(look)]
        logits = [head(each).flatten(1) for head, each in zip(self.heads.values(), maps, strict=True)]
        nothing = images.new_empty(0)  # there are no decoders that need maps
        return DiscriminatorOutput(torch.cat(logits, dim=1).float(), nothing, nothing, nothing)


def head(inputs: int, side: int, width: int) -> nn.Sequential:
    """Bring a map down to 8 px by strided convolutions, and then to 5 x 5 logits.

    A 1x1 convolution comes first, so that the deepest map, which may have 8 px already, is not judged linearly.
    """
    outputs = [width * 64 // (side >> halvings) for halvings in range((side // 8).bit_length())]
    layers: list[nn.Module] = [conv(inputs, outputs[0], 1), batch_norm(outputs[0]), leaky()]
    layers += [DownBlock(before, after) for before, after in pairwise(outputs)]
    return nn.Sequential(*layers, conv(outputs[-1], 1, 4))


def bounded(images: Float[Tensor, "b 3 h w"], shape: Shape) -> Float[Tensor, "b 3 _ _"]:
    """Bring images to another size of the same proportions."""
    while images.shape[-1] < shape[1]:
        images = upsample_smoothly(images)
    return shrink(images, shape) if images.shape[-1] > shape[1] else images


def cropped(images: Float[Tensor, "b 3 h w"], window: Int64[Tensor, " 2"]) -> Float[Tensor, "b 3 256 256"]:
    """Cut out ``LARGEST`` rows and columns from a place that only the device needs to know.

    Not to be compiled: PyTorch 2.13 writes past the end in its gradient (dev/LOG.md, 2026-11-24).
    """
    reach = torch.arange(LARGEST, device=images.device)
    return images.index_select(2, window[0] + reach).index_select(3, window[1] + reach)
