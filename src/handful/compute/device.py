"""The device to compute on: choosing it, setting it up, moving data to it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.compute.memory import keep_freed_memory
from handful.errors import UsageError


def synchronize() -> None:
    """Wait until the GPU, if there is one, has finished all queued work."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        torch.accelerator.synchronize()


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy values from main memory to the device, without waiting for a GPU."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def prepare_device(device: torch.device) -> None:
    """Set this process up to compute on the device: the current GPU, or the CPU's memory and threads."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # for calls that name no device, such as those for streams
    if device.type == "cpu":
        keep_freed_memory()
        quota = cpu_quota(Path("/sys/fs/cgroup/cpu.max"))
        if "OMP_NUM_THREADS" not in os.environ and quota is not None and torch.get_num_threads() > quota:
            torch.set_num_threads(quota)


def cpu_quota(file: Path) -> int | None:
    """Return how many processors a container may use; None if it may use all that it sees.

    PyTorch does not ask. With more threads than that, some are suspended again and again while the others wait.
    """
    try:
        quota, period = file.read_text(encoding="utf-8").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # not in such a container, or "max"
        return None


def choose_device(name: str) -> torch.device:
    """Return the device that ``--device`` names; ``auto`` is the first available of CUDA, MPS and the CPU.

    Raises:
        UsageError: if the device is unknown or not available.
    """
    if name == "auto":
        available = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(available)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name}: not available ({reason}); use auto, cpu, cuda, cuda:1 or mps") from error
    return device


def place_images(images: UInt8[Tensor, "n c h w"], device: torch.device) -> UInt8[Tensor, "n c h w"]:
    """Move the images to the GPU if they take less than half of its free memory; else each step copies its batch."""
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return images.to(device)
    return images


def hardware(device: str) -> str:
    """Return the name of the GPU, or of the processor with the number of threads used."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # the file exists only on Linux, where platform gives no model name
        match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = match[1] if match else name
    threads = torch.get_num_threads()
    return f"{device}, {name}, {threads} thread{'s' * (threads != 1)}"
