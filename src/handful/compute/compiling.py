"""Whether torch.compile works here, and how it is used."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

import torch
from torch.utils._triton import has_triton

from handful.files import cache_folder, temporary_home

P = ParamSpec("P")
R = TypeVar("R")

COMPILE_STEPS = {"cpu": 1_000, "cuda": 10_000}
"""Steps after which compiling has paid off: a step takes seconds on a CPU and a hundredth of one on a GPU."""

PROBE_BYTES = 2**20

COMPILERS = "C++ compiler (g++ or clang++) for the CPU or Triton for CUDA"


def can_compile(device: torch.device) -> bool:
    """Return whether there is a C++ compiler for the CPU, or Triton for CUDA; False on other devices."""
    if device.type == "cpu":
        return sys.platform != "win32" and any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
    return device.type == "cuda" and has_triton()


def compile_fused(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that treats many small tensors alike, so that one kernel handles many of them.

    Source: horizontal fusion, called combo kernels in Inductor.
    """
    return torch.compile(function, dynamic=False, options={"combo_kernels": True})


def keep_compile_cache() -> None:
    """Keep compiled code in handful's cache folder, where it outlives a restart, unless the user named another.

    PyTorch's default is the folder for temporary files, which is used too where the cache folder cannot be written.
    """
    folder = cache_folder() / "compiled"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:  # a full disk shows at a write alone
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    # PyTorch's own default needs the user's name, which a container may not have.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(temporary_home() / "compiled"))
