"""What an image looks like to a network, as a vector: one contract for all that compare sets of images by features.

``efficientnet``  EfficientNet-Lite0's last layer before ImageNet's classes, 1280 numbers; its file is installed with us
``inception``     the 2015 network behind every published FID, 2048 numbers; a weight file
``vgg16``         the VGG16 of LPIPS: mean and deviation of each channel of its five taps, 2944 numbers; weight files
``dino``          DINOv2's class token, 1024 numbers: knows objects, not ImageNet's classes; the package transformers
``random``        a fixed random network on every octave, mean and deviation of each channel in a 3 x 3 grid; no file

Figures of two extractors have nothing to do with each other. ``random`` tells sets of one kind apart (blurred, noisy,
recoloured, repeated) but has never seen an object, and can take the right texture without a thing in it for better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor, nn

from handful.config.choices import FeatureName, Resize
from handful.errors import MissingWeightsError
from handful.images.channels import over_white
from handful.images.grid import from_bytes
from handful.metrics.wasserstein import halvings, pyramid
from handful.networks.pretrained import efficientnet, weights
from handful.networks.pretrained.inception import Inception, prepare
from handful.networks.pretrained.lpips import Perceptual

LARGEST_SIDE = 256
"""Pixels; ``vgg16`` and ``random`` see larger images averaged down to this."""


DINO = "dinov2-large"


DINO_SIDE = 224


IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@final
@dataclass(frozen=True)
class Extractor:
    """A network that turns images into vectors, and the name that belongs beside every figure made with it."""

    name: str
    """With the variant where there are several, such as ``inception (tf)``."""
    function: Callable[[UInt8[Tensor, "b 3 h w"]], Tensor]
    device: torch.device

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Float64[Tensor, "b d"]:
        """Give one row an image, on the CPU; RGBA is seen over white. The caller bounds the batch."""
        # On CUDA, TF32 would round an FID's features to ten bits.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.function(over_white(images).to(self.device)).cpu().double()


def load_extractor(
    name: FeatureName,
    device: torch.device,
    folder: Path | None = None,
    resize: Resize = "tf",
) -> Extractor:
    """Make the extractor of a name.

    Args:
        name: One of ``FeatureName``.
        device: Where it computes.
        folder: Where weight files are looked for first (``--weights``).
        resize: How ``inception`` brings images to 299 px.

    Raises:
        WeightsError: if a weight file or package is missing or wrong; the message says what to put where.
    """
    if name == "inception":
        inception = Inception.pretrained(folder).to(device)
        return Extractor(f"inception ({resize})", lambda images: inception(prepare(images, resize)), device)
    if name == "efficientnet":
        photos = efficientnet.EfficientNet.pretrained(folder).to(device)
        return Extractor(name, lambda images: photos(efficientnet.prepare(images)), device)
    if name == "vgg16":
        return vgg16(Perceptual.pretrained(folder).to(device), device)
    if name == "dino":
        return Extractor(name, dino(folder).to(device), device)
    network = RandomNetwork().to(device)
    return Extractor(name, lambda images: network(pixels(images)), device)


def vgg16(perceptual: Perceptual, device: torch.device) -> Extractor:
    """Make the extractor of a perceptual network that is already there."""
    return Extractor("vgg16", lambda images: statistics(perceptual.features(pixels(images))), device)


def pixels(images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Give images in [-1, 1], made smaller if a side is larger than ``LARGEST_SIDE``.

    The other side then comes to a multiple of 16, so that it can be halved as often.
    """
    values = from_bytes(images)
    longest = max(images.shape[2:])
    if longest <= LARGEST_SIDE:
        return values
    height, width = (16 * max(1, round(side * LARGEST_SIDE / longest / 16)) for side in images.shape[2:])
    return nn.functional.adaptive_avg_pool2d(values, (height, width))


def statistics(maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d"]:
    """Give the mean and the deviation over pixels of each channel of each map."""
    taken = [torch.std_mean(each, dim=(2, 3), correction=0) for each in maps]
    return torch.cat([torch.cat([mean, deviation], dim=1) for deviation, mean in taken], dim=1)


@final
class RandomNetwork(nn.Module):
    """Two random convolutions on every band of a Laplacian pyramid, from the image's size down to 16 px.

    Of every channel of every band the mean and the deviation in each ninth of the image are taken, by their logarithms:
    fine detail is faint, and would not count beside brightness otherwise. The same numbers for everyone.

    Source: Naeem et al. 2020, section 5.2, who find random networks to rank generators well where ImageNet's do not
    fit; bands, cells and logarithms are ours, chosen by how well KID follows the quality of a run (dev/log-2026-11.md).
    """

    CHANNELS = (16, 32)
    CELLS = 3
    FAINTEST = 0.01
    """Added before the logarithm: about one grey level."""
    MIDDLE = 2.0
    """Added after it, so that vectors lie around the origin, where KID's kernel sees them best."""
    SEED = 2015

    def __init__(self) -> None:
        super().__init__()
        # NumPy's bits are promised to stay; torch's are not.
        random = np.random.Generator(np.random.PCG64(self.SEED))
        self.convolutions = nn.ModuleList()
        for before, after in zip((3, *self.CHANNELS), self.CHANNELS, strict=False):
            convolution = nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect", bias=False)
            # Uniform, with the variance that keeps a signal's size through a ReLU (He et al. 2015).
            values = (random.random(convolution.weight.shape) * 2 - 1) * (6 / (before * 9)) ** 0.5
            convolution.weight.data = torch.from_numpy(values).float()
            self.convolutions.append(convolution)
        self.requires_grad_(False).eval()

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return 864 numbers a band."""
        vectors = []
        for band in pyramid(images, halvings((images.shape[2], images.shape[3])) + 1):
            x = band
            for convolution in self.convolutions:
                x = torch.relu(convolution(x))
                mean, square = (nn.functional.adaptive_avg_pool2d(each, self.CELLS) for each in (x, x.square()))
                deviation = (square - mean.square()).clamp(min=0).sqrt()
                vectors += [mean.flatten(1), deviation.flatten(1)]
                x = nn.functional.avg_pool2d(x, 2)
        return (torch.cat(vectors, dim=1) + self.FAINTEST).log() + self.MIDDLE


def dino(folder: Path | None) -> nn.Module:
    """Load DINOv2 ViT-L/14 by the package transformers, from ``--weights``/dinov2-large or its own cache or the hub.

    Source: Stein et al. 2023, who find its distances to agree best with people.

    Raises:
        WeightsError: if the package is not installed or the weights cannot be had.
    """
    try:
        from transformers import Dinov2Model
    except ImportError as error:
        raise MissingWeightsError(
            "the features dino need the package transformers: pip install 'handful[dino]'"
        ) from error
    own = weights.own_folder(folder)
    place = str(own / DINO) if own is not None and (own / DINO).is_dir() else f"facebook/{DINO}"
    try:
        return Dino(Dinov2Model.from_pretrained(place))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingWeightsError(
            f"DINOv2 cannot be loaded from {place}: {reason}. Put the folder {DINO} (config.json and "
            f"model.safetensors of facebook/{DINO} on the Hugging Face hub) into a folder named with --weights"
        ) from error


@final
class Dino(nn.Module):
    """DINOv2's class token, from uint8 images resized to 224 px with antialiasing."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return the class token after the last normalisation."""
        side = (DINO_SIDE, DINO_SIDE)
        values = nn.functional.interpolate(images / 255, side, mode="bicubic", antialias=True).clamp(0, 1)
        output: Tensor = self.network(pixel_values=(values - self.mean) / self.deviation).pooler_output
        return output
