"""The fastest precision, and arithmetic that repeats itself."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from handful.compute.device import wait
from handful.config.choices import Precision


def layout(precision: torch.dtype) -> torch.memory_format:
    """Say how maps lie in memory: channels last in half precision, where it pays.

    A convolution's output lies as its weight or its input does, if either is channels last. A map that lies otherwise
    somewhere on the way makes BatchNorm's gradient ten times slower.
    """
    return torch.contiguous_format if precision == torch.float32 else torch.channels_last


PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What convolutions compute in, by the option's name."""


PAYS = 1.3
"""Half precision is taken if it is this much faster. Where a processor has it, it is about twice as fast, and where it
has not it is slower, so no noise turns one into the other."""


@functools.cache
def best_precision(device: torch.device) -> Precision:
    """Name the fastest precision: bf16 where there is hardware for it, else fp16 on CUDA, else fp32.

    Found out once in a process.
    """
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major >= 7 else "fp32"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other where other programs run
    try:
        both = [convolution(device, torch.float32), convolution(device, torch.bfloat16)]
        fp32, bf16 = interleaved(both, rounds=3)
        if bf16 < fp32:  # without hardware for it, it is several times as slow, and nine rounds would take seconds
            fp32, bf16 = interleaved(both, rounds=9)
    finally:
        torch.set_num_threads(threads)
    return "bf16" if fp32 / bf16 > PAYS else "fp32"


def convolution(device: torch.device, precision: torch.dtype) -> Callable[[], object]:
    """Make a convolution to be timed, forwards and backwards."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False).to(device, precision)
    images = torch.ones(2, 64, 48, 48, device=device, dtype=precision)

    def run() -> Tensor:
        (gradient,) = torch.autograd.grad(layer(images).sum(), layer.weight)
        return gradient

    return run


def interleaved(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """Give the fewest seconds of each function, which are called in turn: other programs only ever add to them."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            taken.append(seconds(function))
    return [min(taken) for taken in times]


def seconds(function: Callable[[], object]) -> float:
    """Time one call, until the device is done with it."""
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Within the block, CUDA computes repeatably, and in TensorFloat-32 only if that is the precision."""
    # cuDNN's usual choice of algorithms would let two equal runs drift apart.
    quick = precision == "tf32"
    usual = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = quick
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=quick):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = usual
