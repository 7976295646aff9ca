"""``handful demo``: draw a small image folder, train on it, and show the results."""

from __future__ import annotations

from pathlib import Path

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data.dataset import load_folder
from handful.example.flowers import draw
from handful.images.grid import grid, side_by_side, write_png
from handful.progress import Progress, note, shown_on
from handful.training.loop import train

IMAGES = 100
"""Flowers drawn and trained on."""

GRID_IMAGES = 49

STEPS = 1_200
"""Training steps; five minutes on two CPU cores."""


def demo(out: Path | str = "demo", device: str = "auto", progress: Progress | None = None) -> Path:
    """Draw 100 flowers, train on them, and show drawn and generated flowers side by side.

    Writes ``flowers/``, ``run/``, ``training-images.png``, ``samples.png`` and ``side-by-side.png`` into ``out``. Takes
    about five minutes on two CPU cores. Call it again to resume an interrupted demo.

    Args:
        out: Folder for all files.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Returns:
        The path of ``side-by-side.png``.

    Raises:
        UsageError: ``out`` holds another run, or the device is not available.
    """
    out = Path(out)
    config = demo_config(out, device)
    with shown_on(progress):
        note(
            f"drawing {IMAGES} flowers and training a small generator on them for {STEPS:,} steps, which takes about"
            " five minutes on two CPU cores; run it again to resume if you stop it"
        )
        draw(config.images, IMAGES)
        model = train(config)
        drawn = grid(list(load_folder(config.images, config.geometry).images[:GRID_IMAGES]))
        generated = grid(list(model.sample(range(GRID_IMAGES))))
    write_png(out / "training-images.png", drawn)
    write_png(out / "samples.png", generated)
    write_png(out / "side-by-side.png", side_by_side(drawn, generated))
    return out / "side-by-side.png"


def demo_config(out: Path, device: str = "auto") -> TrainConfig:
    """Return the options of the demo's run."""
    return tiny(out / "flowers", run=out / "run", device=device, channels=3, steps=STEPS)
