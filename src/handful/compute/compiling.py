"""Whether and how to compile."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch.utils._triton import has_triton

from handful.files import cache_folder

P = ParamSpec("P")


R = TypeVar("R")


COMPILE_STEPS = {"cpu": 1_000, "cuda": 10_000}
"""Steps after which compiling has paid for itself: of seconds each on a CPU, of a hundredth of one on a GPU."""


COMPILERS = "C++ compiler (g++ or clang++) for the CPU or Triton for CUDA"


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
