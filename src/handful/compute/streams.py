"""CUDA streams for independent work: small maps leave most of a GPU idle."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

R = TypeVar("R")


def run_on_stream(work: Callable[[], R], index: int, device: torch.device) -> Callable[[], R]:
    """Run ``work`` on side stream ``index``, concurrently with what follows.

    It starts after all work queued so far. Autograd runs its backward pass on the same stream. Works that are to run
    concurrently need different indices. Random numbers that ``work`` uses must be drawn inside it: the allocator could
    reuse memory of another stream that only ``work`` still holds. On other devices the work is done at once.

    Returns:
        A function that returns the result, and makes all work queued afterwards wait for it.
    """
    if device.type != "cuda":
        result = work()
        return lambda: result
    stream = side_stream(index, device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        result = work()

    def join() -> R:
        torch.cuda.current_stream(device).wait_stream(stream)
        return result

    return join


@cache
def side_stream(index: int, device: torch.device) -> torch.cuda.Stream:
    """Return a side stream, the same for the same index."""
    # Weights used on two streams get gradients from both, which autograd would warn about.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
