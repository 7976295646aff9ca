"""CHAIN, which takes BatchNorm's place in a discriminator: by the batch at hand, or cumulative, by those before it too.

Both divide the chosen channels of the chosen images by their root mean square ``psi`` and multiply them by the smallest
of all channels', so that the gradient does not grow: ``x / psi * min(psi)``. They differ in what ``psi`` and its part
of the gradient are means over. Eight images say little of either; with what was before they are steadier.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handful.compute import shared_batch as shares

EPSILON = 1e-5


KEPT = 0.9
"""Share of a cumulative mean that a step keeps (CHAIN's code)."""


class Role(IntEnum):
    """What images are in a step; each has means of its own."""

    REAL = 0
    FAKE = 1
    """Generated, and the discriminator learns."""
    DECEIVING = 2
    """Generated, and the generator learns. The maps are those of ``FAKE``, the gradients are not."""


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
    size = torch.sqrt(shares.mean(exact.square().mean(dim=(0, 2, 3))) + EPSILON)
    return scaled(x, chosen, size), off_centre(exact)


def scaled(
    x: Float[Tensor, "b c h w"], chosen: Bool[Tensor, "b c"], size: Float[Tensor, " c"]
) -> Float[Tensor, "b c h w"]:
    """Bring the chosen channels from their ``size`` to the smallest of all."""
    scale = torch.where(chosen, size.amin().detach() / size, 1.0)  # [b c]
    return x * scale[:, :, None, None].to(x.dtype)


def off_centre(exact: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Say how far channels are from mean zero."""
    return shares.mean(exact.mean(dim=(0, 2, 3))).square().sum()


@final
class Running(nn.Module):
    """What cumulative CHAIN holds on to at one place, of c channels.

    Attributes:
        square: Running mean squares of the maps, of real and of generated images. At first they are too small, all by
            the same factor, of which ``min(psi) / psi`` knows nothing.
        along: Running means of gradient times normalised map, for each ``Role``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.square = nn.Buffer(torch.zeros(2, channels))
        self.along = nn.Buffer(torch.zeros(3, channels))
        self.seen: defaultdict[tuple[str, int], list[Float[Tensor, " c"]]] = defaultdict(list)
        """What was found since the last update, by the mean that it belongs to: attribute and row."""

    @torch.no_grad()
    def joined(self, kind: str, row: int, now: Float[Tensor, " c"], *, note: bool = True) -> Float[Tensor, " c"]:
        """Give what a mean becomes by what is there now, which is noted for ``update``."""
        if note:
            self.seen[kind, row].append(now.detach())
        return torch.lerp(getattr(self, kind)[row], now, 1 - KEPT)

    def normalise(
        self, x: Float[Tensor, "b c h w"], chosen: Bool[Tensor, "b c"], role: Role
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, ""]]:
        """Do as ``chain`` does, with running means.

        Source: CHAIN (Ni and Koniusz 2024), its cumulative variant, as its code has it.
        """
        exact = x.float()
        now = shares.mean(exact.detach().square().mean(dim=(0, 2, 3)))
        square = self.joined("square", min(role, Role.FAKE), now, note=role != Role.DECEIVING)
        size = torch.sqrt(square + EPSILON)
        changed: Tensor = ByRunningSize.apply(x, chosen, size, self, role)  # type: ignore[no-untyped-call]
        return changed, off_centre(exact)


class ByRunningSize(torch.autograd.Function):
    """``x / psi * min(psi)`` where chosen, with the gradient that running means make of BatchNorm's.

    ``(g min(psi) - mean(g min(psi) y) y) / psi`` with ``y = x / psi``, where the mean is a running one; what was not
    chosen passes ``g`` on, less the same second part.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,  # noqa: ANN401
        x: Float[Tensor, "b c h w"],
        chosen: Bool[Tensor, "b c"],
        size: Float[Tensor, " c"],
        running: Running,
        role: Role,
    ) -> Float[Tensor, "b c h w"]:
        ctx.save_for_backward(x, chosen, size)
        ctx.running, ctx.role = running, role
        return scaled(x, chosen, size)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "b c h w"]) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401, D102
        x, chosen, size = ctx.saved_tensors
        mine, wide = gradient.float(), (slice(None), None, None)
        y = x.float() / size[wide]
        inner = torch.where(chosen[:, :, None, None], mine * size.amin(), 0.0)
        # Each process's gradient is that of a mean over its own images, so several times what is remembered.
        count = shares.present.count
        now = shares.mean((inner * y).mean(dim=(0, 2, 3))) / count
        along = count * ctx.running.joined("along", ctx.role, now)
        back = torch.where(chosen[:, :, None, None], inner / size[wide], mine) - (along / size)[wide] * y
        return back.to(gradient.dtype), None, None, None, None


def places(network: nn.Module) -> dict[str, Running]:
    """Find by name all that a network holds on to for cumulative CHAIN."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Running)}


def forget(running: Iterable[Running]) -> None:
    """Forget what was seen since the last update."""
    for place in running:
        place.seen.clear()


@torch.no_grad()
def update(running: Iterable[Running]) -> None:
    """Take in what was seen, each mean once, whatever the number of passes and of parts of a batch."""
    for place in running:
        for (kind, row), values in place.seen.items():
            getattr(place, kind)[row].lerp_(torch.stack(values).mean(dim=0), 1 - KEPT)
        place.seen.clear()
