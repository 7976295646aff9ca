"""Convolutions of few channels, computed on blocks of 2x2 pixels.

A GPU's matrix units process 16 channels or more at a time; with three or eight, most of them idle. At 1024 px four such
layers took half of a step (dev/log-2026-11.md, 2026-11-26). A block of four pixels has four times the channels, at half
the height and width. The result is the same: the kernel is laid out over blocks, with zeros where a block exceeds it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

SUPPORTED = [((3, 3), (1, 1), (1, 1)), ((4, 4), (2, 2), (1, 1))]
"""Kernel, stride and padding of the convolutions that can be computed on blocks."""

MAX_CHANNELS = 16
"""Input or output channels up to which blocks are faster."""

MAX_CHANNELS_UPSAMPLING = 32
"""The same for convolutions that upsample."""

MIN_SIDE = 64
"""Side, in pixels, from which on blocks are faster."""


def is_faster(x: Float[Tensor, "b i h w"], channels: int, max_channels: int) -> bool:
    """Return whether blocks are faster for a layer with ``channels`` on one side: in half precision, on CUDA."""
    return x.is_cuda and x.dtype != torch.float32 and channels <= max_channels and min(x.shape[2:]) >= MIN_SIDE


def conv_by_blocks(x: Float[Tensor, "b i h w"], kernel: Float[Tensor, "o i k k"]) -> Float[Tensor, "b o _ _"]:
    """Return ``conv2d(x, kernel, padding=1)`` for a 3x3 kernel, ``conv2d(x, kernel, stride=2, padding=1)`` for 4x4.

    Height and width must be even.
    """
    outputs, inputs, size = kernel.shape[:3]
    # A multiple of eight channels in a block spares cuDNN a copy.
    x, kernel = (F.pad(values, (0, 0, 0, 0, 0, inputs % 2)) for values in (x, kernel))
    blocks = channels_last(F.pixel_unshuffle(x, 2))  # [b 4i h/2 w/2]
    if size == 4:
        taps = tap_layout(1, 4, kernel)[0]  # [t q k]
        over_blocks = torch.einsum("oiab,tqa,sub->oiquts", kernel, taps, taps).flatten(1, 3)
        return F.conv2d(blocks, channels_last(over_blocks), padding=1)
    kernel = F.pad(kernel, (0, 0, 0, 0, 0, 0, 0, outputs % 2))
    taps = tap_layout(2, 3, kernel)  # [p t q k]
    over_blocks = torch.einsum("oiab,ptqa,rsub->opriquts", kernel, taps, taps).flatten(3, 5).flatten(0, 2)
    out = F.conv2d(blocks, channels_last(over_blocks), padding=1)  # [b 4o h/2 w/2]
    return channels_last(F.pixel_shuffle(out, 2)[:, :outputs])


def up_conv_by_blocks(x: Float[Tensor, "b i h w"], kernel: Float[Tensor, "i o 4 4"]) -> Float[Tensor, "b o 2*h 2*w"]:
    """Return ``conv_transpose2d(x, kernel, stride=2, padding=1)``."""
    # The adjoint of the convolution of stride 2 above: blocks are the output instead of the input.
    taps = tap_layout(1, 4, kernel)[0].flip(0)  # [t p k]
    over_blocks = torch.einsum("ioab,tpa,srb->oprits", kernel, taps, taps).flatten(0, 2)
    return channels_last(F.pixel_shuffle(F.conv2d(x, channels_last(over_blocks), padding=1), 2))


def tap_layout(phases: int, size: int, like: Tensor) -> Float[Tensor, "p 3 2 k"]:
    """Return which tap of a kernel meets which pixel of three neighbouring blocks along one side: 1 where it does.

    Indices: output pixel ``p`` of the middle block, block ``t``, its pixel ``q``, tap ``k`` of ``size``.
    """
    p, t, q, k = (torch.arange(count, device=like.device) for count in (phases, 3, 2, size))
    before = p[:, None, None, None] - 1  # padding
    return (2 * (t - 1)[:, None, None] + q[:, None] - before == k).to(like.dtype)


def channels_last(x: Float[Tensor, "_ _ _ _"]) -> Float[Tensor, "_ _ _ _"]:
    """Return a map or a kernel in channels-last format."""
    return x.contiguous(memory_format=torch.channels_last)
