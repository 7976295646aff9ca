"""Draw pictures from a trained generator into files."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from handful.compute.precision import best_precision
from handful.config.checks import checked
from handful.config.choices import Format, SamplingPrecision
from handful.errors import UsageError
from handful.images.grid import grid as lay_out
from handful.images.grid import to_image, write_png, write_webp
from handful.progress import Progress, advance, note, shown_on
from handful.records.layout import BEST, MODEL
from handful.sampling.directions import move_along
from handful.sampling.latents import Latents, Seeds
from handful.sampling.load import load
from handful.sampling.model import SEEDS, Model

LARGEST_GRID = 300_000_000
"""Pixels. Most viewers have not enough memory for a larger grid."""

WRITERS = 4
"""Threads that encode and write; Pillow releases the GIL while it compresses."""

IN_FLIGHT = 32
"""Pictures that wait to be written, at most."""

MIN_TIMED = 64
"""Pictures from which on the rate is reported."""

WAITING_SHARE = 0.1
"""Share of the time spent waiting for files, above which writing is the bottleneck."""


@checked
def generate(
    source: Path | str,
    seeds: Seeds = SEEDS,
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
    """Write one file per seed into ``out``, one grid of them all to ``grid``, or both. Existing files are replaced.

    Pictures are encoded and written while the next ones are computed.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        seeds: Pictures to draw: numbers from 0 up, latents, or a text with seeds, ranges and latent files, such
            as ``0-63,face.safetensors``.
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
        OSError: if a file cannot be written. The files before it are there.
    """
    if out is None and grid is None:
        raise UsageError("nowhere to write to: give --out DIR for one file per seed, --grid FILE for one grid, or both")
    model = load(source, device, precision, compile)
    drawn = model.resolve(seeds, class_name)
    if moves:
        drawn = move_along(model.latents(drawn, class_name), moves, model)
    names = file_names(drawn.names) if isinstance(drawn, Latents) else list(drawn)
    model.labels([], class_name)  # an unknown class is refused before a folder is made
    if grid is not None:
        require_grid_fits(len(names), model)
    with shown_on(progress):
        note_source(model)
        writer = Writer(Path(out) if out is not None else None, format, keep=grid is not None)
        with writer:
            following = iter(names)
            for images in model.stream(drawn, batch, class_name, truncation):
                for image, name in zip(images, following, strict=False):
                    writer.take(name, image)
                advance("generating", writer.taken, len(names))
        if len(names) >= MIN_TIMED and out is not None:
            note(writer.rate(model))
    if grid is None:
        return list(writer.written)
    write_png(Path(grid), lay_out(writer.kept))
    return [*writer.written, Path(grid)]


def require_grid_fits(count: int, model: Model) -> None:
    """Check that a grid of so many pictures is not too large.

    Raises:
        UsageError: if it is.
    """
    most = LARGEST_GRID // math.prod(model.config.shape)
    if count > most:
        raise UsageError(f"--grid of {count} images at {model.config.size} px is too large; {most} images fit")


def note_source(model: Model) -> None:
    """Tell the user which of a run's models is used, if it is not the newest."""
    if model.run is not None and model.source == model.run.folder / BEST:
        note(f"drawing from {model.source}, the best by the run's scores; the newest is {model.run.folder / MODEL}")


def file_names(names: Sequence[str]) -> list[int | str]:
    """Return what the files of latents are named by: the seed, or the name with unsafe characters replaced.

    Raises:
        UsageError: if two have the same name.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--seeds: two of the latents are named {name}; draw them one after the other")
    return [int(name) if re.fullmatch(r"\d+", name) else re.sub(r"[^\w.-]", "_", name) for name in names]


class Writer:
    """Encodes and writes pictures in threads of its own, with a bounded number of them in memory.

    An error in writing is raised at the next picture, or at the end. Nothing more is written then.

    Args:
        folder: Where to write; None: nowhere.
        format: png or webp.
        keep: Whether to keep the pictures, in ``kept``, for a grid.
    """

    def __init__(self, folder: Path | None, format: Format = "png", keep: bool = False) -> None:
        self.folder, self.format, self.keep = folder, format, keep
        self.kept: list[UInt8[Tensor, "c h w"]] = []
        self.pool = ThreadPoolExecutor(WRITERS)
        self.pending: deque[Future[None]] = deque()
        self.written: dict[Path, None] = {}  # in order, each once
        self.taken = 0
        self.waited = 0.0
        self.began = time.perf_counter()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            while self.pending and error[0] is None:
                self.wait_for_oldest()
        finally:
            self.pool.shutdown(cancel_futures=True)

    def take(self, name: int | str, image: UInt8[Tensor, "c h w"]) -> None:
        """Queue a picture for writing, and wait while too many are queued. A number is a seed."""
        if self.taken == 0:
            self.began = time.perf_counter()
        self.taken += 1
        if self.keep:
            self.kept.append(image)
        if self.folder is None:
            return
        while self.pending and (len(self.pending) >= IN_FLIGHT or self.pending[0].done()):
            self.wait_for_oldest()
        path = self.folder / f"{f'seed-{name:06d}' if isinstance(name, int) else name}.{self.format}"
        if path in self.written:  # the same picture; two threads would be writing under one name
            return
        write = write_webp if self.format == "webp" else write_png
        self.pending.append(self.pool.submit(write, path, to_image(image)))
        self.written[path] = None

    def wait_for_oldest(self) -> None:
        """Wait for the oldest picture in the queue, and raise the error it ended with."""
        since = time.perf_counter()
        self.pending.popleft().result()
        self.waited += time.perf_counter() - since

    def rate(self, model: Model) -> str:
        """Describe the rate, what limited it, and what would raise it."""
        seconds = time.perf_counter() - self.began
        rate = f"{(self.taken - 1) / seconds:.1f} images/s"
        if self.waited > WAITING_SHARE * seconds:
            return f"{rate}, limited by writing files, which took {self.waited / seconds:.0%} of the time"
        options = []
        if model.precision == "fp32" and best_precision(model.device) == "bf16":
            options.append("--precision bf16")
        if not model.compile:
            options.append("--compile")
        faster = f"; faster with slightly different rounding: {' '.join(options)}" if options else ""
        return f"{rate}, limited by computing{faster}"
