"""One process or several, as ``torchrun`` starts them.

The main process (rank 0) alone reads and writes files, prints and decides; the others wait for what it broadcasts. What
processes share within a training step is in ``shared_batch``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from handful.compute.pulse import Pulse
from handful.errors import HandfulError, TrainingError, UsageError

T = TypeVar("T")

CONNECTING = timedelta(minutes=2)
"""How long processes wait for each other at the start."""

ANSWERING = timedelta(minutes=5)
"""How long a process waits for others within an operation of all. One that dies is noticed at once."""

PARENT_DEATH_SIGNAL = 1
"""Linux: the option of ``prctl`` that names a signal for when the parent dies."""


@dataclass(frozen=True)
class Processes:
    """The processes that train one run, and which of them this is."""

    rank: int
    count: int
    pulse: Pulse | None = None
    """Tells others that the main process is alive; None for one process."""

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
        if self.pulse is not None:
            self.pulse.call() if self.is_main else self.pulse.wait_for_call()
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
    end_with_parent()
    found, _, _ = next(rendezvous("env://", rank, count, timeout=CONNECTING))
    # After a restart the store still has the addresses of the processes that have died.
    store = PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", found)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=rank, world_size=count, timeout=ANSWERING
    )
    processes = Processes(rank, count, Pulse(PrefixStore("pulse", store)))
    try:
        with beating(processes):
            yield processes
            leave_together(processes)
    except (HandfulError, OSError) as error:
        if processes.is_main:
            with suppress(RuntimeError):  # the others are gone
                processes.broadcast_object(error)
        raise
    except RuntimeError as error:
        if is_lost(error):
            raise TrainingError(
                f"another process hangs or has died ({error}); run the same command again to resume"
            ) from error
        raise
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


@contextmanager
def beating(processes: Processes) -> Iterator[None]:
    """Let the main process's pulse beat within the block."""
    if not processes.is_main or processes.pulse is None:
        yield
        return
    processes.pulse.start()
    try:
        yield
    finally:
        processes.pulse.stop()


def leave_together(processes: Processes) -> None:
    """Wait until all processes are done: gloo aborts a process whose peer has left.

    Raises:
        HandfulError: The main process has raised it.
    """
    try:
        processes.broadcast_object(None)
        processes.wait()
    except HandfulError:
        raise
    except RuntimeError:
        pass  # a process was lost after its work was done


def is_lost(error: RuntimeError) -> bool:
    """Return whether an error says that another process does not answer any more."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(
        word in text for word in ("gloo", "connection", "timed out", "nccl")
    )


def end_with_parent() -> None:
    """Let this process save and end when ``torchrun``, which started it, is killed. Only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, int(signal.SIGTERM))
