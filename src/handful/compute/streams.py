"""Work that does not need each other's results, side by side on a GPU: small maps leave most of it idle."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

R = TypeVar("R")


def aside(work: Callable[[], R], lane: int, device: torch.device) -> Callable[[], R]:
    """Do work in a lane of its own, beside what comes after it, until its result is asked for.

    It begins after all that was given to the device before. The backward pass of what it computes goes to that lane
    too, as autograd has it. Two works that are to be side by side need two lanes. What the work draws at random it must
    draw itself: memory that only it holds on to, and that is not its lane's, could be given away while it is read.
    Elsewhere than on CUDA the work is done at once.

    Returns:
        What gives the result, and has all that is given to the device afterwards wait for it.
    """
    if device.type != "cuda":
        result = work()
        return lambda: result
    stream = stream_of(lane, device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        result = work()

    def together() -> R:
        torch.cuda.current_stream(device).wait_stream(stream)
        return result

    return together


@cache
def stream_of(lane: int, device: torch.device) -> torch.cuda.Stream:
    """Give the stream of a lane."""
    # Weights that two lanes use have gradients from both, which autograd takes for an oversight.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
