"""What the machine at hand is good at: precision, threads, memory, compiling. Measured or asked, never assumed."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.compute.memory import keep_memory
from handful.errors import UsageError


def wait() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        torch.accelerator.synchronize()


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Bring values from main memory to the device, without waiting until a GPU has them."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


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


def choose_device(name: str) -> torch.device:
    """Turn ``--device`` into a device; ``auto`` is the first of CUDA, MPS and the CPU that is there.

    Raises:
        UsageError: if the device is unknown or not there.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name}: not available ({reason}); use auto, cpu, cuda, cuda:1 or mps") from error
    return device


def place(images: UInt8[Tensor, "n c h w"], device: torch.device) -> UInt8[Tensor, "n c h w"]:
    """Put the images on the device if they take less than half of its free memory; otherwise steps fetch them."""
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return images.to(device)
    return images


def hardware(device: str) -> str:
    """Name the GPU, or the processor and how many threads work on it."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # only Linux has the file, and only there is the name above no name
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else name
    threads = torch.get_num_threads()
    return f"{device}, {name}, {threads} thread{'s' * (threads != 1)}"
