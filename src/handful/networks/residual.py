"""The blocks of the discriminator's body, with what may take BatchNorm's place in them or disturb them.

All take the same: a map; which channels of which images CHAIN is to normalise, at each of the block's three places, or
none for BatchNorm; and what NICE multiplies the channels by, likewise. All give the map of half the height and width,
and how far CHAIN's channels are from mean zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handful.compute.memory import kept_or_recomputed
from handful.config.choices import Norm
from handful.networks.chain import Role, Running, chain
from handful.networks.layers import SLOPE, batch_norm, conv, halving, leaky

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


def normalised_by(normalisation: Norm) -> Callable[[int], nn.Module]:
    """Give the layers that stand where BatchNorm is published: it, or what CHAIN leaves there."""
    return batch_norm if normalisation == "batch" else Bias


def settled(
    x: Float[Tensor, "b c h w"],
    place: int,
    chosen: Bool[Tensor, "3 b c"] | None,
    factors: Float[Tensor, "3 b c"] | None,
    running: nn.ModuleList | None,
    role: Role | None,
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, ""] | float]:
    """Do what CHAIN and NICE do at one of the places of a block; nothing without them."""
    off_centre: Tensor | float = 0.0
    if chosen is not None and running is not None and role is not None:
        x, off_centre = cast(Running, running[place]).normalise(x, chosen[place], role)
    elif chosen is not None:
        x, off_centre = chain(x, chosen[place])
    if factors is not None:
        x = x * factors[place, :, :, None, None].to(x.dtype)
    return x, off_centre


class BodyBlock(nn.Module):
    """A block of the body; abstract."""

    def __init__(self, norm: Norm, outputs: int) -> None:
        super().__init__()
        self.recompute = False
        self.running = nn.ModuleList(Running(outputs) for _ in range(3)) if norm == "chain-cumulative" else None

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        chosen: Bool[Tensor, "3 b k"] | None = None,
        factors: Float[Tensor, "3 b k"] | None = None,
        role: Role | None = None,
    ) -> tuple[Float[Tensor, "b k h//2 w//2"], Float[Tensor, ""] | float]:
        """Halve the height and width; also say how far CHAIN's channels are from mean zero, 0 without CHAIN.

        Without a ``role``, cumulative CHAIN goes by the batch at hand and remembers nothing of it.
        """
        settle = partial(settled, chosen=chosen, factors=factors, running=self.running, role=role)
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

    def __init__(self, inputs: int, outputs: int, normalisation: Norm = "batch", *, smoothly: bool = False) -> None:
        super().__init__(normalisation, outputs)
        norm = normalised_by(normalisation)
        self.halve = nn.Sequential(halving(inputs, outputs, smoothly=smoothly), norm(outputs))
        self.refine = nn.Sequential(conv(outputs, outputs, 3, padding=1), norm(outputs))
        self.direct = nn.Sequential(nn.AvgPool2d(2), conv(inputs, outputs, 1), norm(outputs))
        self.parts = 2 if normalisation == "batch" else 1

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

    def __init__(self, inputs: int, outputs: int, normalisation: Norm = "batch") -> None:
        super().__init__(normalisation, outputs)
        norm = normalised_by(normalisation)
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
