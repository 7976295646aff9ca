"""Read the images of a batch while the device computes the batch before it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from handful.compute.device import to_device
from handful.data.cache import mapped_file

BatchReader = Callable[[Tensor, Tensor], Tensor]
"""Return the images with the first indices; the second ones are those that will be asked for next."""


def batch_reader(images: UInt8[Tensor, "n c h w"], device: torch.device) -> BatchReader:
    """Return a reader that indexes images on the device directly, and prefetches all others."""
    if images.device.type == device.type and mapped_file(images) is None:
        return lambda indices, coming: images[to_device(indices, device)]
    return Prefetcher(images, pinned=device.type == "cuda")


@final
class Prefetcher:
    """Reads batches from a file or from main memory; the next one in a thread of its own."""

    def __init__(self, images: UInt8[Tensor, "n c h w"], *, pinned: bool) -> None:
        self.pixels, self.pinned = images.numpy(), pinned
        self.start, self.file = images.storage_offset(), None
        path = mapped_file(images)
        if path is not None and hasattr(os, "posix_fadvise"):
            # Reading through the map makes the system read ahead: eight times the bytes of a batch were measured.
            self.file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self.file)
            os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_RANDOM)
        self.thread = ThreadPoolExecutor(1, "images")
        self.expected: tuple[Int64[Tensor, " b"], Future[UInt8[Tensor, "b c h w"]]] | None = None

    def __call__(self, indices: Int64[Tensor, " b"], coming: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Return the images with these indices, and start to read the coming ones."""
        if self.expected is not None and self.expected[0].equal(indices):
            reading = self.expected[1]
        else:
            reading = self.thread.submit(self.read, indices)
        batch = reading.result()
        self.expected = coming, self.thread.submit(self.read, coming)
        return batch

    def read(self, indices: Int64[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
        """Copy images into one tensor; for a GPU into pinned memory, from which it can copy asynchronously."""
        batch = torch.empty(len(indices), *self.pixels.shape[1:], dtype=torch.uint8, pin_memory=self.pinned)
        rows = batch.numpy()
        for row, index in zip(rows, indices.tolist(), strict=True):
            # NumPy and the system release the interpreter's lock here and start no threads of their own.
            if self.file is None:
                row[:] = self.pixels[index]
            elif os.preadv(self.file, [row], self.start + index * row.nbytes) != row.nbytes:
                raise OSError(f"image {index} cannot be read from cache/: run `handful clean` and start again")
        return batch
