"""EfficientNet-Lite0, a small ImageNet network whose weight file is one of our dependencies."""

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
from handful.networks.pretrained import loading, weights

SIDE = 224
"""Side, in pixels, of the images that the network was trained on."""

FEATURES = 1280

EPSILON = 0.001
"""Of the normalisations; TensorFlow's default."""

STAGES = (
    # kernel, stride of the first block, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

BLOCKS = tuple(stage[-1] for stage in STAGES)

TAPPED_STAGES = (0, 1, 2, 4)
"""Stages whose maps ``taps`` returns: the last ones at 1/2, 1/4, 1/8 and 1/16 of the image's side."""

TAP_CHANNELS = tuple(STAGES[stage][3] for stage in TAPPED_STAGES)

SHIFT, SCALE = -1 / 255, 256 / 255
"""For images in [-1, 1]: the network was trained on ``(byte - 127) / 128``."""


def convolution(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without drawing weights, which would advance the global random state."""
    layer = nn.Conv2d(channels, out, kernel, stride, groups=groups, bias=False, device="meta")
    return layer.to_empty(device="cpu")


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a normalisation."""
    return nn.BatchNorm2d(channels, eps=EPSILON)


def padded(x: Float[Tensor, "b c h w"], layer: nn.Conv2d) -> Float[Tensor, "b c _ _"]:
    """Pad as TensorFlow does, so that a convolution divides the sides by its stride: more below than above."""
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[3], x.shape[2])]
    return F.pad(x, [pixels for total in missing for pixels in (total // 2, total - total // 2)])


@final
class Block(nn.Module):
    """Inverted residual block: expand, convolve depthwise, project; add the input where shapes agree.

    Source: MobileNetV2 (Sandler et al. 2018), section 3.4, without EfficientNet's squeeze and excitation.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.adds, self.expands = stride == 1 and channels == out, expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = convolution(channels, wide), norm(wide)
        self._depthwise_conv, self._bn1 = convolution(wide, wide, kernel, stride, groups=wide), norm(wide)
        self._project_conv, self._bn2 = convolution(wide, out), norm(out)

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k _ _"]:
        """Return the block's map."""
        x = F.relu6(self._bn0(self._expand_conv(inputs))) if self.expands else inputs
        x = F.relu6(self._bn1(self._depthwise_conv(padded(x, self._depthwise_conv))))
        projected: Tensor = self._bn2(self._project_conv(x))
        return projected + inputs if self.adds else projected


@final
class EfficientNet(nn.Module):
    """Compute 1280 features of an image, the layer before the classifier, or feature maps.

    Frozen and in eval mode, with each normalisation folded into the convolution before it.

    Source: EfficientNet (Tan and Le 2019), table 1, in the variant that Google released in 2020 as Lite0: no squeeze
    and excitation, and ReLU6.
    """

    def __init__(self, seed: int = 0, file: Path | None = None) -> None:
        """Build with the weights of a file, or with random ones by ``seed``; see ``pretrained``."""
        super().__init__()
        # Attributes have the names in the file.
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for kernel, stride, expansion, out, count in STAGES:
            for index in range(count):
                self._blocks.append(Block(channels, out, kernel, stride if index == 0 else 1, expansion))
                channels = out
        self._conv_head, self._bn1 = convolution(channels, FEATURES), norm(FEATURES)
        self.recompute = False
        self.requires_grad_(False).eval()
        if file is not None:
            values = loading.without_classifier(loading.read_tensors(file), "_fc")
            loading.copy_tensors(loading.without_classifier(self.state_dict(), "_fc"), values, file)
        else:
            generator = torch.Generator().manual_seed(seed)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        fold_batch_norm(self)

    @classmethod
    def pretrained(cls, folder: Path | None = None, download: bool = True) -> EfficientNet:
        """Build with Google's weights, on the CPU; see ``weights.locate`` for the arguments.

        Raises:
            WeightsError: The file is missing, damaged, or has other tensors than this network.
        """
        return cls(file=weights.locate(weights.EFFICIENTNET, folder, download))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280"]:
        """Return the features of images from ``prepare``, each a mean over pixels."""
        x = self.stem(x)
        for number in range(len(STAGES)):
            x = self.stage(x, number)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))

    def taps(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return maps of images in [-1, 1], of ``TAP_CHANNELS`` channels, the first of half the image's side."""
        x = self.stem((x - SHIFT) / SCALE)
        maps = []
        for number in range(TAPPED_STAGES[-1] + 1):
            x = checkpointed(partial(self.stage, number=number), x, enabled=self.recompute)
            if number in TAPPED_STAGES:
                maps.append(x)
        return maps

    def stem(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 32 _ _"]:
        """Return the first map, in channels-last format: a fifth faster on a CPU."""
        x = x.to(self._conv_stem.weight.dtype, memory_format=torch.channels_last)
        return F.relu6(self._bn0(self._conv_stem(padded(x, self._conv_stem))))

    def stage(self, x: Float[Tensor, "b c h w"], number: int) -> Float[Tensor, "b k _ _"]:
        """Apply the blocks of one stage."""
        for block in self._blocks[sum(BLOCKS[:number]) : sum(BLOCKS[: number + 1])]:
            x = block(x)
        return x


def fold_batch_norm(network: nn.Module) -> None:
    """Fold each normalisation into the convolution before it, in place."""
    for module in list(network.modules()):
        layers = [(name, layer) for name, layer in module.named_children() if not isinstance(layer, nn.ModuleList)]
        for (_, before), (name, normalisation) in pairwise(layers):
            if isinstance(before, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                scale, shift = scale_and_shift(normalisation)
                before.weight.mul_(scale[:, None, None, None])
                before.bias = nn.Parameter(shift, requires_grad=False)
                setattr(module, name, nn.Identity())


def prepare(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 224 224"]:
    """Resize images to 224 pixels by antialiased bicubic and scale them to about [-1, 1], as in training."""
    resized = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    return (resized.clamp(0, 255) - 127) / 128
