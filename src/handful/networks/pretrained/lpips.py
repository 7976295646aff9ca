"""LPIPS: how far apart two images look, as the features of a frozen VGG16 see it."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.memory import kept_or_recomputed
from handful.compute.precision import layout
from handful.images.channels import rgb_views
from handful.networks.pretrained import weights

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""VGG16's blocks: (channels, convolutions). A 2x2 max-pool lies between two blocks; LPIPS reads the end of each."""


SMALLEST_SIDE = 2 ** (len(BLOCKS) - 1)


EPSILON = 1e-10


SHIFT = (-0.030, -0.088, -0.188)


SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for images in [-1, 1], with the rounding of the LPIPS release."""


@final
class Trunk(nn.Module):
    """The convolutions of VGG16, up to relu5_3.

    The names in the state dict are torchvision's (``features.0.weight`` ...), so its file loads as it is.

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
                # In place is safe and saves a copy: a convolution's gradient does not need its output, and after a
                # block's last ReLU, which LPIPS reads, comes a pool, which leaves its input alone.
                layers += [nn.Conv2d(previous, channels, 3, padding=1, device="meta"), nn.ReLU(inplace=True)]
                previous = channels
        self.features = nn.Sequential(*layers)
        self.recompute = False

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> Trunk:
        """Build with the published weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing, damaged, or holds other tensors than VGG16 has.
        """
        path = weights.locate(weights.VGG16, folder, download)
        trunk = cls().to_empty(device="cpu").requires_grad_(False).eval()
        values = weights.without_classifier(weights.read(path), "classifier")
        weights.fill(dict(trunk.named_parameters()), values, path)
        return trunk

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, each half the size of the one before."""
        taps: list[Tensor] = []
        pools = [place for place, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        for start, end in pairwise([0, *pools, len(self.features)]):
            taps.append(kept_or_recomputed(self.features[start:end], taps[-1] if taps else x, recompute=self.recompute))
        return taps


@final
class Perceptual(nn.Module):
    """Measure LPIPS, a distance between images that agrees with what people see better than pixels do.

    ``sum over taps of mean over pixels of head . (f(x) - f(y))^2``, where f is a feature vector of VGG16 scaled to
    length 1. Frozen: no weight asks for a gradient, nothing differs between training and evaluation.

    Source: LPIPS (Zhang et al. 2018), section 3, equation 1; the constants are those of its release v0.1 ("lin", VGG).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, seed: int = 0) -> None:
        """Build with random weights, the same for the same seed; ``pretrained`` is what training wants."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.trunk = Trunk().to_empty(device="cpu")
        for layer in self.trunk.features:
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
            WeightsError: A file is missing, damaged, or holds other tensors than VGG16 and LPIPS have.
        """
        # The small file first: what is wrong with it shows before 528 MB are on their way.
        head_path = weights.locate(weights.LPIPS_VGG, folder, download)
        perceptual = cls()
        heads = {f"lin{tap}.model.1.weight": head for tap, head in enumerate(perceptual.heads)}
        weights.fill(heads, weights.read(head_path), head_path)
        perceptual.trunk = Trunk.pretrained(folder, download)
        return perceptual

    def reduced(self, precision: torch.dtype, recompute: bool = False) -> Perceptual:
        """Return a copy for training, whose convolutions compute in this precision; scores stay with the original.

        With ``recompute`` its maps are not kept for the backward pass but computed again then.
        """
        made = copy.deepcopy(self)
        made.trunk.to(precision, memory_format=layout(precision))  # type: ignore[call-overload]
        made.trunk.recompute = recompute
        return made

    def forward(self, images: Float[Tensor, "m c h w"], targets: Float[Tensor, "n c h w"]) -> Float[Tensor, m]:
        """Return the distance of each image in [-1, 1] from its target, image i from target i modulo n.

        0 for equal images, seldom above 1 with the pretrained weights. The gradient goes to ``images`` and not to
        ``targets``. Of images that are not RGB, the mean over their ``channels.views``.

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
        """Return the five taps, each feature vector scaled to length 1 (or 0 where nothing fired).

        The taps are float32 at least, whatever the convolutions compute in: in half precision a sum of squares
        overflows and EPSILON is 0.

        Raises:
            ValueError: A side of the images is below ``SMALLEST_SIDE``.
        """
        height, width = images.shape[-2:]
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"images are {width}x{height} pixels, but the perceptual loss halves them four times and needs "
                f"{SMALLEST_SIDE} pixels or more a side: enlarge them"
            )
        precision = next(self.trunk.parameters()).dtype
        return [_normalise(tap) for tap in self.trunk(((images - self.shift) / self.scale).to(precision))]

    def distance(
        self, features: list[Float[Tensor, "m _ _ _"]], target_features: list[Float[Tensor, "n _ _ _"]]
    ) -> Float[Tensor, m]:
        """Return the distance of each image from its target, i modulo n for image i, from what ``features`` gave."""
        # The mean over pixels and the head commute, and the mean first leaves only c numbers an image to weigh.
        terms = []
        for head, tap, targets in zip(self.heads, features, target_features, strict=True):
            parts = [(part - targets[: len(part)]).square().mean(dim=(2, 3)) for part in torch.split(tap, len(targets))]
            terms.append((torch.cat(parts) * head.flatten()).sum(dim=1))
        return torch.stack(terms).sum(dim=0)


def _normalise(tap: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Scale each feature vector to length 1.

    Where nothing fires, a plain square root has the gradient 0 * infinity = NaN, which would rest on each backend's
    ReLU to drop; ``vector_norm`` gives 0. What is left is 1 / EPSILON, finite, and the ReLU before the tap drops it.
    """
    precision = torch.promote_types(tap.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(tap, dim=1, keepdim=True, dtype=precision)
    return tap / (norm + EPSILON)
