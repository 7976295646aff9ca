"""Projected heads: judge what a frozen network sees, beside the discriminator that learns from pixels."""

from __future__ import annotations

import copy
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.precision import memory_format
from handful.config.generator import GeneratorConfig
from handful.config.sizes import map_shape
from handful.images.channels import rgb_views
from handful.networks.conv import conv, down_conv, resize
from handful.networks.layers import batch_norm, leaky_relu
from handful.networks.pretrained.efficientnet import TAP_CHANNELS, EfficientNet

SIZE = 128
"""Nominal size that images are brought to: smaller ones are enlarged, larger ones averaged down."""

HIDDEN = 64

Maps = tuple[Float[Tensor, "n _ _ _"], Float[Tensor, "n _ _ _"]]
"""Two maps of each image that is looked at, of 1/8 and 1/16 of its side."""


@final
class Look:
    """The two deepest maps of a frozen EfficientNet-Lite0.

    Not a module, so that it is no part of the discriminator, whose layers are trained, normalised and saved.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        backbone: EfficientNet,
        device: torch.device,
        precision: torch.dtype,
        recompute: bool,
    ) -> None:
        self.shape = map_shape(config.base, SIZE)
        self.backbone = copy.deepcopy(backbone).to(device, precision, memory_format=memory_format(precision))  # type: ignore[call-overload]
        self.backbone.recompute = recompute
        self.backbone.requires_grad_(False)

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Maps:
        """Return the maps of every second image; gradients reach these images.

        Half of a batch costs half, and is as good (docs/recipe.md). Every second one is also every second one of each
        process's share. Images are in [-1, 1]; transparent ones are looked at over black.
        """
        wide, deep = self.backbone.taps(resize(rgb_views(images[::2])[0], self.shape))[2:]
        return wide, deep


@final
class ProjectedHeads(nn.Module):
    """Judge the maps of ``look`` in patches, with one small network each.

    Source: vision-aided GAN (Kumari et al. 2022), section 3: an ensemble of a discriminator of one's own and one on
    frozen features. The heads are smaller than Projected GAN's (Sauer et al. 2021), and mix no maps.
    """

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        wide, deep = TAP_CHANNELS[2:]
        self.wide = nn.Sequential(batch_norm(wide), down_conv(wide, HIDDEN), leaky_relu(), conv(HIDDEN, 1, 4))
        self.deep = nn.Sequential(batch_norm(deep), conv(deep, HIDDEN, 1), leaky_relu(), conv(HIDDEN, 1, 4))

    def forward(self, maps: Maps) -> Float[Tensor, "n l"]:
        """Return the logits of images, from their maps."""
        wide, deep = maps
        return torch.cat([self.wide(wide).flatten(1), self.deep(deep).flatten(1)], dim=1).float()
