"""Generate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from handful.cli.output import Flag, answer_with
from handful.config.choices import Format, SamplingPrecision
from handful.config.text import parse_seeds


@dataclass(frozen=True)
class Generate:
    """Draw pictures from a trained generator. A picture depends on the model and its seed alone."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    seeds: str = "0-15"
    """Which pictures: numbers, ranges and latent files, such as 0-63,100,face.safetensors."""
    out: Path | None = None
    """Folder for one file a seed, seed-000042.png, or by a latent's name; existing ones are replaced."""
    format: Format = "png"
    """Of these files: png, or webp, lossless too, which is smaller and slower to write."""
    grid: Path | None = None
    """File for one grid of all pictures (PNG), in the order of the seeds."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class, of a model trained with --labels folders. Default: all in turn, seed by seed."""
    truncation: float = 1.0
    """Below 1, draw pictures towards the mean, down to 0: they grow more alike. See docs/explore.md."""
    along: tuple[str, ...] = ()
    """Directions to move pictures along, as in directions/maps.safetensors:1=2 or smile.safetensors=-1.5."""
    size_of_batch: int | None = None
    """Images computed at once on a GPU. Default: what suits it. The CPU computes one at a time."""
    precision: SamplingPrecision = "fp32"
    """What convolutions compute in. bf16 is about twice as fast where there is hardware for it, and changes pictures by
    half a grey level of 256 on average."""
    compile: Flag = False
    """Compile for this machine first, which takes seconds to a minute. For hundreds of pictures."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print the files written as one JSON object."""

    def __call__(self) -> None:
        """Generate, and say what was written."""
        seeds = self.seeds if ".safetensors" in self.seeds else parse_seeds(self.seeds)
        from handful.sampling.generate import generate

        how = (self.size_of_batch, self.device, self.precision, self.compile)
        which: dict[str, Any] = {"format": self.format, "class_name": self.class_name, "truncation": self.truncation}
        which["moves"] = self.along
        files = generate(self.source, seeds, self.out, self.grid, *how, **which)
        places = [str(place) for place in (self.out, self.grid) if place is not None]
        what = f"{len(seeds)} images" if isinstance(seeds, list) else f"pictures of {seeds}"
        text = f"{what} in {' and '.join(places)}"
        answer_with({"source": str(self.source), "files": [str(file) for file in files]}, text, json=self.json)
