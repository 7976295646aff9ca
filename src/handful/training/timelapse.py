"""The film of a run: the same pictures at each of its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

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


def film_of_run(
    run: Path | str,
    out: Path | str,
    seeds: str = "0-15",
    fps: float = 24.0,
    class_name: str | None = None,
    truncation: float = 1.0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Make a film with one picture for each checkpoint of a run: a grid of the seeds' pictures, as they came to be.

    Args:
        run: A run folder. A run keeps as many checkpoints as ``keep`` says.
        out: The film; see ``interpolate``.
        seeds: Pictures to show: seeds and ranges.
        fps: Checkpoints per second.
        class_name: Class to draw, for a model trained with labels. Default: all classes in turn, seed by seed.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if the run has fewer than two checkpoints, or as ``walks.interpolate``.
    """
    check_video(Path(out), fps)
    numbers = parse_seeds(seeds)
    newest = load(run, device)
    checkpoints = checkpoint.every(Path(run) / layout.CHECKPOINTS)
    if len(checkpoints) < 2:
        raise UsageError(
            f"{run}: has {len(checkpoints)} checkpoints, and a film needs 2 or more; a run keeps as many as --keep says"
        )

    def pictures() -> Iterator[UInt8[Tensor, "n c h w"]]:
        for done, place in enumerate(checkpoints, start=1):
            yield model_of(place, newest).sample(numbers, class_name=class_name, truncation=truncation)
            advance("drawing checkpoints", done, len(checkpoints))

    with shown_on(progress):
        write_video(Path(out), (grid(list(each)) for each in pictures()), fps)
    return Path(out)


def model_of(place: Path, like: Model) -> Model:
    """Make the model that a checkpoint holds, of the same networks as the run's newest."""
    network = Generator(like.config)
    network.load_state_dict(checkpoint.read_average(place))
    network.to(like.device)
    calibrate(network)
    return Model(network)
