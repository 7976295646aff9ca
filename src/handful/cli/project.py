"""The commands that hold a generator against pictures: neighbours, mix, project. See ``cli``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handful.cli.output import Flag, answer_with
from handful.config.choices import DistanceName, FeatureName
from handful.errors import UsageError

if TYPE_CHECKING:
    from handful.explore.project import Effort


@dataclass(frozen=True)
class Neighbours:
    """Show pictures beside the training images nearest to them: those of given seeds, or the most copied of many."""

    source: Path
    """A run folder, a model folder, a .safetensors file, or a folder of images that any tool made."""
    images: Path
    """The folder of training images."""
    out: Path = Path("neighbours.png")
    """File for the sheet (PNG): a row for each picture, which comes first."""
    seeds: str | None = None
    """Whose pictures: seeds, ranges and latent files, such as 0-15,100,face.safetensors. Default: the most copied."""
    samples: int = 256
    """Pictures among which the most copied are looked for: seeds from 0 up, or the images of a folder."""
    show: int = 16
    """How many of the most copied are shown."""
    count: int = 4
    """Training images beside each picture."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class, of a model trained with --labels folders. Default: all in turn, seed by seed."""
    truncation: float = 1.0
    """Below 1, draw pictures towards the mean, down to 0: they grow more alike."""
    features: FeatureName = "random"
    """What to look through beside the pixels: efficientnet, inception, vgg16, dino, or random, the quickest."""
    weights: Path | None = None
    """Folder with the weight files of other networks. Default: $HANDFUL_WEIGHTS, then torch's own cache."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print all that was found as one JSON object."""

    def __call__(self) -> None:
        """Look, and say what was found."""
        from handful.explore.neighbours import neighbours

        how = (
            self.samples,
            self.show,
            self.count,
            self.class_name,
            self.features,
            self.weights,
            self.device,
            self.truncation,
        )
        found = neighbours(self.source, self.images, self.out, self.seeds, *how)
        text = (
            f"{found.copies:.1%} of {found.samples:,} pictures are copies, of the training images among themselves "
            f"{found.copies_among_training:.1%}; median distance {found.novelty:.2f}, theirs "
            f"{found.novelty_among_training:.2f}; {len(found.rows)} of them in {self.out}"
        )
        answer_with(found.to_json() | {"file": str(self.out)}, text, json=self.json)


@dataclass(frozen=True)
class Mix:
    """Draw pictures with the colours and textures of others: low maps of the style set the gates of the content."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    content: str = "0-3"
    """Pictures that give what is shown, a row each: seeds, ranges and latent files, such as 0-3,face.safetensors."""
    style: str = "4-9"
    """Pictures that give colours and textures, a column each, in the same way."""
    out: Path = Path("mix.png")
    """File for the sheet (PNG), with content and style at its edges."""
    levels: tuple[int, ...] = ()
    """Gates that the style sets, by the size of the map that they scale: of 64, 128, 256, 512. Default: all of them."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Draw this class, of a model trained with --labels folders. Default: each picture its own."""
    truncation: float = 1.0
    """Below 1, draw pictures towards the mean, down to 0: more alike, and often cleaner."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print the file written as one JSON object."""

    def __call__(self) -> None:
        """Mix, and say where the sheet is."""
        from handful.explore.mix import write_mixes

        how = (self.levels, self.class_name, self.truncation, self.device)
        file = write_mixes(self.source, self.content, self.style, self.out, *how)
        answer_with({"source": str(self.source), "file": str(file)}, f"mixed pictures in {file}", json=self.json)


@dataclass(frozen=True)
class Project:
    """Find the latents whose pictures are nearest to photos, as latent files that other commands take for seeds."""

    source: Path
    """A run folder, a model folder or a .safetensors file."""
    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Picture files, or folders of them; with --study the folder of training images."""
    out: Path = Path("projected")
    """Folder for NAME.safetensors and NAME.png of each photo, and a sheet and the figures of all."""
    steps: int = 300
    """Steps on the latent."""
    noise_steps: int = 100
    """Steps on latent and noise, after that. 0: the noise stays zero."""
    map_steps: int = 0
    """Steps on the lowest map in the latent's place, after that: only shown and measured, since no latent gives it."""
    starts: int = 4
    """Latents that are followed side by side; the best is kept."""
    candidates: int = 64
    """Random latents of which the nearest are the starts."""
    distance: DistanceName = "auto"
    """What is made small: lpips (with pixels), pixels, or auto: lpips where its weights are on this machine."""
    film: Flag = False
    """Also write NAME.webp: how the picture came to be, beside the photo."""
    study: Flag = False
    """Test what is learned by heart: project training images and images that were held back, and compare."""
    holdout: Path | None = None
    """For --study, a folder of images that were not trained on. Default: those that the run held back."""
    most: int = 16
    """For --study, images of each of the two sets."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Look in this class, of a model trained with --labels folders. Default: in that of the nearest candidates."""
    weights: Path | None = None
    """Folder with the weight files of LPIPS. Default: $HANDFUL_WEIGHTS, then torch's own cache."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: Flag = False
    """Print all figures as one JSON object."""

    def __call__(self) -> None:
        """Project, and say how near it came."""
        if self.study:
            self.compare()
            return
        if self.holdout is not None:
            raise UsageError(f"--holdout {self.holdout}: is for --study; add that, or leave it out")
        from handful.explore.inversion import figures, measure, write_projections

        how = (self.effort, self.film, self.distance, self.class_name, self.weights, self.device)
        done = write_projections(self.source, self.photos, self.out, *how)
        lines = [f"{each.name}: {measure(each.stages[-1])}" for each in done]
        answer = {"out": str(self.out), "photos": [figures(each) for each in done]}
        answer_with(answer, "\n".join([*lines, f"latent files and pictures in {self.out}"]), json=self.json)

    def compare(self) -> None:
        """Make the study, and say what came out."""
        if len(self.photos) != 1 or self.film or self.class_name is not None:
            raise UsageError("--study: takes the one folder of training images, and neither --film nor --class")
        from handful.explore.study import study

        how = (self.holdout, self.most, self.effort, self.distance, self.weights, self.device)
        found = study(self.source, self.photos[0], self.out, *how)
        lines = [
            f"{each.stage}: {each.measure} {each.training:.3f} of training images, {each.unseen:.3f} of unseen ones; "
            f"these are farther in {each.farther:.0%} of all pairs (50%: no difference)"
            for each in found.summaries
        ]
        answer = {"out": str(self.out)} | found.to_json()
        answer_with(answer, "\n".join([*lines, f"pictures and figures in {self.out}"]), json=self.json)

    @property
    def effort(self) -> Effort:
        """How hard to look."""
        from handful.explore.project import Effort

        return Effort(self.steps, self.noise_steps, self.map_steps, self.starts, self.candidates)
