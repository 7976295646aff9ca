"""Memory: how much this process may use, how much it uses, and what to do when it runs out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

R = TypeVar("R")

GIGA = 10**9

PLANNED_SHARE = 0.9
"""Share of the available memory that a run is planned to use: other programs come and go."""

IMAGE_SHARE = 0.5
"""Share of the free memory that images may take; networks, decoding and the rest of the machine have the other half."""

MAX_COMPARED_IMAGES = 50_000
"""Most training images that scores compare with; as many as the largest protocol draws."""

PAGES = Path("/proc/self/statm")


def checkpointed(block: Callable[..., R], *inputs: Tensor, enabled: bool) -> R:
    """Run a block with activation checkpointing: its inner maps are computed again in the backward pass, not kept.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost", section 4.
    """
    if not (enabled and torch.is_grad_enabled()):
        return block(*inputs)
    result: R = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def keep_freed_memory() -> None:
    """Tell glibc's allocator to keep freed memory for the next step.

    By default it returns every large map to the system, which clears and maps the pages anew at the next step. Costs
    about a tenth more memory. Does nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_max, trim_threshold, top_pad = -4, -1, -2  # M_MMAP_MAX and so on in malloc.h
        for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 256 * 2**20)):
            mallopt(option, value)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a GPU or the machine ran out of memory."""
    # The allocators of the CPU and of MPS have no exception class of their own.
    texts = ("can't allocate memory", "out of memory")
    by_text = isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    return by_text or isinstance(error, (torch.OutOfMemoryError, MemoryError))


def smaller_micro_batch(micro_batch: int, batch: int) -> int | None:
    """Return the largest divisor of the batch that is at most half of ``micro_batch``; None if that is below 2."""
    return next((size for size in range(micro_batch // 2, 1, -1) if batch % size == 0), None)


def peak_memory(device: torch.device) -> float:
    """Return the most memory used so far in MB: of the GPU if one is used, else of this process; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource  # not on Windows
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def memory_in_use(device: torch.device) -> int | None:
    """Return the bytes that this process uses, of the GPU if one is used; None if unknown.

    Pages of files, such as libraries and large image sets, are not counted: the system can drop them. On the CPU the
    number hardly falls after a step, see ``keep_freed_memory``.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        resident, of_files = PAGES.read_text(encoding="utf-8").split()[1:3]
        return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def memory_limit(device: torch.device) -> int | None:
    """Return the bytes that this process could use in all, given what others use now; None if unknown."""
    in_use = memory_in_use(device)
    if in_use is None:
        return None
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    free = free_memory()
    return None if free is None else in_use + free


def max_image_bytes(gigabytes: float | None) -> float:
    """Return the bytes that images may take in memory: ``gigabytes`` if given, else a share of what is free."""
    if gigabytes is not None:
        return gigabytes * GIGA
    free = free_memory()
    return float("inf") if free is None else IMAGE_SHARE * free


def max_compared_images(bytes_per_image: int) -> int:
    """Return how many training images scores may compare with: as many as fit in memory, up to 50,000."""
    return int(min(MAX_COMPARED_IMAGES, max_image_bytes(None) // bytes_per_image))


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that this process may still take; None if the system does not say (Windows).

    The least of what the machine has free, what the cgroups of a container or job leave, and what ``ulimit -v`` and
    ``ulimit -d`` leave.

    Args:
        root: Where ``/proc`` and ``/sys`` are.
    """
    bounds = [*machine_free(root), *cgroups_free(root), *ulimits_free(root)]
    return max(0, min(bounds)) if bounds else None


def machine_free(root: Path) -> list[int]:
    """Read what the machine has free, including file caches; its total memory where only that is known."""
    for line in lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return [int(line.split()[1]) * 1024]
    try:
        return [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        return []


def cgroups_free(root: Path) -> list[int]:
    """Read what each cgroup of this process leaves, versions 1 and 2; pages of files count as free."""
    free = []
    for line in lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, limit_file = ("", "memory.max") if controllers == "" else ("memory", "memory.limit_in_bytes")
        own = Path(path.lstrip("/"))
        # Inside a container its own cgroup often lies at the top, whatever the path says.
        for group in (own, *own.parents):
            folder = root / "sys/fs/cgroup" / top / group
            limit = "".join(lines(folder / limit_file))
            usage = dict(entry.split() for entry in lines(folder / "memory.stat"))
            if limit.isdigit():
                free.append(int(limit) - int(usage.get("anon") or usage.get("total_rss") or 0))
    return free


def ulimits_free(root: Path) -> list[int]:
    """Read what the limits of this process leave of its address space and of its data."""
    try:
        import resource  # not on Windows
    except ImportError:
        return []
    sizes = dict(line.split(":", 1) for line in lines(root / "proc/self/status"))
    free = []
    for kind, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            free.append(limit - 1024 * int(sizes.get(name, "0").split()[0]))
    return free


def lines(file: Path) -> list[str]:
    """Return the lines of a system file; none if it does not exist."""
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8").splitlines()
    return []
