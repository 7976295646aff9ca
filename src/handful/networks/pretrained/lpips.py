"""LPIPS: how different two images look, measured on features of a frozen VGG16."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.memory import checkpointed
from handful.compute.precision import memory_format
from handful.images.channels import rgb_views
from handful.networks.pretrained import loading, weights

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""VGG16's blocks: (channels, convolutions), with a 2x2 max-pool between two blocks. LPIPS taps the end of each."""

SMALLEST_SIDE = 2 ** (len(BLOCKS) - 1)

EPSILON = 1e-10

SHIFT = (-0.030, -0.088, -0.188)

SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for images in [-1, 1], rounded as in the LPIPS release."""


@final
class VGG16(nn.Module):
    """The convolutions of VGG16, up to relu5_3.

    The names in the state dict are torchvision's (``features.0.weight`` ...), so that its file loads as it is.

    Source: VGG (Simonyan & Zisserman 2015), table 1, column D, without the last pool and the classifier.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for block, (channels, convolutions) in enumerate(BLOCKS):
            if block > 0:
                layers.append(nn.MaxPool2d(2))
            for _ in range(convolutions):
                # In place saves a copy and is safe: a convolution's gradient does not need its output, and a block's
                # last ReLU, which LPIPS taps, is followed by a pool, which leaves its input alone.
                layers += [nn.Conv2d(previous, channels, 3, padding=1, device="meta"), nn.ReLU(inplace=True)]
                previous = channels
        self.features = nn.Sequential(*layers)
        self.recompute = False

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> VGG16:
        """Build with the published weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing, damaged, or has other tensors than VGG16.
        """
        path = weights.locate(weights.VGG16, folder, download)
        network = cls().to_empty(device="cpu").requires_grad_(False).eval()
        values = loading.without_classifier(loading.read_tensors(path), "classifier")
        loading.copy_tensors(dict(network.named_parameters()), values, path)
        return network

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, each half the size of the one before."""
        taps: list[Tensor] = []
        pools = [index for index, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        for start, end in pairwise([0, *pools, len(self.features)]):
            taps.append(checkpointed(self.features[start:end], taps[-1] if taps else x, enabled=self.recompute))
        return taps


@final
class Perceptual(nn.Module):
    """LPIPS, a distance between images that agrees with human judgement better than a distance of pixels.

    ``sum over taps of mean over pixels of head . (f(x) - f(y))^2``, where f is a feature vector of VGG16 scaled to
    length 1. Frozen: no weight requires a gradient, and training and evaluation mode are the same.

    Source: LPIPS (Zhang et al. 2018), section 3, equation 1; the constants are those of its release v0.1 ("lin", VGG).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, seed: int = 0) -> None:
        """Build with random weights, the same for the same seed; training needs ``pretrained``."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.backbone = VGG16().to_empty(device="cpu")
        for layer in self.backbone.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.heads = nn.ParameterList(torch.rand(1, channels, 1, 1, generator=generator) for channels, _ in BLOCKS)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> Perceptual:
        """Build with the weights of the LPIPS release, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: A file is missing, damaged, or has other tensors than VGG16 and LPIPS.
        """
        # The small file first: an error in it shows before the download of 528 MB.
        head_path = weights.locate(weights.LPIPS_VGG, folder, download)
        perceptual = cls()
        heads = {f"lin{tap}.model.1.weight": head for tap, head in enumerate(perceptual.heads)}
        loading.copy_tensors(heads, loading.read_tensors(head_path), head_path)
        perceptual.backbone = VGG16.pretrained(folder, download)
        return perceptual

    def for_training(self, precision: torch.dtype, recompute: bool = False) -> Perceptual:
        """Return a copy whose convolutions compute in this precision; scores keep using the original.

        ``recompute`` turns activation checkpointing on.
        """
        network = copy.deepcopy(self)
        network.backbone.to(precision, memory_format=memory_format(precision))  # type: ignore[call-overload]
        network.backbone.recompute = recompute
        return network

    def forward(self, images: Float[Tensor, "m c h w"], targets: Float[Tensor, "n c h w"]) -> Float[Tensor, m]:
        """Return the distance of each image in [-1, 1] from its target, image i from target i modulo n.

        0 for equal images, seldom above 1 with the pretrained weights. Gradients reach ``images`` only. Images that are
        not RGB are compared in each of their ``channels.rgb_views``, and the distances averaged.

        Raises:
            ValueError: As ``features``.
        """
        distances = []
        for image_view, target_view in zip(rgb_views(images), rgb_views(targets), strict=True):
            with torch.no_grad():
                target_features = self.features(target_view)
            distances.append(self.distance(self.features(image_view), target_features))
        return distances[0] if len(distances) == 1 else torch.stack(distances).mean(dim=0)

    def features(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the five taps, with each feature vector scaled to length 1 (0 stays 0).

        The taps are float32 even if the convolutions are not: in half precision a sum of squares overflows, and
        EPSILON is 0.

        Raises:
            ValueError: A side of the images is below ``SMALLEST_SIDE``.
        """
        height, width = images.shape[-2:]
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"images are {width}x{height} pixels, but the perceptual loss halves them four times and needs "
                f"{SMALLEST_SIDE} pixels or more a side: enlarge them"
            )
        precision = next(self.backbone.parameters()).dtype
        return [_normalise(tap) for tap in self.backbone(((images - self.shift) / self.scale).to(precision))]

    def distance(
        self, features: list[Float[Tensor, "m _ _ _"]], target_features: list[Float[Tensor, "n _ _ _"]]
    ) -> Float[Tensor, m]:
        """Return the distance of each image i from target i modulo n, given their ``features``."""
        # The mean over pixels and the head commute; after the mean the head weighs only c numbers an image.
        terms = []
        for head, tap, targets in zip(self.heads, features, target_features, strict=True):
            parts = [(part - targets[: len(part)]).square().mean(dim=(2, 3)) for part in torch.split(tap, len(targets))]
            terms.append((torch.cat(parts) * head.flatten()).sum(dim=1))
        return torch.stack(terms).sum(dim=0)


def _normalise(tap: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Scale each feature vector to length 1.

    Where all features are 0, a plain square root has the gradient 0 * infinity = NaN; that of ``vector_norm`` is 0. The
    remaining factor 1 / EPSILON is finite, and the ReLU before the tap multiplies it by 0.
    """
    precision = torch.promote_types(tap.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(tap, dim=1, keepdim=True, dtype=precision)
    return tap / (norm + EPSILON)
