"""EfficientNet-Lite0: a small network trained on photos, whose weight file a package of 17 MB carries."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from handful import weights

SIDE = 224
"""Pixels a side of the images that the network reads."""
FEATURES = 1280
EPSILON = 0.001
STAGES = (
    # kernel, stride of the first block, widening, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def convolution(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Make a convolution with no weights drawn yet, lest they be drawn from the global generator."""
    layer = nn.Conv2d(channels, out, kernel, stride, groups=groups, bias=False, device="meta")
    return layer.to_empty(device="cpu")


def norm(channels: int) -> nn.BatchNorm2d:
    """Make a normalisation."""
    return nn.BatchNorm2d(channels, eps=EPSILON)


def padded(x: Float[Tensor, "b c h w"], layer: nn.Conv2d) -> Float[Tensor, "b c _ _"]:
    """Pad as TensorFlow does, so that an output has the input's side over the stride: more below than above."""
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[3], x.shape[2])]
    return F.pad(x, [part for each in missing for part in (each // 2, each - each // 2)])


@final
class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; add the input where it has the same shape.

    Source: MobileNetV2 (Sandler et al. 2018), section 3.4, without EfficientNet's squeeze and excitation.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = channels * widening
        self.adds, self.widens = stride == 1 and channels == out, widening > 1
        if self.widens:
            self._expand_conv, self._bn0 = convolution(channels, wide), norm(wide)
        self._depthwise_conv, self._bn1 = convolution(wide, wide, kernel, stride, groups=wide), norm(wide)
        self._project_conv, self._bn2 = convolution(wide, out), norm(out)

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k _ _"]:
        """Give the block's map."""
        x = F.relu6(self._bn0(self._expand_conv(inputs))) if self.widens else inputs
        x = F.relu6(self._bn1(self._depthwise_conv(padded(x, self._depthwise_conv))))
        narrow: Tensor = self._bn2(self._project_conv(x))
        return narrow + inputs if self.adds else narrow


@final
class EfficientNet(nn.Module):
    """Describe an image by 1280 numbers: the last layer before the classes of an ImageNet network.

    The names in the state dict are those of the file. Frozen and in evaluation mode.

    Source: EfficientNet (Tan and Le 2019), table 1, in the kind that Google released in 2020 as Lite0: no squeeze and
    excitation, and ReLU6.
    """

    def __init__(self, seed: int = 0) -> None:
        """Build with random weights, the same for the same seed; ``pretrained`` is what a score wants."""
        super().__init__()
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for kernel, stride, widening, out, count in STAGES:
            for place in range(count):
                self._blocks.append(Block(channels, out, kernel, stride if place == 0 else 1, widening))
                channels = out
        self._conv_head, self._bn1 = convolution(channels, FEATURES), norm(FEATURES)
        generator = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        self.requires_grad_(False).eval()

    @classmethod
    def pretrained(
        cls, folder: Path | None = None, download: bool = True, progress: weights.Progress | None = None
    ) -> EfficientNet:
        """Build with Google's weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing, damaged, or holds other tensors than this network has.
        """
        path = weights.locate(weights.EFFICIENTNET, folder, download, progress)
        network = cls()
        values = weights.without_classifier(weights.read(path), "_fc")
        weights.fill(weights.without_classifier(network.state_dict(), "_fc"), values, path)
        return network

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280"]:
        """Return the features of images that ``prepare`` made, each a mean over pixels."""
        x = x.contiguous(memory_format=torch.channels_last)  # a fifth faster on a CPU
        x = F.relu6(self._bn0(self._conv_stem(padded(x, self._conv_stem))))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))


def prepare(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 224 224"]:
    """Bring images to 224 pixels by antialiased bicubic, and to about [-1, 1], as the network was trained."""
    resized = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    return (resized.clamp(0, 255) - 127) / 128
