"""Draw pictures from a trained generator into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from handful import images
from handful.errors import UsageError
from handful.log import Console, Watch
from handful.model import WEIGHTS, find_weights, load

LARGEST_GRID = 300_000_000
"""Pixels; a larger grid takes more memory than most viewers have."""


def generate(
    source: Path | str,
    seeds: Sequence[int],
    out: Path | str | None = None,
    grid: Path | str | None = None,
    batch: int = 16,
    device: str = "auto",
    watch: Watch | None = None,
) -> list[Path]:
    """Write one PNG a seed into ``out``, one grid of them all to ``grid``, or both; existing files are replaced.

    Args:
        source: A run folder, a model folder or a ``.safetensors`` file.
        seeds: Numbers from 0 up; each names its picture, ``seed-000042.png``.
        out: Folder for the single pictures, made if need be.
        grid: File for the grid; its pictures stand in the order of the seeds.
        batch: Images computed at once on a GPU; the CPU computes one at a time.
        device: auto, cpu, cuda, cuda:1 or mps.
        watch: Is told how it goes; the terminal by default.

    Returns:
        The files written.

    Raises:
        UsageError: if there is no model in ``source``, nothing to write to, or an option makes no sense.
    """
    if out is None and grid is None:
        raise UsageError("nowhere to write to: give --out DIR for one file a seed, --grid FILE for one grid, or both")
    model = load(source, device)
    if grid is not None and len(seeds) * model.config.size**2 > LARGEST_GRID:
        most = LARGEST_GRID // model.config.size**2
        raise UsageError(f"--grid of {len(seeds)} images at {model.config.size} px is too large: {most} at most")
    watch = watch or Console()
    best = Path(source) / "best"
    if find_weights(Path(source)) == best / WEIGHTS:
        watch.note(f"drawing from {best}, the best by the run's scores; the newest is {Path(source) / 'model'}")
    written: list[Path] = []
    kept: list[torch.Tensor] = []
    try:
        names = iter(seeds)
        for drawn in model.stream(seeds, batch):
            for image, seed in zip(drawn, names, strict=False):
                if out is not None:
                    written.append(Path(out) / f"seed-{seed:06d}.png")
                    images.write_png(written[-1], images.to_image(image))
                if grid is not None:
                    kept.append(image)
                watch.advance("generating", len(kept) or len(written), len(seeds))
    finally:
        watch.close()
    if grid is not None:
        written.append(Path(grid))
        images.write_png(written[-1], images.grid(kept))
    return written
