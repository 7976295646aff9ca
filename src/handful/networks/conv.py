"""Convolutions and resampling. Each fast form computes what its plain formula does, but for rounding.

Convolutions are plain and have no bias: ``optim.SpectralAdam`` writes weights of spectral norm one into them. A
convolution computes in the precision of its weight.
"""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.precision import memory_format
from handful.config.sizes import Shape
from handful.networks import pixel_blocks

MAX_UNFUSED_SIDE = 4
"""Side, in pixels, of maps so small that fusing the upsampling into the kernel costs more than it saves."""


@final
class Conv(nn.Conv2d):
    """A convolution that runs on blocks of 2x2 pixels where that is faster."""

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o _ _"]:
        """Convolve."""
        supported = (self.kernel_size, self.stride, self.padding) in pixel_blocks.SUPPORTED
        if supported and pixel_blocks.is_faster(x, min(self.weight.shape[:2]), pixel_blocks.MAX_CHANNELS):
            return pixel_blocks.conv_by_blocks(x, self.weight)
        return super().forward(x)


def conv(inputs: int, outputs: int, kernel: int | Shape, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """Return a convolution without bias, as all convolutions of the method are."""
    return Conv(inputs, outputs, kernel, stride, padding, bias=False)


def down_conv(inputs: int, outputs: int, *, smooth: bool = False) -> nn.Conv2d:
    """Return the convolution that halves a map: strided, as in the paper, or ``smooth``, which averages."""
    return SmoothDownConv(inputs, outputs) if smooth else conv(inputs, outputs, 4, 2, 1)


@final
class UpConv(nn.Conv2d):
    """Upsample by two, then convolve with a 3x3 kernel: ``conv2d(upsample(x), weight, padding=1)``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double height and width."""
        if min(x.shape[2:]) <= MAX_UNFUSED_SIDE:
            return F.conv2d(upsample(x), self.weight, padding=1)
        kernel = fuse_upsampling(self.weight)
        if pixel_blocks.is_faster(x, max(self.weight.shape[:2]), pixel_blocks.MAX_CHANNELS_UPSAMPLING):
            return pixel_blocks.up_conv_by_blocks(x, kernel)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1)


@final
class SmoothDownConv(nn.Conv2d):
    """Convolve with a 3x3 kernel, then average 2x2 areas: ``avg_pool2d(conv2d(x, weight, padding=1), 2)``.

    A strided convolution aliases: it takes a pattern that alternates from pixel to pixel for something else, and passes
    it to the generator as a gradient. Averaging removes such patterns from every map.

    Source: Zhang 2019, "Making convolutional networks shift-invariant again", section 3, with the box filter.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h//2 w//2"]:
        """Halve height and width."""
        kernel = fuse_averaging(self.weight)
        if pixel_blocks.is_faster(x, min(self.weight.shape[:2]), pixel_blocks.MAX_CHANNELS):
            return pixel_blocks.conv_by_blocks(x, kernel)
        return F.conv2d(x, kernel.contiguous(memory_format=memory_format(kernel.dtype)), stride=2, padding=1)


@final
class PixelConv(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, computed as a matrix product: five times faster on a CPU."""

    def __init__(self, inputs: int, outputs: int, base: Shape) -> None:
        super().__init__(inputs, outputs, base, bias=False)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c _ _"]:  # type: ignore[override]
        """Turn vectors into maps of the kernel's size."""
        return (z @ self.weight.flatten(1)).view(len(z), *self.weight.shape[1:])


def fuse_upsampling(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 4 4"]:
    """Return the 4x4 kernel that upsamples by two and convolves with ``weight`` at once.

    ``conv_transpose2d(x, kernel, stride=2, padding=1)`` equals ``conv2d(upsample(x), weight, padding=1)``. The nine
    taps on repeated pixels see four different ones, so it takes 4/9 of the multiplications and no upsampled map.
    """
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return four_taps(four_taps(exact, -2), -1).to(weight.dtype).transpose(0, 1)


def fuse_averaging(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "o i 4 4"]:
    """Return the 4x4 kernel that convolves with ``weight`` and averages 2x2 areas at once.

    ``conv2d(x, kernel, stride=2, padding=1)`` equals ``avg_pool2d(conv2d(x, weight, padding=1), 2)``.
    """
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    # The adjoint of upsampling, but for the factor.
    return (four_taps(four_taps(exact, -2), -1).flip(-2, -1) / 4).to(weight.dtype)


def four_taps(kernel: Tensor, dim: int) -> Tensor:
    """Sum the three taps of a kernel along one side into the four that see different pixels."""
    first, middle, last = kernel.unbind(dim)
    return torch.stack([last, middle + last, first + middle, first], dim)


def upsample(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double height and width by repeating pixels."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def upsample_bilinear(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double height and width; each new pixel is 9, 3, 3 and 1 sixteenths of the four nearest ones."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def shrink(x: Float[Tensor, "b c h w"], shape: Shape) -> Float[Tensor, "b c _ _"]:
    """Average square areas down to ``shape``, which has the same proportions and divides the sides."""
    return F.avg_pool2d(x, x.shape[-1] // shape[1])


def resize(images: Float[Tensor, "b 3 h w"], shape: Shape) -> Float[Tensor, "b 3 _ _"]:
    """Upsample or average images to a shape of the same proportions."""
    while images.shape[-1] < shape[1]:
        images = upsample_bilinear(images)
    return shrink(images, shape) if images.shape[-1] > shape[1] else images
