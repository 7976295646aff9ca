"""A step's batch, shared out among processes: N processes compute what one computes.

Each process takes an equal share of every batch. What is random is drawn for the whole batch, of which a process keeps
its share. What depends on the whole batch, BatchNorm's statistics and gradients above all, is reduced over the
processes. So all of them take the same optimiser step, and hold the same weights bit for bit.

A batch can also be computed in equal micro-batches, one after the other, of which each process has its share. What is
random is drawn for the whole batch then too, and each micro-batch keeps its own. Statistics are those of a micro-batch.

The functions do this within ``sharing`` and ``parting``. Elsewhere, as where there is one process, they do nothing of
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int64
from torch import Tensor

from handful.compute.processes import ALONE, Ranks

present = ALONE
"""Those who share the batch at hand. Of the module, not of a thread: backward passes have threads of their own."""


parts = 1
"""How many parts the batch at hand is computed in."""


part: int | None = None
"""Which of them is at hand; none where it is all of the batch."""


@contextmanager
def sharing(ranks: Ranks) -> Iterator[None]:
    """Within the block, a batch is this process's share of one that all processes have together."""
    global present
    before, present = present, ranks
    try:
        yield
    finally:
        present = before


@contextmanager
def parting(count: int, number: int | None = None) -> Iterator[None]:
    """Within the block, a batch is computed in ``count`` parts, of which ``number`` is at hand, or all of them."""
    global parts, part
    before, parts, part = (parts, part), count, number
    try:
        yield
    finally:
        parts, part = before


def several() -> bool:
    """Say whether the batch at hand is a share of a larger one."""
    return present.count > 1


def share(whole: Tensor, dim: int = 0) -> Tensor:
    """Give this process's images of what there is for the whole batch, or of the part at hand."""
    shape = (*whole.shape[:dim], parts, present.count, -1, *whole.shape[dim + 1 :])
    mine = whole.reshape(shape).select(dim + 1, present.rank)  # [.., parts, images, ..]
    return mine.flatten(dim, dim + 1) if part is None else mine.select(dim, part)


def numbers(count: int, device: torch.device) -> Int64[Tensor, " b"]:
    """Give the numbers that the ``count`` images at hand have in the whole batch."""
    return share(torch.arange(count * times_as_many(), device=device))


def times_as_many() -> int:
    """How many times as large as what is at hand the whole batch is."""
    return present.count * (1 if part is None else parts)


def uniform(shape: Sequence[int], random: torch.Generator, dim: int = 0) -> Tensor:
    """Draw from U(0, 1) for the images at hand, of which there are ``shape[dim]``: their share of a whole draw."""
    return drawn(torch.rand, shape, random, dim)


def normal(shape: Sequence[int], random: torch.Generator, dim: int = 0) -> Tensor:
    """Draw from N(0, 1); see ``uniform``."""
    return drawn(torch.randn, shape, random, dim)


def drawn(draw: Callable[..., Tensor], shape: Sequence[int], random: torch.Generator, dim: int) -> Tensor:
    """Draw for the whole batch, and keep what belongs to the images at hand."""
    whole = [length * times_as_many() if place == dim else length for place, length in enumerate(shape)]
    return share(draw(whole, device=random.device, generator=random), dim)


class Total(torch.autograd.Function):
    """The sum of a tensor over the processes; gradients, also those of gradients, are summed in the same way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        """Sum."""
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        """Sum."""
        return total(gradient)


def total(x: Tensor) -> Tensor:
    """Sum over the processes."""
    summed: Tensor = Total.apply(x) if several() else x  # type: ignore[no-untyped-call]
    return summed


def mean(x: Tensor) -> Tensor:
    """Take the mean over the processes: of a mean over images, its mean over the whole batch.

    A loss of each process that is a mean over its images, and depends on the others' through this, has gradients whose
    mean over the processes is the gradient of the whole batch's.
    """
    return total(x) / present.count if several() else x


def moments(x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Give each channel's mean and variance over the whole batch.

    From those of each process, since the difference of mean square and squared mean would cancel digits.

    Source: Chan, Golub and LeVeque 1983, equation 1.5, for parts of equal size.
    """
    variance, centre = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    own = torch.stack([centre, variance])
    parts = [own if rank == present.rank else torch.zeros_like(own) for rank in range(present.count)]
    centres, variances = total(torch.stack(parts)).unbind(1)
    middle = centres.mean(dim=0)
    return middle, (variances + (centres - middle).square()).mean(dim=0)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes, in one reduction.

    Done here rather than by DistributedDataParallel: a GAN's step goes back through the discriminator for the
    generator's sake, and its gradients belong to normalised weights, not to those that are learned.
    """
    if not several():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def means(losses: dict[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
    """Give each loss's mean over the whole batch."""
    if not several():
        return losses
    return dict(zip(losses, mean(torch.stack([*losses.values()])).unbind(), strict=True))
