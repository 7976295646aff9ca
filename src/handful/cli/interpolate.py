"""The commands that explore what a generator has learned; see ``cli``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handful.cli.output import Flag, answer_with
from handful.config.choices import Easing, NoiseMode, Spacing
from handful.errors import UsageError


@dataclass(frozen=True)
class Interpolate:
    """Make a film in which pictures turn into each other, or of a run as it learned. See docs/explore.md."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    seeds: str | None = None
    """What to go through: numbers, ranges and latent files, as in 0-3,7,face.safetensors. Default: a random loop; with
    --progress 0-15."""
    out: Path = Path("walk.webp")
    """The film: .webp (lossless) or .gif; .mp4 or .webm (pip install 'handful[video]'); or a new folder for PNG
    frames."""
    frames: int = 120
    """Pictures in the film."""
    fps: float = 24.0
    """Pictures a second."""
    loop: Flag = False
    """Go back to the first, so that the film can be repeated without a jump."""
    ease: Easing = "none"
    """smooth: slow down at each of the seeds."""
    speed: Spacing = "plain"
    """plain: equal steps in the latent space. features: equal steps in what pictures look like, to a small network that
    needs no file. lpips: the same by LPIPS, which needs weight files. Takes five times as long."""
    noise: NoiseMode = "moving"
    """moving: each seed's own, slowly turned into the next one's. fixed: that of the first all the way."""
    grid: int = 1
    """Walks side by side, in step; the seeds are divided among them in their order."""
    random: int = 0
    """Another number is another random loop."""
    progress: Flag = False
    """The seeds' pictures at each checkpoint of a run, instead of a walk; train with a high --keep for that."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class, of a model trained with --labels folders. Default: each seed's own, blended on the way."""
    truncation: float = 1.0
    """Below 1, draw pictures towards the mean, down to 0: they grow more alike. See docs/explore.md."""
    weights: Path | None = None
    """Folder with the weight files of LPIPS. Default: $HANDFUL_WEIGHTS, then torch's own cache."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print the film written as one JSON object."""

    def __call__(self) -> None:
        """Make the film, and say where it is."""
        options = {name: getattr(self, name) for name in ("fps", "class_name", "truncation", "device")}
        if self.progress:
            for field in dataclasses.fields(self):
                if field.name in OF_WALKS and getattr(self, field.name) != field.default:
                    raise UsageError(f"--{field.name}: has no effect with --progress; leave one of them out")
            from handful.training.timelapse import film_of_run

            film = film_of_run(self.source, self.out, self.seeds or "0-15", **options)
        else:
            from handful.explore.interpolate import interpolate

            options |= {name: getattr(self, name) for name in OF_WALKS}
            film = interpolate(self.source, self.out, self.seeds, **options)
        answer_with({"source": str(self.source), "film": str(film)}, f"film in {film}", json=self.json)


OF_WALKS = ("frames", "loop", "ease", "speed", "noise", "grid", "random", "weights")
"""Options that mean nothing to the film of a run."""
