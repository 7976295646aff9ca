"""How much fits: the main memory that this process may still take, and what of a set of images goes into it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

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
