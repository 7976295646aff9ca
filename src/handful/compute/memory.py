"""How much fits: the main memory that this process may still take, and what of a set of images goes into it."""

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


def kept_or_recomputed(block: Callable[..., R], *inputs: Tensor, recompute: bool) -> R:
    """Run a block; with ``recompute`` its inner maps are not kept for the backward pass but computed again then.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost", section 4.
    """
    if not (recompute and torch.is_grad_enabled()):
        return block(*inputs)
    result: R = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def peak_memory(device: torch.device) -> float:
    """Give the most memory held so far, in MB: of the GPU where one is used, else of this process; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource  # not on Windows
    except ImportError:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


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


SAFE = 0.9
"""Share of the memory there is that a run is planned to take: other programs come and go."""


PAGES = Path("/proc/self/statm")


def ran_out(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, of a GPU or of the machine."""
    # The CPU's allocator and that of MPS have no class of their own.
    words = ("can't allocate memory", "out of memory")
    by_name = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return by_name or isinstance(error, (torch.OutOfMemoryError, MemoryError))


def fewer(micro_batch: int, batch: int) -> int | None:
    """Return the largest divisor of the batch that is at most half of ``micro_batch``; None if that is below 2."""
    return next((part for part in range(micro_batch // 2, 1, -1) if batch % part == 0), None)


def held(device: torch.device) -> int | None:
    """Give the bytes that this process holds: of the GPU where one is used; none if that cannot be known.

    Without those that show files, as libraries and large image sets are, which can be read again.
    On the CPU it hardly falls again after a step, since its memory is kept for the next (``machine.keep_memory``).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        resident, of_files = PAGES.read_text(encoding="utf-8").split()[1:3]
        return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def limit(device: torch.device) -> int | None:
    """Give the bytes that this process could come to hold, beside what others hold now; none if that is not known."""
    mine = held(device)
    if mine is None:
        return None
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    free = free_memory()
    return None if free is None else mine + free


SHARE = 0.5
"""Of the free memory, what images may take; networks, decoders and the rest of the machine have the other half."""


MOST_COMPARED = 50_000
"""Training images that scores compare with, at most; as many as the largest protocol draws."""


GIGA = 10**9


def free_memory(root: Path = Path("/")) -> int | None:
    """Give the bytes that this process may still take; none where the system does not say, as on Windows.

    The least of what the machine has free, what the cgroups leave that a container or a job is in, and what limits of
    the process (``ulimit -v``, ``ulimit -d``) leave.

    Args:
        root: Where ``/proc`` and ``/sys`` are.
    """
    known = [*machine(root), *cgroups(root), *limits(root)]
    return max(0, min(known)) if known else None


def machine(root: Path) -> list[int]:
    """Read what the machine has free, file caches included; all that it has where only that is known."""
    for line in lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return [int(line.split()[1]) * 1024]
    try:
        return [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        return []


def cgroups(root: Path) -> list[int]:
    """Read what each cgroup around this process leaves, of both versions; pages of files count as free."""
    left = []
    for line in lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, limit = ("", "memory.max") if controllers == "" else ("memory", "memory.limit_in_bytes")
        own = Path(path.lstrip("/"))
        # Inside a container, its own cgroup is often what lies at the top, whatever the path says.
        for group in (own, *own.parents):
            folder = root / "sys/fs/cgroup" / top / group
            most = "".join(lines(folder / limit))
            used = dict(entry.split() for entry in lines(folder / "memory.stat"))
            if most.isdigit():
                left.append(int(most) - int(used.get("anon") or used.get("total_rss") or 0))
    return left


def limits(root: Path) -> list[int]:
    """Read what the limits of this process leave of its addresses and its data."""
    try:
        import resource  # not on Windows
    except ImportError:
        return []
    sizes = dict(line.split(":", 1) for line in lines(root / "proc/self/status"))
    left = []
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            left.append(most - 1024 * int(sizes.get(name, "0").split()[0]))
    return left


def lines(file: Path) -> list[str]:
    """Read a file of the system, if it is there."""
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8").splitlines()
    return []


def budget(asked: float | None) -> float:
    """Give the bytes that images may take in memory: the GB asked for, or a share of what is free."""
    if asked is not None:
        return asked * GIGA
    free = free_memory()
    return float("inf") if free is None else SHARE * free


def most_compared(bytes_each: int) -> int:
    """Give the number of training images that scores may compare with at once: what fits, and no more than helps."""
    return int(min(MOST_COMPARED, budget(None) // bytes_each))
