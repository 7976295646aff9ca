"""Draw a small image folder and train on it: the whole product in minutes, with nothing of one's own."""

from __future__ import annotations

from pathlib import Path

from handful import images
from handful.config import TrainConfig, tiny
from handful.data import load_folder
from handful.drawings import draw
from handful.log import Console, Watch
from handful.train import train

IMAGES = 100
SHOWN = 49


def demo(out: Path | str = "demo", device: str = "auto", watch: Watch | None = None) -> tuple[Path, Path]:
    """Draw 100 flowers, train on them, and write a grid of the flowers and one of generated ones.

    All goes into ``out``: ``flowers/``, ``run/``, ``training-images.png``, ``samples.png``. Takes up to five minutes
    on two CPU cores. The same call goes on where it was stopped.

    Returns:
        The grid of training images and the grid of samples.

    Raises:
        UsageError: if ``out`` holds a run of another kind, or the device is not there.
    """
    out = Path(out)
    config = demo_config(out, device)
    draw(config.images, IMAGES)
    model = train(config, watch or Console())
    shown = load_folder(config.images, config.size).images[:SHOWN]
    grids = out / "training-images.png", out / "samples.png"
    for path, pictures in zip(grids, (shown, model.sample(range(SHOWN))), strict=True):
        images.write_png(path, images.grid(list(pictures)))
    return grids


def demo_config(out: Path, device: str = "auto") -> TrainConfig:
    """Give the options of the demo's run."""
    return tiny(out / "flowers", run=out / "run", device=device, steps=2_400)
