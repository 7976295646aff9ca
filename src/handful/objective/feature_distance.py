"""How alike two images look to a frozen EfficientNet-Lite0: what stands in for LPIPS where its weights are not."""

from __future__ import annotations

import copy
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.precision import memory_format
from handful.images.channels import rgb_views
from handful.networks.conv import upsample_bilinear
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.losses import absolute_difference

SMALLEST_SIDE = 64
"""Images with a shorter side are enlarged; the deepest map of one of this side has 4 x 4 places."""

EPSILON = 1e-10


@final
class FeatureDistance(nn.Module):
    """Mean absolute difference, and the squared distance of features scaled to length 1.

    ``mean |x - y| + 1/4 * sum over four maps of mean over places of |f(x) - f(y)|^2``. Frozen.

    Source: LPIPS (Zhang et al. 2018), section 3, equation 1, with another network and without learned weights.
    """

    def __init__(self, backbone: EfficientNet) -> None:
        super().__init__()
        self.backbone = backbone
        self.requires_grad_(False).eval()

    def for_training(self, precision: torch.dtype, recompute: bool = False) -> FeatureDistance:
        """Return a copy whose convolutions compute in this precision; ``recompute`` saves memory."""
        backbone = copy.deepcopy(self.backbone).to(precision, memory_format=memory_format(precision))  # type: ignore[call-overload]
        backbone.recompute = recompute
        return FeatureDistance(backbone)

    def forward(self, images: Float[Tensor, "m c h w"], targets: Float[Tensor, "n c h w"]) -> Float[Tensor, " m"]:
        """Return the distance of each image in [-1, 1] from its target, image i from target i modulo n.

        Images that are not RGB are compared in each of their views. Gradients reach ``images`` only.
        """
        targets = targets.detach()
        views = [self.compare(*view) for view in zip(rgb_views(images), rgb_views(targets), strict=True)]
        return absolute_difference(images, targets) + torch.stack(views).mean(dim=0)

    def compare(self, images: Float[Tensor, "m 3 h w"], targets: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " m"]:
        """Return the part of the features."""
        terms = []
        for tap, aim in zip(self.features(images), self.features(targets), strict=True):
            parts = [(part - aim[: len(part)]).square().sum(1).mean(dim=(1, 2)) for part in torch.split(tap, len(aim))]
            terms.append(torch.cat(parts))
        return torch.stack(terms).mean(dim=0)

    def features(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return four maps in float32, with each feature vector scaled to length 1 (0 stays 0)."""
        while min(images.shape[-2:]) < SMALLEST_SIDE:
            images = upsample_bilinear(images)
        maps = [tap.float() for tap in self.backbone.taps(images)]
        return [tap / (torch.linalg.vector_norm(tap, dim=1, keepdim=True) + EPSILON) for tap in maps]
