"""EfficientNet-Lite0: a small network trained on photos, whose weight file is installed with us."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from handful.compute.memory import checkpointed
from handful.networks.layers import scale_and_shift
from handful.networks.pretrained import weights

SIDE = 224
"""Pixels a side of the images that the network was trained on."""


FEATURES = 1280


EPSILON = 0.001
"""Of the normalisations, as TensorFlow has it."""


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


BLOCKS = tuple(stage[-1] for stage in STAGES)


TAPPED = (0, 1, 2, 4)
"""Stages whose maps ``taps`` gives: the last ones at 1/2, 1/4, 1/8 and 1/16 of the image's side."""


TAP_CHANNELS = tuple(STAGES[stage][3] for stage in TAPPED)
"""Their channels."""


SHIFT, SCALE = -1 / 255, 256 / 255
"""For images in [-1, 1]: the network was trained on bytes, less 127 and over 128."""


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
    """Describe an image by 1280 numbers, the last layer before the classes of an ImageNet network, or by maps.

    Frozen and in evaluation mode, each normalisation folded into the convolution before it.

    Source: EfficientNet (Tan and Le 2019), table 1, in the kind that Google released in 2020 as Lite0: no squeeze and
    excitation, and ReLU6.
    """

    def __init__(self, seed: int = 0, file: Path | None = None) -> None:
        """Build with the weights of a file, or with random ones, the same for the same seed; see ``pretrained``."""
        super().__init__()
        # By the names of the file.
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for kernel, stride, widening, out, count in STAGES:
            for place in range(count):
                self._blocks.append(Block(channels, out, kernel, stride if place == 0 else 1, widening))
                channels = out
        self._conv_head, self._bn1 = convolution(channels, FEATURES), norm(FEATURES)
        self.recompute = False
        self.requires_grad_(False).eval()
        if file is not None:
            values = weights.without_classifier(weights.read(file), "_fc")
            weights.fill(weights.without_classifier(self.state_dict(), "_fc"), values, file)
        else:
            generator = torch.Generator().manual_seed(seed)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        absorb(self)

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> EfficientNet:
        """Build with Google's weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing, damaged, or holds other tensors than this network has.
        """
        return cls(file=weights.locate(weights.EFFICIENTNET, folder, download))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280"]:
        """Return the features of images that ``prepare`` made, each a mean over pixels."""
        x = self.stem(x)
        for number in range(len(STAGES)):
            x = self.stage(x, number)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))

    def taps(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return maps of images in [-1, 1], of ``TAP_CHANNELS`` channels, the first of half the image's side."""
        x = self.stem((x - SHIFT) / SCALE)
        maps = []
        for number in range(TAPPED[-1] + 1):
            x = checkpointed(partial(self.stage, number=number), x, enabled=self.recompute)
            if number in TAPPED:
                maps.append(x)
        return maps

    def stem(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 32 _ _"]:
        """Give the first map; it and all after it lie channels last, which is a fifth faster on a CPU."""
        x = x.to(self._conv_stem.weight.dtype, memory_format=torch.channels_last)
        return F.relu6(self._bn0(self._conv_stem(padded(x, self._conv_stem))))

    def stage(self, x: Float[Tensor, "b c h w"], number: int) -> Float[Tensor, "b k _ _"]:
        """Go through the blocks of one stage."""
        for block in self._blocks[sum(BLOCKS[:number]) : sum(BLOCKS[: number + 1])]:
            x = block(x)
        return x


def absorb(network: nn.Module) -> None:
    """Let each convolution do what the normalisation after it does, and take that one out."""
    for part in list(network.modules()):
        layers = [(name, layer) for name, layer in part.named_children() if not isinstance(layer, nn.ModuleList)]
        for (_, before), (name, normalisation) in pairwise(layers):
            if isinstance(before, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                scale, shift = scale_and_shift(normalisation)
                before.weight.mul_(scale[:, None, None, None])
                before.bias = nn.Parameter(shift, requires_grad=False)
                setattr(part, name, nn.Identity())


def prepare(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 224 224"]:
    """Bring images to 224 pixels by antialiased bicubic, and to about [-1, 1], as the network was trained."""
    resized = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    return (resized.clamp(0, 255) - 127) / 128
