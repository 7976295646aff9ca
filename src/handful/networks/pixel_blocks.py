"""Convolutions of few channels, computed on blocks of 2x2 pixels.

A GPU's matrix units take sixteen channels and more at a time. Where a map has three or eight, most of them idle, and
kernels for so few are poor: at 1024 px four such layers took half of a step (dev/log-2026-11.md, 2026-11-26). Four
pixels laid side by side are four times the channels at half the height and width. What a layer computes stays the same:
its kernel is laid out anew, with zeros where a block reaches further than the kernel did.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

KINDS = [((3, 3), (1, 1), (1, 1)), ((4, 4), (2, 2), (1, 1))]
"""Kernel, stride and padding of the convolutions that can be computed on blocks."""


FEW = 16
"""Channels, of what comes in or goes out, up to which blocks are the faster way."""


FEW_ENLARGED = 32
"""Likewise where the map is enlarged, where blocks take in more pixels than the kernel needs."""


LEAST = 64
"""Pixels along a side from which on it matters."""


def is_faster(x: Float[Tensor, "b i h w"], few: int, limit: int) -> bool:
    """Say whether a layer that has ``few`` channels on one side is faster on blocks: in half precision on CUDA."""
    return x.is_cuda and x.dtype != torch.float32 and few <= limit and min(x.shape[2:]) >= LEAST


def conv_by_blocks(x: Float[Tensor, "b i h w"], kernel: Float[Tensor, "o i k k"]) -> Float[Tensor, "b o _ _"]:
    """Convolve as ``conv2d(x, kernel, padding=1)`` for a 3x3 kernel, and with ``stride=2`` for a 4x4 one.

    Height and width are even.
    """
    outputs, inputs, size = kernel.shape[:3]
    # Channels in blocks come to a multiple of eight, for which there are kernels that make no other copy.
    x, kernel = (F.pad(each, (0, 0, 0, 0, 0, inputs % 2)) for each in (x, kernel))
    blocks = last(F.pixel_unshuffle(x, 2))  # [b 4i h/2 w/2]
    if size == 4:
        taps = reached(1, 4, kernel)[0]  # [t q k]
        return F.conv2d(blocks, last(torch.einsum("oiab,tqa,sub->oiquts", kernel, taps, taps).flatten(1, 3)), padding=1)
    kernel = F.pad(kernel, (0, 0, 0, 0, 0, 0, 0, outputs % 2))
    taps = reached(2, 3, kernel)  # [p t q k]
    laid = torch.einsum("oiab,ptqa,rsub->opriquts", kernel, taps, taps).flatten(3, 5).flatten(0, 2)
    return last(F.pixel_shuffle(F.conv2d(blocks, last(laid), padding=1), 2)[:, :outputs])


def up_by_blocks(x: Float[Tensor, "b i h w"], kernel: Float[Tensor, "i o 4 4"]) -> Float[Tensor, "b o 2*h 2*w"]:
    """Enlarge and convolve as ``conv_transpose2d(x, kernel, stride=2, padding=1)``."""
    # Seen from the other side it is the convolution of stride 2 that conv_by_blocks does: phases are put out, not in.
    taps = reached(1, 4, kernel)[0].flip(0)  # [t p k]
    laid = torch.einsum("ioab,tpa,srb->oprits", kernel, taps, taps).flatten(0, 2)
    return last(F.pixel_shuffle(F.conv2d(x, last(laid), padding=1), 2))


def reached(phases: int, size: int, like: Tensor) -> Float[Tensor, "p 3 2 k"]:
    """Say which tap of a kernel meets which pixel of which of three blocks, along one side: 1 where it does, else 0.

    ``p``: the pixel that is put out, of the block in the middle. Made where it is needed, so that nothing waits.
    """
    p, t, q, k = (torch.arange(count, device=like.device) for count in (phases, 3, 2, size))
    before = p[:, None, None, None] - 1  # padding
    return (2 * (t - 1)[:, None, None] + q[:, None] - before == k).to(like.dtype)


def last(x: Float[Tensor, "_ _ _ _"]) -> Float[Tensor, "_ _ _ _"]:
    """Lay a map or a kernel out with its channels last."""
    return x.contiguous(memory_format=torch.channels_last)
