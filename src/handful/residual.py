"""The blocks of the discriminator's body, with what may take BatchNorm's place in them or disturb them.

All take the same: a map; which channels of which images CHAIN is to normalise, at each of the block's three places, or
none for BatchNorm; and what NICE multiplies the channels by, likewise. All give the map of half the height and width,
and how far CHAIN's channels are from mean zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handful import shares
from handful.blocks import SLOPE, batch_norm, conv, halving, kept_or_recomputed, leaky

Settle = Callable[[Tensor, int], tuple[Tensor, Tensor | float]]
"""``settled`` for the channels and factors at hand."""


class Bias(nn.Module):
    """Add one learned number to each channel: what remains of normalisation in a discriminator that has CHAIN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Add it."""
        return x + self.bias[:, None, None].to(x.dtype)


def chain(
    x: Float[Tensor, "b c h w"], chosen: Bool[Tensor, "b c"]
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, ""]]:
    """Normalise the chosen channels so that the gradient does not grow, and say how far all are from mean zero.

    ``x / psi * min(psi)`` with ``psi = sqrt(mean(x^2) + 1e-5)`` over the batch, for each channel, and the minimum,
    which is held still, over the channels: the Lipschitz constant is at most 1. The distance is ``sum(mean(x)^2)``.

    Source: CHAIN (Ni and Koniusz 2024), its batch variant: adaptive root mean square normalisation in place
    of BatchNorm's scaling, a soft pull of the means in place of its centring.
    """
    exact = x.float()
    size = torch.sqrt(shares.mean(exact.square().mean(dim=(0, 2, 3))) + 1e-5)
    scale = torch.where(chosen, size.amin().detach() / size, 1.0)  # [b c]
    return x * scale[:, :, None, None].to(x.dtype), shares.mean(exact.mean(dim=(0, 2, 3))).square().sum()


def settled(
    x: Float[Tensor, "b c h w"],
    place: int,
    chosen: Bool[Tensor, "3 b c"] | None,
    factors: Float[Tensor, "3 b c"] | None,
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, ""] | float]:
    """Do what CHAIN and NICE do at one of the places of a block; nothing without them."""
    off_centre: Tensor | float = 0.0
    if chosen is not None:
        x, off_centre = chain(x, chosen[place])
    if factors is not None:
        x = x * factors[place, :, :, None, None].to(x.dtype)
    return x, off_centre


class BodyBlock(nn.Module):
    """A block of the body; abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.recompute = False

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        chosen: Bool[Tensor, "3 b k"] | None = None,
        factors: Float[Tensor, "3 b k"] | None = None,
    ) -> tuple[Float[Tensor, "b k h//2 w//2"], Float[Tensor, ""] | float]:
        """Halve the height and width; also say how far CHAIN's channels are from mean zero, 0 without CHAIN."""
        settle = partial(settled, chosen=chosen, factors=factors)
        return kept_or_recomputed(lambda x: self.halved(x, settle), x, recompute=self.recompute)

    def halved(self, x: Tensor, settle: Settle) -> tuple[Tensor, Tensor | float]:
        """Do it, with ``settle`` at each of the three places."""
        raise NotImplementedError


@final
class ResidualDownBlock(BodyBlock):
    """Halve the resolution along two paths, convolutions and average pooling, and take their mean.

    With CHAIN their sum: no normalisation with a gain follows that would make up for halving.

    Source: FastGAN (Liu et al. 2021), figure 4.
    """

    def __init__(self, inputs: int, outputs: int, *, chained: bool = False, smoothly: bool = False) -> None:
        super().__init__()
        norm = Bias if chained else batch_norm
        self.halve = nn.Sequential(halving(inputs, outputs, smoothly=smoothly), norm(outputs))
        self.refine = nn.Sequential(conv(outputs, outputs, 3, padding=1), norm(outputs))
        self.direct = nn.Sequential(nn.AvgPool2d(2), conv(inputs, outputs, 1), norm(outputs))
        self.parts = 1 if chained else 2

    def halved(self, x: Tensor, settle: Settle) -> tuple[Tensor, Tensor | float]:
        """Halve in the first convolution."""
        main, first = settle(self.halve(x), 0)
        main, second = settle(self.refine(activated(main)), 1)
        direct, third = settle(self.direct(x), 2)
        return (activated(main) + activated(direct)) / self.parts, first + second + third


@final
class LargeDownBlock(BodyBlock):
    """Halve the resolution after two convolutions at the full one, beside a direct path: several times the work.

    The activation comes before each convolution. Made for CHAIN, whose own discriminator has this block.

    Source: CHAIN (Ni and Koniusz 2024), the larger discriminator of its FastGAN; ResNet (He et al. 2016) with
    activations first.
    """

    def __init__(self, inputs: int, outputs: int, *, chained: bool = False) -> None:
        super().__init__()
        norm = Bias if chained else batch_norm
        self.first = nn.Sequential(nn.LeakyReLU(SLOPE), conv(inputs, outputs, 3, padding=1), norm(outputs))
        self.second = nn.Sequential(leaky(), conv(outputs, outputs, 3, padding=1), norm(outputs))
        self.direct = nn.Sequential(conv(inputs, outputs, 1), norm(outputs))

    def halved(self, x: Tensor, settle: Settle) -> tuple[Tensor, Tensor | float]:
        """Halve at the end."""
        main, first = settle(self.first(x), 0)
        main, second = settle(self.second(main), 1)
        direct, third = settle(self.direct(x), 2)
        return F.avg_pool2d(main + direct, 2), first + second + third


class LargeHead(nn.Module):
    """Judge the image as a whole: one more residual block, the sum over places, one number.

    Source: CHAIN (Ni and Koniusz 2024), the larger discriminator of its FastGAN.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            conv(channels, channels, 3, padding=1),
            Bias(channels),
            leaky(),
            conv(channels, channels, 3, padding=1),
            Bias(channels),
        )
        self.judge = nn.Sequential(conv(channels, 1, 1), Bias(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 1 1"]:
        """Give one logit an image."""
        total = activated(x + self.refine(x)).sum(dim=(2, 3), keepdim=True)
        logit: Tensor = self.judge(total)
        return logit


def activated(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Apply the discriminator's activation in the map's own memory."""
    return F.leaky_relu(x, SLOPE, inplace=True)
