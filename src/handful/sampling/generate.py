"""Draw pictures from a trained generator into files."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from handful.compute.precision import best_precision
from handful.config.choices import Format, SamplingPrecision
from handful.errors import UsageError
from handful.images import grid as images
from handful.progress import Progress, advance, note, shown_on
from handful.records import layout
from handful.sampling.directions import along
from handful.sampling.latents import Latents, read_latents
from handful.sampling.model import WEIGHTS, Model, find_weights, load

LARGEST_GRID = 300_000_000
"""Pixels; a larger grid takes more memory than most viewers have."""


WRITERS = 4
"""Threads that encode and write; Pillow lets others run while it compresses."""


IN_FLIGHT = 32
"""Pictures that wait to be written, at most."""


ENOUGH_TO_TELL = 64
"""Pictures from which on the rate is worth a word."""


WAITING = 0.1
"""Share of the time spent waiting for files, above which writing is what limits."""


def generate(
    source: Path | str,
    seeds: Sequence[int] | str,
    out: Path | str | None = None,
    grid: Path | str | None = None,
    batch: int | None = None,
    device: str = "auto",
    precision: SamplingPrecision = "fp32",
    compile: bool = False,
    format: Format = "png",
    class_name: str | None = None,
    truncation: float = 1.0,
    moves: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Write one file a seed into ``out``, one grid of them all to ``grid``, or both; existing files are replaced.

    While one picture is computed those before it are encoded and written.

    Args:
        source: A run folder, a model folder or a ``.safetensors`` file.
        seeds: Pictures to draw: numbers from 0 up, or a text with seeds, ranges and latent files, such as
            ``0-63,face.safetensors``.
        out: Folder for one file a picture: ``seed-000042.png``, or the name of a latent. Existing files are
            replaced.
        grid: File (PNG) for one grid of all pictures, in the order of the seeds.
        batch: Pictures computed at once on a GPU. Default: what suits it. The CPU computes one at a time.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: Precision of convolutions. bf16 and fp16 are about twice as fast where the hardware supports
            them, and change pictures by half a grey level of 256 on average.
        compile: Compile for this machine first, which takes seconds to a minute. Worth it for hundreds of
            pictures.
        format: Format of single files: png, or webp (lossless), which is smaller and slower to write.
        class_name: Class to draw, for a model trained with labels. Default: all classes in turn, seed by seed.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        moves: Directions to move pictures along, such as ``directions/maps.safetensors:1=2`` or
            ``smile.safetensors=-1.5``.
        progress: Shows progress. Default: the terminal.

    Returns:
        The files written.

    Raises:
        UsageError: if there is no model in ``source``, nothing to write to, or an option makes no sense.
        OSError: if a file cannot be written; those before it are there.
    """
    if out is None and grid is None:
        raise UsageError("nowhere to write to: give --out DIR for one file a seed, --grid FILE for one grid, or both")
    model = load(source, device, precision, compile)
    names: list[int | str]
    stream: Iterator[Tensor]
    if isinstance(seeds, str) or moves:
        latents = (
            read_latents(seeds, model, class_name)
            if isinstance(seeds, str)
            else Latents.of_seeds(model, seeds, class_name)
        )
        latents = along(latents, moves, model)
        names = file_names(latents.names)
        stream = (model.picture(latents.pick([place]), truncation) for place in range(len(latents)))
    else:
        model.labels([], class_name)
        names, stream = list(seeds), model.stream(seeds, batch, class_name, truncation)
    pixels = math.prod(model.config.shape)
    if grid is not None and len(names) * pixels > LARGEST_GRID:
        most = LARGEST_GRID // pixels
        raise UsageError(f"--grid of {len(names)} images at {model.config.size} px is too large: {most} at most")
    with shown_on(progress):
        best = Path(source) / layout.BEST
        if find_weights(Path(source)) == best / WEIGHTS:
            note(f"drawing from {best}, the best by the run's scores; the newest is {Path(source) / layout.MODEL}")
        kept: list[Tensor] = []
        with Writer(Path(out) if out is not None else None, format) as writer:
            following = iter(names)
            for drawn in stream:
                for image, name in zip(drawn, following, strict=False):
                    writer.take(name, image)
                    if grid is not None:
                        kept.append(image)
                advance("generating", writer.taken, len(names))
        if len(names) >= ENOUGH_TO_TELL and out is not None:
            note(writer.pace(model))
    if grid is None:
        return list(writer.written)
    images.write_png(Path(grid), images.grid(kept))
    return [*writer.written, Path(grid)]


def file_names(names: Sequence[str]) -> list[int | str]:
    """Give what files of points are named by: seeds, or names in which a file name may not have all.

    Raises:
        UsageError: if two have the same name.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--seeds: two of the latents are called {name}; draw them one after the other")
    return [int(name) if re.fullmatch(r"\d+", name) else re.sub(r"[^\w.-]", "_", name) for name in names]


class Writer:
    """Encodes and writes pictures beside the work of the thread that hands them over; memory holds only a few.

    An error in writing is raised at the next picture, or at the end, and nothing more is written.
    """

    def __init__(self, folder: Path | None, format: Format = "png") -> None:
        self.folder, self.format = folder, format
        self.pool = ThreadPoolExecutor(WRITERS)
        self.pending: deque[Future[None]] = deque()
        self.written: dict[Path, None] = {}  # in order, each once
        self.taken = 0
        self.waited = 0.0
        self.first = time.perf_counter()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            while self.pending and error[0] is None:
                self.settle()
        finally:
            self.pool.shutdown(cancel_futures=True)

    def take(self, name: int | str, image: UInt8[Tensor, "c h w"]) -> None:
        """Have a picture written, as soon as there is room; a number is a seed's."""
        if self.taken == 0:
            self.first = time.perf_counter()
        self.taken += 1
        if self.folder is None:
            return
        while self.pending and (len(self.pending) >= IN_FLIGHT or self.pending[0].done()):
            self.settle()
        path = self.folder / f"{f'seed-{name:06d}' if isinstance(name, int) else name}.{self.format}"
        if path in self.written:  # the same picture, which two threads would be writing under one name
            return
        write = images.write_webp if self.format == "webp" else images.write_png
        self.pending.append(self.pool.submit(write, path, images.to_image(image)))
        self.written[path] = None

    def settle(self) -> None:
        """Wait for the oldest picture, and raise what went wrong with it."""
        since = time.perf_counter()
        self.pending.popleft().result()
        self.waited += time.perf_counter() - since

    def pace(self, model: Model) -> str:
        """Say how fast it went, what it waited for, and what would help."""
        seconds = time.perf_counter() - self.first
        rate = f"{(self.taken - 1) / seconds:.1f} images/s"
        if self.waited > WAITING * seconds:
            return (
                f"{rate}, limited by writing files: {self.waited / seconds:.0%} of the time was spent waiting for them"
            )
        ways = []
        if model.precision == "fp32" and best_precision(model.device) == "bf16":
            ways.append("--precision bf16")
        if not model.compile:
            ways.append("--compile")
        return f"{rate}, limited by computing" + (f"; faster, and rounded otherwise: {' '.join(ways)}" if ways else "")
