"""Feature extractors: networks that turn images into vectors, all behind one interface.

``efficientnet``  EfficientNet-Lite0's last layer before the classes, 1280 numbers; its weights come with a dependency
``squeezenet``    the mean over places of SqueezeNet v1.0's last map, 512 numbers; needs a weight file of 0.7 MB
``inception``     the 2015 network behind every published FID, 2048 numbers; needs a weight file
``vgg16``         the trunk of LPIPS: mean and deviation of each channel of its five taps, 2944 numbers; weight files
``dino``          DINOv2's class token, 1024 numbers, trained without ImageNet's classes; needs the package transformers
``random``        a fixed random network on every octave: mean and deviation of each channel in a 3 x 3 grid; no file

Scores of different extractors cannot be compared. ``random`` tells related sets apart (blurred, noisy, recoloured,
repeated), but it was never trained. It can prefer the right texture without any object.
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
from handful.networks.pretrained import efficientnet, squeezenet, weights
from handful.networks.pretrained.inception import Inception, prepare
from handful.networks.pretrained.lpips import Perceptual

LARGEST_SIDE = 256
"""Pixels. For ``vgg16`` and ``random``, larger images are averaged down to this."""

DINO = "dinov2-large"

DINO_SIDE = 224

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@final
@dataclass(frozen=True)
class Extractor:
    """A network that turns images into vectors, with the name to state beside every score made with it."""

    name: str
    """Includes the variant, as in ``inception (tf)``."""
    function: Callable[[UInt8[Tensor, "b 3 h w"]], Tensor]
    device: torch.device

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "b c h w"]) -> Float64[Tensor, "b d"]:
        """Return one row for each image, on the CPU. RGBA is composited over white. The caller bounds the batch."""
        # On CUDA, TF32 would round features to ten bits.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.function(over_white(images).to(self.device)).cpu().double()


def load_extractor(
    name: FeatureName,
    device: torch.device,
    folder: Path | None = None,
    resize: Resize = "tf",
    download: bool = True,
) -> Extractor:
    """Return the extractor with a name.

    Args:
        name: One of ``FeatureName``.
        device: Where it computes.
        folder: Searched first for weight files (``--weights``).
        resize: How images are resized to the 299 px of ``inception``.
        download: Whether a weight file may be downloaded.

    Raises:
        WeightsError: if a weight file or package is missing or wrong. The message says what to put where.
    """
    if name == "inception":
        inception = Inception.pretrained(folder, download).to(device)
        return Extractor(f"inception ({resize})", lambda images: inception(prepare(images, resize)), device)
    if name == "efficientnet":
        photos = efficientnet.EfficientNet.pretrained(folder, download).to(device)
        return Extractor(name, lambda images: photos(efficientnet.prepare(images)), device)
    if name == "squeezenet":
        small = squeezenet.SqueezeNet.pretrained(folder, download).to(device)
        return Extractor(name, lambda images: small(squeezenet.prepare(images)), device)
    if name == "vgg16":
        return vgg16(Perceptual.pretrained(folder, download).to(device), device)
    if name == "dino":
        return Extractor(name, dino(folder).to(device), device)
    network = RandomNetwork().to(device)
    return Extractor(name, lambda images: network(pixels(images)), device)


def load_second(
    first: FeatureName, device: torch.device, folder: Path | None = None, download: bool = False
) -> tuple[Extractor | None, str]:
    """Return SqueezeNet, to check what the network ``first`` says, or the reason why it is left out.

    A set can be close to another in the eyes of one network and not of another, so conclusions need both.

    Raises:
        WeightsError: if the weight file is there but damaged.
    """
    if first == "squeezenet":
        return None, "the scores without this prefix are SqueezeNet's already"
    try:
        return load_extractor("squeezenet", device, folder, download=download), ""
    except MissingWeightsError as error:
        return None, f"{error.on_command_line} Or run handful evaluate once with --features squeezenet."


def vgg16(perceptual: Perceptual, device: torch.device) -> Extractor:
    """Return the extractor of a perceptual network that is already loaded."""
    return Extractor("vgg16", lambda images: statistics(perceptual.features(pixels(images))), device)


def pixels(images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Return images in [-1, 1], shrunk if a side is larger than ``LARGEST_SIDE``.

    The other side then becomes a multiple of 16, so it can be halved as often.
    """
    values = from_bytes(images)
    longest = max(images.shape[2:])
    if longest <= LARGEST_SIDE:
        return values
    height, width = (16 * max(1, round(side * LARGEST_SIDE / longest / 16)) for side in images.shape[2:])
    return nn.functional.adaptive_avg_pool2d(values, (height, width))


def statistics(maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b d"]:
    """Return the mean and the standard deviation over pixels of each channel of each map."""
    moments = [torch.std_mean(values, dim=(2, 3), correction=0) for values in maps]
    return torch.cat([torch.cat([mean, deviation], dim=1) for deviation, mean in moments], dim=1)


@final
class RandomNetwork(nn.Module):
    """Two random convolutions on every band of a Laplacian pyramid, from the image's size down to 16 px.

    For every channel of every band, the logarithms of the mean and of the deviation in each ninth of the image. Without
    logarithms, faint fine detail would not count beside brightness. The weights are the same on every machine.

    Source: Naeem et al. 2020, section 5.2, find that random networks rank generators well where ImageNet's do not fit.
    Bands, cells and logarithms are ours, chosen by how well KID follows the quality of a run (dev/LOG.md).
    """

    CHANNELS = (16, 32)
    CELLS = 3
    FAINTEST = 0.01
    """Added before the logarithm: about one grey level."""
    MIDDLE = 2.0
    """Added after it: centres the vectors, where KID's kernel is most sensitive."""
    SEED = 2015

    def __init__(self) -> None:
        super().__init__()
        # NumPy guarantees the same random bits in all versions; torch does not.
        random = np.random.Generator(np.random.PCG64(self.SEED))
        self.convolutions = nn.ModuleList()
        for before, after in zip((3, *self.CHANNELS), self.CHANNELS, strict=False):
            convolution = nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect", bias=False)
            # Uniform, with the variance that preserves the signal through a ReLU (He et al. 2015).
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
                mean, square = (nn.functional.adaptive_avg_pool2d(values, self.CELLS) for values in (x, x.square()))
                deviation = (square - mean.square()).clamp(min=0).sqrt()
                vectors += [mean.flatten(1), deviation.flatten(1)]
                x = nn.functional.avg_pool2d(x, 2)
        return (torch.cat(vectors, dim=1) + self.FAINTEST).log() + self.MIDDLE


def dino(folder: Path | None) -> nn.Module:
    """Load DINOv2 ViT-L/14 with transformers, from ``--weights``/dinov2-large, its cache or the Hub.

    Source: Stein et al. 2023 find that its distances agree best with human judgement.

    Raises:
        WeightsError: if the package is not installed or the weights cannot be loaded.
    """
    try:
        from transformers import Dinov2Model
    except ImportError as error:
        raise MissingWeightsError("features dino need the package transformers: pip install 'handful[dino]'") from error
    own = weights.own_folder(folder)
    source = str(own / DINO) if own is not None and (own / DINO).is_dir() else f"facebook/{DINO}"
    try:
        return Dino(Dinov2Model.from_pretrained(source))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingWeightsError(
            f"DINOv2 cannot be loaded from {source}: {reason}. Put the folder {DINO} (config.json and "
            f"model.safetensors of facebook/{DINO} on the Hugging Face Hub) into a folder, and name that with --weights"
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
