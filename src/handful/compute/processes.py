"""One process or many, as ``torchrun`` starts them: who leads, what the lead says, and how all of them end.

The process of rank 0 leads: it alone reads and writes files, prints and decides. What the processes do together in a
step is in ``shares``.
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


PATIENCE = timedelta(hours=2)
"""How long processes wait for the lead while it reads images, scores or saves. One that died is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among all that train one run."""

    rank: int
    count: int

    @property
    def lead(self) -> bool:
        """True in the one process that reads and writes files, prints and decides."""
        return self.rank == 0

    def require(self, batch: int, device: torch.device, micro_batch: int | None = None) -> None:
        """Refuse what cannot be shared out.

        Raises:
            UsageError: if the batch, or those of it that are computed at once, do not divide, or there is not one
                device for each process.
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
        processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", self.count)), torch.cuda.device_count()
        if device.type == "cuda" and processes > gpus:
            raise UsageError(f"--nproc-per-node {processes}: each process needs a GPU of its own, and there are {gpus}")

    def place(self, device: str) -> torch.device:
        """Give this process's own device, where the lead computes on ``device``."""
        return torch.device("cuda", torch.cuda.current_device()) if device == "cuda" else torch.device(device)

    def agree(self, word: T) -> T:
        """Give the lead's word in all processes, which wait for it; if it is an error, it is raised in all."""
        if self.count == 1:
            return word
        words: list[Any] = [word]
        dist.broadcast_object_list(words)
        if isinstance(words[0], Exception):
            self.wait()
            raise words[0]
        said: T = words[0]
        return said

    def hand(self, tensors: Iterable[Tensor]) -> None:
        """Write what the lead has in these tensors into those of the others; through the CPU, so for once only."""
        if self.count == 1:
            return
        for tensor in tensors:
            carried = tensor.detach().contiguous().cpu()
            dist.broadcast(carried, 0)
            if not self.lead:
                tensor.detach().copy_(carried)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.all_reduce(torch.zeros(1))


ALONE = Ranks(0, 1)


@contextmanager
def join() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, or stand alone.

    What the lead raises between steps, where the others wait for its word, they raise too. Whatever else goes wrong
    ends the process at hand, and so the others, which lose the connection to it.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield ALONE
        return
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    ranks = Ranks(rank, count)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield ranks
        ranks.agree(None)
        ranks.wait()  # gloo aborts a process whose peer has already left
    except (UsageError, TrainingError, WeightsError, OSError) as error:
        if ranks.lead:
            ranks.agree(error)
        raise
    finally:
        dist.destroy_process_group()
