"""The precision that convolutions compute in, and deterministic arithmetic."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from handful.compute.device import synchronize
from handful.config.choices import Precision

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What convolutions compute in, by the option's name."""

MIN_SPEEDUP = 1.3
"""Half precision must be this much faster than float32. It is about twice as fast with hardware support, slower
without, so noise does not change the choice."""


def memory_format(precision: torch.dtype) -> torch.memory_format:
    """Return the memory format of maps and weights: channels last in half precision, contiguous in float32.

    A convolution's output is channels last if its weight or its input is. A single map in the other format makes
    BatchNorm's gradient ten times slower.
    """
    return torch.contiguous_format if precision == torch.float32 else torch.channels_last


@functools.cache
def best_precision(device: torch.device) -> Precision:
    """Return the fastest precision: bf16 where the hardware supports it, else fp16 on CUDA, else fp32.

    A CPU is timed, once per process.
    """
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major >= 7 else "fp32"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more would wait for each other where other programs run
    try:
        both = [convolution(device, torch.float32), convolution(device, torch.bfloat16)]
        fp32, bf16 = shortest_times(both, rounds=3)
        if bf16 < fp32:  # without hardware support bf16 is several times slower, and nine rounds would take seconds
            fp32, bf16 = shortest_times(both, rounds=9)
    finally:
        torch.set_num_threads(threads)
    return "bf16" if fp32 / bf16 > MIN_SPEEDUP else "fp32"


def convolution(device: torch.device, precision: torch.dtype) -> Callable[[], object]:
    """Return a function that runs a convolution forward and backward, to be timed."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False).to(device, precision)
    images = torch.ones(2, 64, 48, 48, device=device, dtype=precision)

    def run() -> Tensor:
        (gradient,) = torch.autograd.grad(layer(images).sum(), layer.weight)
        return gradient

    return run


def shortest_times(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """Return each function's shortest time in seconds; they are called in turn, since other programs only add time."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, own_times in zip(functions, times, strict=True):
            own_times.append(seconds(function))
    return [min(own_times) for own_times in times]


def seconds(function: Callable[[], object]) -> float:
    """Time one call, until the device has finished."""
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Within the block, CUDA computes deterministically, and in TensorFloat-32 only if that is the precision."""
    # cuDNN's default choice of algorithms would let two equal runs drift apart.
    tf32 = precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=tf32):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
