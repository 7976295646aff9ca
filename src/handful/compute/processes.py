"""One process or several, as ``torchrun`` starts them.

The main process (rank 0) alone reads and writes files, prints and decides; the others wait for what it broadcasts. What
processes share within a training step is in ``shared_batch``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from handful.errors import TrainingError, UsageError, WeightsError

T = TypeVar("T")

WAIT_FOR_MAIN = timedelta(hours=2)
"""How long processes wait while the main one reads images, scores or saves. A process that dies is noticed at once."""


@dataclass(frozen=True)
class Processes:
    """The processes that train one run, and which of them this is."""

    rank: int
    count: int

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reads and writes files, prints and decides."""
        return self.rank == 0

    def check(self, batch: int, device: torch.device, micro_batch: int | None = None) -> None:
        """Refuse a batch or a device that several processes cannot share.

        Raises:
            UsageError: if the batch or the micro-batch does not divide by the number of processes, the device is
                neither cpu nor cuda, or there are fewer GPUs than processes.
        """
        if self.count == 1:
            return
        for name, images in (("batch", batch), ("micro-batch", micro_batch or batch)):
            if images % self.count:
                raise UsageError(
                    f"--{name} {images}: cannot be shared out equally among {self.count} processes; give a multiple of "
                    f"{self.count}"
                )
        if str(device) not in ("cpu", "cuda"):
            raise UsageError(
                f"--device {device}: several processes compute on cpu, or on cuda, where each takes a GPU of its own; "
                "give one of these two"
            )
        local, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", self.count)), torch.cuda.device_count()
        if device.type == "cuda" and local > gpus:
            raise UsageError(f"--nproc-per-node {local}: each process needs a GPU of its own, and there are {gpus}")

    def local_device(self, device: str) -> torch.device:
        """Return this process's own device where the main one computes on ``device``."""
        return torch.device("cuda", torch.cuda.current_device()) if device == "cuda" else torch.device(device)

    def broadcast_object(self, value: T) -> T:
        """Return the main process's value in all processes. If it is an error, raise it in all."""
        if self.count == 1:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values)
        if isinstance(values[0], Exception):
            self.wait()
            raise values[0]
        received: T = values[0]
        return received

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the main process's tensors into those of the others, in place. Goes through the CPU, so it is slow."""
        if self.count == 1:
            return
        for tensor in tensors:
            values = tensor.detach().contiguous().cpu()
            dist.broadcast(values, 0)
            if not self.is_main:
                tensor.detach().copy_(values)

    def wait(self) -> None:
        """Wait until all processes have come this far."""
        if self.count > 1:
            dist.all_reduce(torch.zeros(1))


ALONE = Processes(0, 1)


@contextmanager
def join() -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; without it, this process is alone.

    An error that the main process raises while the others wait for it is raised in all. Any other error ends its own
    process, and the others lose the connection and end too.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield ALONE
        return
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    processes = Processes(rank, count)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=WAIT_FOR_MAIN)
    try:
        yield processes
        processes.broadcast_object(None)
        processes.wait()  # gloo aborts a process whose peer has already left
    except (UsageError, TrainingError, WeightsError, OSError) as error:
        if processes.is_main:
            processes.broadcast_object(error)
        raise
    finally:
        dist.destroy_process_group()
