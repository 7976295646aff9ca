"""Draw a small image folder and train on it: the whole product in minutes, with nothing of one's own."""

from __future__ import annotations

from pathlib import Path

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data.dataset import load_folder
from handful.example.flowers import draw
from handful.images import grid as images
from handful.progress import Progress
from handful.training.loop import train

IMAGES = 100


SHOWN = 49


def demo(out: Path | str = "demo", device: str = "auto", progress: Progress | None = None) -> Path:
    """Draw 100 flowers, train on them, and show flowers it learned from beside flowers it made.

    All goes into ``out``: ``flowers/``, ``run/``, ``training-images.png``, ``samples.png`` and both in one,
    ``side-by-side.png``. Takes up to five minutes on two CPU cores. The same call goes on where it was stopped.

    Returns:
        The last of these files.

    Raises:
        UsageError: if ``out`` holds a run of another kind, or the device is not there.
    """
    out = Path(out)
    config = demo_config(out, device)
    draw(config.images, IMAGES)
    model = train(config, progress)
    learned = images.grid(list(load_folder(config.images, config.shape).images[:SHOWN]))
    made = images.grid(list(model.sample(range(SHOWN))))
    images.write_png(out / "training-images.png", learned)
    images.write_png(out / "samples.png", made)
    images.write_png(out / "side-by-side.png", images.side_by_side(learned, made))
    return out / "side-by-side.png"


def demo_config(out: Path, device: str = "auto") -> TrainConfig:
    """Give the options of the demo's run."""
    return tiny(out / "flowers", run=out / "run", device=device, channels=3, steps=1_800)
