"""SqueezeNet v1.0, a small ImageNet network whose weights were pruned and shared to 0.7 MB."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from handful.errors import WeightsError
from handful.networks.pretrained import weights

SIDE = 128
"""Side, in pixels, to which images are brought; dev/LOG.md compares sizes."""

FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Channels of the squeeze and of each of the two expand layers of fire2 to fire9."""

POOLED_FIRES = (2, 6)
"""Indices in ``FIRES`` of fire4 and fire8, which a pool follows."""

FEATURES = 2 * FIRES[-1][1]

CLASSES = 1_000

MEANS = (104.0, 117.0, 123.0)
"""Subtracted from blue, green and red, 0 to 255."""

UNIT = 40.0
"""Features are divided by this. Then their root mean square is about 0.5, as EfficientNet's, and KID, whose kernel has
a constant term, weighs both networks alike."""

CODEBOOK = 256
"""Values that the weights of a layer share."""


@final
class Fire(nn.Module):
    """Squeeze to few channels, then expand by a 1x1 and a 3x3 convolution side by side.

    Source: SqueezeNet (Iandola et al. 2016), section 3.2.
    """

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = convolution(channels, squeezed, 1)
        self.expand1x1 = convolution(squeezed, expanded, 1)
        self.expand3x3 = convolution(squeezed, expanded, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Return the block's map."""
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


@final
class SqueezeNet(nn.Module):
    """Compute 512 features of an image, the mean over places of fire9 over ``UNIT``, or feature maps. Frozen.

    Source: SqueezeNet (Iandola et al. 2016), table 1, without the classifier; weights pruned and shared as in Deep
    Compression (Han et al. 2016), by its authors.
    """

    def __init__(self, file: Path) -> None:
        """Build with the weights of a file.

        Raises:
            WeightsError: The file does not have the layout of this network.
        """
        super().__init__()
        self.conv1 = convolution(3, 96, 7, stride=2)
        self.fires = nn.ModuleList()
        channels = 96
        for squeezed, expanded in FIRES:
            self.fires.append(Fire(channels, squeezed, expanded))
            channels = 2 * expanded
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        shapes = [tuple(layer.weight.shape) for layer in layers]
        values = decode(file, [*shapes, (CLASSES, channels, 1, 1)])
        for layer, (weight, bias) in zip(layers, values[:-1], strict=True):  # the last one tells classes apart
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.requires_grad_(False).eval()

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> SqueezeNet:
        """Build with the published weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing or damaged.
        """
        return cls(weights.locate(weights.SQUEEZENET, folder, download))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 512"]:
        """Return the features of images from ``prepare``."""
        return self.maps(x)[-1].mean(dim=(2, 3)) / UNIT

    def maps(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return conv1, fire4, fire8 and fire9, at about 1/2, 1/4, 1/8 and 1/16 of the side of prepared images."""
        maps = [F.relu(self.conv1(x))]
        x = pooled(maps[-1])
        for index, fire in enumerate(self.fires):
            x = fire(x)
            if index in POOLED_FIRES:
                maps.append(x)
                x = pooled(x)
        return [*maps, x]


def convolution(channels: int, out: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """Return a convolution without weights."""
    return nn.Conv2d(channels, out, kernel, stride, padding, device="meta")


def pooled(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Return the maxima of 3x3 windows, two pixels apart. A window may reach over the edge."""
    return F.max_pool2d(x, 3, stride=2, ceil_mode=True)


def prepare(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 128 128"]:
    """Resize images to 128 pixels by antialiased bicubic, and centre and order the channels as in training."""
    resized = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    means = torch.tensor(MEANS, device=images.device).view(1, 3, 1, 1)
    return resized.clamp(0, 255).flip(1) - means


def decode(path: Path, shapes: list[tuple[int, ...]]) -> list[tuple[Float[Tensor, "o i k k"], Float[Tensor, " o"]]]:
    """Return the weights and biases of layers of these shapes from a file of pruned and shared weights.

    Little-endian. First, how many weights of each layer are kept, uint32. Then, for each layer: 256 values, float32;
    the biases, float32; for each kept weight the index of its value, uint8; and the gap before it, two of 4 bits a
    byte, low half first. The sum of ``gap + 1`` up to a weight, less 1, is its index in the layer. All others are 0.

    Raises:
        WeightsError: The file does not hold exactly these layers.

    Source: Deep Compression (Han et al. 2016), sections 2 and 3, and its release of SqueezeNet.
    """
    content = path.read_bytes()
    require(len(content) >= 4 * len(shapes), path, f"it ends before the {len(shapes)} counts at its beginning")
    kept = np.frombuffer(content, "<u4", len(shapes)).astype(np.int64)
    sizes = [4 * (CODEBOOK + shape[0]) + count + (count + 1) // 2 for shape, count in zip(shapes, kept, strict=True)]
    expected = int(4 * len(shapes) + sum(sizes))
    require(len(content) == expected, path, f"its counts need {expected:,} bytes, but it has {len(content):,}")
    layers, start = [], 4 * len(shapes)
    for number, (shape, count, size) in enumerate(zip(shapes, kept, sizes, strict=True), start=1):
        layer = decode_layer(content[start : start + size], shape, int(count))
        require(layer is not None, path, f"layer {number} of {len(shapes)} has a weight outside it, or no number")
        assert layer is not None
        layers.append(layer)
        start += int(size)
    return layers


def decode_layer(
    content: bytes, shape: tuple[int, ...], count: int
) -> tuple[Float[Tensor, "o i k k"], Float[Tensor, " o"]] | None:
    """Return the weights and biases of one layer; None if an index is outside it or a value is not finite."""
    numbers = np.frombuffer(content, "<f4", CODEBOOK + shape[0]).astype(np.float32)
    values, biases = numbers[:CODEBOOK], numbers[CODEBOOK:]
    packed = np.frombuffer(content, np.uint8, offset=4 * len(numbers))
    codes, gaps = packed[:count], np.stack([packed[count:] & 15, packed[count:] >> 4], axis=1).ravel()[:count]
    indices = np.cumsum(gaps.astype(np.int64) + 1) - 1
    weight = np.zeros(int(np.prod(shape)), np.float32)
    if not np.isfinite(numbers).all() or (count and indices[-1] >= len(weight)):
        return None
    weight[indices] = values[codes]
    return torch.from_numpy(weight.reshape(shape)), torch.from_numpy(biases.copy())


def require(condition: bool, path: Path, problem: str) -> None:
    """Raise unless a file is what it should be."""
    if not condition:
        raise WeightsError(f"{path} is not SqueezeNet's weight file: {problem}. Replace the file.")
