"""What the machine at hand is good at: precision, threads, memory, compiling. Measured or asked, never assumed."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils._triton import has_triton

from handful.config import Precision
from handful.files import cache_folder

P = ParamSpec("P")
R = TypeVar("R")
PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What convolutions compute in, by the option's name."""
PAYS = 1.3
"""Half precision is taken if it is this much faster. Where a processor has it, it is about twice as fast, and where it
has not it is slower, so no noise turns one into the other."""
COMPILE_STEPS = {"cpu": 1_000, "cuda": 10_000}
"""Steps after which compiling has paid for itself: of seconds each on a CPU, of a hundredth of one on a GPU."""


COMPILERS = "C++ compiler (g++ or clang++) for the CPU or Triton for CUDA"


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


def wait() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        torch.accelerator.synchronize()


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Bring values from main memory to the device, without waiting until a GPU has them."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def can_compile(device: torch.device) -> bool:
    """Say whether there is what compiling needs: a C++ compiler for the CPU, Triton for CUDA; MPS is left alone."""
    if device.type == "cpu":
        return sys.platform != "win32" and any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
    return device.type == "cuda" and has_triton()


def side_by_side(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that does the same to many small tensors, so that one kernel takes many of them.

    Source: horizontal fusion, as Inductor's combo kernels have it.
    """
    return torch.compile(function, dynamic=False, options={"combo_kernels": True})


def keep_compiled() -> None:
    """Have what is compiled kept for the next run in handful's cache folder, where it outlives a restart.

    PyTorch's own place is the folder for temporary files; a place that the user named is left.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))


def keep_memory() -> None:
    """Tell the allocator of glibc not to give memory back to the system between steps.

    It otherwise returns every large map when it is freed, and the pages are cleared and mapped anew at the next step.
    Costs about a tenth more memory. Does nothing elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        most_mapped, trim_threshold, top_pad = -4, -1, -2  # M_MMAP_MAX and so on in malloc.h
        for option, value in ((most_mapped, 0), (trim_threshold, 2**31 - 1), (top_pad, 256 * 2**20)):
            mallopt(option, value)


def prepare(device: torch.device) -> None:
    """Set this process up to compute on the device: on the CPU, memory and threads."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # what names no device, as streams do, belongs to this one
    if device.type == "cpu":
        keep_memory()
        quota = cpu_quota(Path("/sys/fs/cgroup/cpu.max"))
        if "OMP_NUM_THREADS" not in os.environ and quota is not None and torch.get_num_threads() > quota:
            torch.set_num_threads(quota)


def cpu_quota(file: Path) -> int | None:
    """Give the processors that a container may use, which PyTorch does not ask for; none if it may use all it sees.

    More threads than that are stopped again and again while the others wait for them.
    """
    try:
        quota, period = file.read_text(encoding="utf-8").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # not in a container of this kind, or "max"
        return None


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
