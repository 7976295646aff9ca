"""The commands that move about in the latent space: directions, latents. See ``cli``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from handful.cli.output import Flag, answer_with
from handful.errors import UsageError


@dataclass(frozen=True)
class Directions:
    """Find directions in which pictures change in one way, by themselves or from examples. See docs/explore.md."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    out: Path = Path("directions")
    """Folder for NAME.safetensors, which --along takes, and for sheets of pictures moved along each."""
    by: Literal["maps", "weights"] = "maps"
    """maps: what changes low maps most. weights: what the first layer stretches most; nothing is drawn for that."""
    count: int = 8
    """How many of these."""
    more: str | None = None
    """Examples in place of --by: seeds and latent files, as in 3,17,face.safetensors, that have much of something."""
    less: str | None = None
    """Those that have little of it. A dozen of each is a good start."""
    scores: Path | None = None
    """Or a text file: on each line a seed or latent file, a space, and how much of it that has, in any numbers."""
    name: str | None = None
    """What the files are called. Default: maps, weights or examples."""
    seeds: str = "0-3"
    """Whose pictures are moved on the sheets: seeds, ranges and latent files."""
    strength: float = 3.0
    """How far, at both ends: in standard deviations of latents."""
    steps: int = 7
    """Pictures from one end to the other."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class, of a model trained with --labels folders. Default: all in turn, seed by seed."""
    truncation: float = 1.0
    """Below 1, draw pictures towards the mean, down to 0: they grow more alike."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print what was found as one JSON object."""

    def __call__(self) -> None:
        """Find them, and say what was found."""
        from handful.explore.strips import write_directions

        options = {name: getattr(self, name) for name in ("more", "less", "scores", "name", "seeds", "strength")}
        options |= {name: getattr(self, name) for name in ("steps", "class_name", "truncation", "device")}
        by_example = any(each is not None for each in (self.more, self.less, self.scores))
        if by_example and (self.by, self.count) != (Directions.by, Directions.count):
            raise UsageError("--by and --count: have no effect with examples; leave one or the other out")
        found = write_directions(self.source, self.out, self.by, self.count, **options)
        pairs = list(zip(found.names, found.measures, strict=True))
        if by_example:
            text = f"tells {max(0.0, found.measures[0]):.0%} of the scores' variance, of examples left out"
            if found.measures[0] <= 0:
                text += ": no more than their mean does. Look at the pictures; give more examples, or clearer ones"
        else:
            what = {"maps": "low maps", "weights": "the first layer"}[self.by]
            far = ", ".join(f"{name}: {times:.1f}" for name, times in pairs)
            text = f"times as far as a random direction moves {what}: {far}"
        answer = {"out": str(self.out), "directions": [{"name": name, "measure": measure} for name, measure in pairs]}
        answer_with(answer, f"{text}\ndirections and pictures in {self.out}", json=self.json)


@dataclass(frozen=True)
class Latents:
    """Write a latent file: of seeds and other latent files, named, moved along directions, or blended into one."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    seeds: str = "0"
    """What to keep: seeds, ranges and latent files, such as 3,17,face.safetensors."""
    out: Path = Path("latents.safetensors")
    """The file (.safetensors), which every command takes for seeds."""
    names: str | None = None
    """What they are called from now on, with commas between. Default: as they were; a seed by its number."""
    along: tuple[str, ...] = ()
    """Directions to move them along, as in directions/maps.safetensors:1=2 or smile.safetensors=-1.5."""
    blend: tuple[float, ...] = ()
    """Make one of them: how much of each, as in 1 1 2."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Make them of this class, of a model trained with --labels folders. Default: as they were."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print what was written as one JSON object."""

    def __call__(self) -> None:
        """Write the file, and say what is in it."""
        from handful.explore.editing import write_latents

        names = None if self.names is None else self.names.split(",")
        latents = write_latents(
            self.source, self.seeds, self.out, names, self.along, self.blend, self.class_name, self.device
        )
        answer = {"file": str(self.out), "names": list(latents.names)}
        answer_with(answer, f"{', '.join(latents.names)} in {self.out}", json=self.json)
