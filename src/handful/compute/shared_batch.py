"""A batch that several processes share, or that is computed in micro-batches; the result is that of the whole batch.

Each process takes an equal slice of every batch. Random numbers are drawn for the whole batch, and each process keeps
its slice. BatchNorm statistics and gradients are reduced over the processes. So all processes take the same optimiser
step and hold the same weights, bit for bit.

Micro-batches follow one another. Their random numbers are slices of the same draw; BatchNorm statistics are those of
one micro-batch.

The functions do this inside ``shared_among`` and ``micro_batches``. Outside, with one process, they change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int64
from torch import Tensor

from handful.compute.processes import ALONE, Processes

group = ALONE
"""The processes that share the batch. A global, not per thread: backward passes run in threads of their own."""

micro_batch_count = 1
"""Micro-batches in the batch."""

micro_batch: int | None = None
"""The micro-batch being computed; None while a tensor covers the whole batch."""


@contextmanager
def shared_among(processes: Processes) -> Iterator[None]:
    """Within the block, a batch is this process's slice of one that all processes share."""
    global group
    before, group = group, processes
    try:
        yield
    finally:
        group = before


@contextmanager
def micro_batches(count: int, current: int | None = None) -> Iterator[None]:
    """Within the block, a batch has ``count`` micro-batches, and tensors cover the ``current`` one, or all if None."""
    global micro_batch_count, micro_batch
    before = micro_batch_count, micro_batch
    micro_batch_count, micro_batch = count, current
    try:
        yield
    finally:
        micro_batch_count, micro_batch = before


def is_shared() -> bool:
    """Return whether several processes share the batch."""
    return group.count > 1


def local_slice(whole: Tensor, dim: int = 0) -> Tensor:
    """Return this process's slice of a tensor drawn for the whole batch, or for the current micro-batch of it."""
    shape = (*whole.shape[:dim], micro_batch_count, group.count, -1, *whole.shape[dim + 1 :])
    local = whole.reshape(shape).select(dim + 1, group.rank)  # [.., micro-batches, images, ..]
    return local.flatten(dim, dim + 1) if micro_batch is None else local.select(dim, micro_batch)


def local_indices(count: int, device: torch.device) -> Int64[Tensor, " b"]:
    """Return the indices that the ``count`` images of this slice have in the whole batch."""
    return local_slice(torch.arange(count * slices(), device=device))


def slices() -> int:
    """Return how many slices of the current size make up the whole batch."""
    return group.count * (1 if micro_batch is None else micro_batch_count)


def uniform(shape: Sequence[int], random: torch.Generator, dim: int = 0) -> Tensor:
    """Draw from U(0, 1) for the whole batch and return this slice, of ``shape[dim]`` images."""
    return draw(torch.rand, shape, random, dim)


def normal(shape: Sequence[int], random: torch.Generator, dim: int = 0) -> Tensor:
    """Draw from N(0, 1) for the whole batch and return this slice, of ``shape[dim]`` images."""
    return draw(torch.randn, shape, random, dim)


def draw(distribution: Callable[..., Tensor], shape: Sequence[int], random: torch.Generator, dim: int) -> Tensor:
    """Draw for the whole batch and return this slice."""
    whole = [length * slices() if axis == dim else length for axis, length in enumerate(shape)]
    return local_slice(distribution(whole, device=random.device, generator=random), dim)


class AllReduceSum(torch.autograd.Function):
    """The sum of a tensor over the processes; its gradient is summed in the same way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        """Return the sum."""
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        """Return the sum of the gradients."""
        return all_reduce_sum(gradient)


def all_reduce_sum(x: Tensor) -> Tensor:
    """Return the sum over the processes."""
    total: Tensor = AllReduceSum.apply(x) if is_shared() else x  # type: ignore[no-untyped-call]
    return total


def all_reduce_mean(x: Tensor) -> Tensor:
    """Return the mean over the processes: of a mean over images, the mean over the whole batch.

    Let each process's loss be a mean over its images that depends on the others' through this function. Then the mean
    of its gradients over the processes is the gradient of the whole batch's loss.
    """
    return all_reduce_sum(x) / group.count if is_shared() else x


def moments(x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return each channel's mean and variance over the whole batch.

    Combines the moments of the processes: the difference of mean square and squared mean would cancel digits.

    Source: Chan, Golub and LeVeque 1983, equation 1.5, for samples of equal size.
    """
    local_variance, local_mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    local = torch.stack([local_mean, local_variance])
    by_rank = [local if rank == group.rank else torch.zeros_like(local) for rank in range(group.count)]
    means, variances = all_reduce_sum(torch.stack(by_rank)).unbind(1)
    mean = means.mean(dim=0)
    return mean, (variances + (means - mean).square()).mean(dim=0)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes, in one reduction.

    DistributedDataParallel does not fit: a GAN's step goes back through the discriminator for the generator's sake, and
    its gradients belong to normalised weights, not to the ones that are learned.
    """
    if not is_shared():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = all_reduce_mean(torch.cat([gradient.flatten() for gradient in gradients]))
    means = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view(gradient.shape))


def mean_losses(losses: dict[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
    """Return each loss's mean over the whole batch."""
    if not is_shared():
        return losses
    return dict(zip(losses, all_reduce_mean(torch.stack([*losses.values()])).unbind(), strict=True))
