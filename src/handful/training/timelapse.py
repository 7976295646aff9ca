"""A video of a run: the same pictures at each of its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from handful.config.checks import checked
from handful.config.text import parse_seeds
from handful.errors import UsageError
from handful.images.grid import grid
from handful.images.video import check_video, write_video
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator
from handful.progress import Progress, advance, shown_on
from handful.records import layout
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.training import checkpoint


@checked
def video_of_run(
    run: Path | str,
    out: Path | str,
    seeds: str = "0-15",
    fps: float = 24.0,
    class_name: str | None = None,
    truncation: float = 1.0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Make a video with one frame for each checkpoint of a run: a grid of the same seeds.

    Args:
        run: A run folder. A run keeps as many checkpoints as ``keep`` says.
        out: File of the video; see ``interpolate``.
        seeds: Pictures to show: seeds and ranges.
        fps: Checkpoints per second.
        class_name: Class to draw, for a model trained with labels. Default: all classes in turn, seed by seed.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: The run has fewer than two checkpoints; or as ``explore.interpolate``.
    """
    check_video(Path(out), fps)
    numbers = parse_seeds(seeds)
    newest = load(run, device)
    checkpoints = checkpoint.every(Path(run) / layout.CHECKPOINTS)
    if len(checkpoints) < 2:
        raise UsageError(
            f"{run}: has {len(checkpoints)} checkpoints, and a video needs at least 2; train with a higher --keep"
        )

    def pictures() -> Iterator[UInt8[Tensor, "n c h w"]]:
        for done, folder in enumerate(checkpoints, start=1):
            yield model_of(folder, newest).sample(numbers, class_name=class_name, truncation=truncation)
            advance("drawing checkpoints", done, len(checkpoints))

    with shown_on(progress):
        write_video(Path(out), (grid(list(images)) for images in pictures()), fps)
    return Path(out)


def model_of(folder: Path, like: Model) -> Model:
    """Return the averaged generator of a checkpoint, with networks of the same shape as ``like``."""
    network = Generator(like.config)
    network.load_state_dict(checkpoint.read_average(folder, like.config))
    network.to(like.device)
    calibrate(network)
    return Model(network)
