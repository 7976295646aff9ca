"""How much memory there is and is held, and what to do where it runs out."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from handful.room import free_memory

SAFE = 0.9
"""Share of the memory there is that a run is planned to take: other programs come and go."""
PAGES = Path("/proc/self/statm")


def ran_out(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, of a GPU or of the machine."""
    # The CPU's allocator and that of MPS have no class of their own.
    words = ("can't allocate memory", "out of memory")
    by_name = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return by_name or isinstance(error, (torch.OutOfMemoryError, MemoryError))


def fewer(at_once: int, batch: int) -> int | None:
    """Give the largest equal part of a batch that is at most half of ``at_once`` images; none where that is below 2."""
    return next((part for part in range(at_once // 2, 1, -1) if batch % part == 0), None)


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
