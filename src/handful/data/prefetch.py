"""The images of a batch, read while the device computes the batch before."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from handful.compute.device import sent
from handful.data.cache import mapped_from

BatchReader = Callable[[Tensor, Tensor], Tensor]
"""Gives the images of these numbers, and learns which will be asked for next."""


def drawing(images: UInt8[Tensor, "n c h w"], device: torch.device) -> BatchReader:
    """Say how batches are drawn: at once from what lies where they are needed, and ahead from a file or elsewhere."""
    if images.device.type == device.type and mapped_from(images) is None:
        return lambda picked, coming: images[sent(picked, device)]
    return Prefetcher(images, pinned=device.type == "cuda")


@final
class Prefetcher:
    """Draws batches from a file or from main memory, the coming one in a thread of its own."""

    def __init__(self, images: UInt8[Tensor, "n c h w"], *, pinned: bool) -> None:
        self.pixels, self.pinned = images.numpy(), pinned
        self.start, self.file = images.storage_offset(), None
        path = mapped_from(images)
        if path is not None and hasattr(os, "posix_fadvise"):
            # A look into the map has the system read the surroundings too: eight times as much was seen.
            self.file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self.file)
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_RANDOM)
        self.thread = ThreadPoolExecutor(1, "images")
        self.expected: tuple[Int64[Tensor, " b"], Future[UInt8[Tensor, "b c h w"]]] | None = None

    def __call__(self, picked: Int64[Tensor, " b"], coming: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Give the images of these numbers, and begin to read the coming ones."""
        if self.expected is not None and self.expected[0].equal(picked):
            reading = self.expected[1]
        else:
            reading = self.thread.submit(self.read, picked)
        batch = reading.result()
        self.expected = coming, self.thread.submit(self.read, coming)
        return batch

    def read(self, picked: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Copy images together; for a GPU into memory that it can fetch them from by itself."""
        batch = torch.empty(len(picked), *self.pixels.shape[1:], dtype=torch.uint8, pin_memory=self.pinned)
        rows = batch.numpy()
        for place, number in enumerate(picked.tolist()):
            # NumPy and the system work without the lock of the interpreter, and start no threads of their own.
            if self.file is None:
                rows[place] = self.pixels[number]
            elif os.preadv(self.file, [rows[place]], self.start + number * rows[place].nbytes) != rows[place].nbytes:
                raise OSError(f"image {number} cannot be read from cache/: run `handful clean` and start again")
        return batch
