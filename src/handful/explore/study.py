"""The memorisation test: can a generator make its training images better than those of their kind that it never saw?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from handful.config.choices import DistanceName
from handful.config.geometry import Geometry
from handful.data.classes import find_classes
from handful.data.dataset import Dataset, load_folder
from handful.data.order import evenly_spaced
from handful.data.training_set import choose_held_out
from handful.errors import UsageError
from handful.explore.inversion import Photo, figures, picture_of, projected
from handful.explore.likeness import load_distance
from handful.explore.project import Effort, Projection
from handful.files import printable, require_folder, write_json
from handful.images.grid import write_png
from handful.progress import Progress, shown_on
from handful.records.settings import fit_of_run, read_settings
from handful.sampling.load import load
from handful.sampling.model import Model

FILE = "study"


@final
@dataclass(frozen=True)
class Summary:
    """How near one stage came to both sets: means, and how they compare."""

    stage: str
    measure: str
    """LPIPS, or PSNR (dB) without its weights."""
    training: float
    unseen: float
    farther: float
    """Share of pairs of a training and an unseen image in which the unseen one was met less well: 0.5 is what a
    generator does that learned none by heart, 1 one that can make its training images alone."""


@final
@dataclass(frozen=True)
class Study:
    """What became of training images, and of images that were not trained on."""

    training: tuple[Projection, ...]
    unseen: tuple[Projection, ...]
    summaries: tuple[Summary, ...]
    """One for each stage."""

    def to_json(self) -> dict[str, Any]:
        """Give all figures as JSON has them."""
        sets = {name: [figures(each) for each in getattr(self, name)] for name in ("training", "unseen")}
        return {"stages": [vars(each) for each in self.summaries]} | sets


def study(
    source: Path | str,
    images: Path | str,
    out: Path | str,
    holdout: Path | str | None = None,
    most: int = 16,
    effort: Effort | None = None,
    distance: DistanceName = "auto",
    weights: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Study:
    """Project training images and images that were not trained on, and compare how near the generator comes.

    Writes ``study.json``, and ``training.png`` and ``unseen.png`` with all pictures.

    Args:
        source: A run folder; or a model, if ``holdout`` is given.
        images: The images that it was trained on.
        out: Folder for the files.
        holdout: A folder of images of the same kind that were not trained on. Default: those that the run held back.
        most: Images of each set, evenly spread over it.
        effort: How hard to look.
        distance: See ``write_projections``.
        weights: Folder with the weight files of LPIPS.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Is told how it goes; the terminal by default.

    Source: FastGAN (Liu et al. 2021), section 4, which projects a test set back for LPIPS; both sets, and their
    comparison, are ours.

    Raises:
        UsageError: if nothing is known that was not trained on, or the run was trained on other images.
        WeightsError: if LPIPS was asked for and cannot be had.
    """
    if most < 2:
        raise UsageError(f"--most {most}: must be at least 2 images of each set")
    out = Path(out)
    require_folder(out)
    with shown_on(progress):
        model = load(source, device)
        training, unseen = both_sets(Path(source), Path(images), holdout, model)
        perceptual = load_distance(distance, weights, model.device)
        chosen = [*evenly_spaced(training, most), *evenly_spaced(unseen, most)]
        done = list(projected(model, chosen, perceptual, effort or Effort()))
    count = min(most, len(training))
    found = Study(tuple(done[:count]), tuple(done[count:]), tuple(compare(done[:count], done[count:])))
    write_png(out / "training.png", picture_of(found.training))
    write_png(out / "unseen.png", picture_of(found.unseen))
    write_json(out / f"{FILE}.json", found.to_json())
    return found


def both_sets(source: Path, images: Path, holdout: Path | str | None, model: Model) -> tuple[list[Photo], list[Photo]]:
    """Load the images that were trained on, and those that were not.

    Raises:
        UsageError: as ``study``.
    """
    geometry = Geometry(model.config.shape, model.config.channels, fit_of_run(source))

    def read(folder: Path) -> Dataset:
        return load_folder(folder, geometry, f"reading {printable(folder)}")

    dataset = read(images)
    if holdout is not None:
        return photos(dataset), photos(read(Path(holdout)))
    remedy = "give images that were not trained on as --holdout FOLDER"
    settings = read_settings(source) if source.is_dir() else None
    if settings is None:
        raise UsageError(f"--study: {source} is no run folder, so nothing tells what was not trained on; {remedy}")
    if settings.fingerprint != dataset.fingerprint:
        raise UsageError(f"--study: {source} was trained on other images than {printable(images)} holds; give those")
    kept, unseen = choose_held_out(find_classes(dataset.names, settings.config), settings.config)
    if len(unseen) < 2:
        raise UsageError(f"--study: {source} held no images back (--hold-back); {remedy}")
    return photos(dataset, kept), photos(dataset, unseen)


def photos(dataset: Dataset, places: Sequence[int] | None = None) -> list[Photo]:
    """Take images of a dataset, all by default."""
    return [Photo(dataset.names[place], dataset.images[place]) for place in places or range(len(dataset.images))]


def compare(training: Sequence[Projection], unseen: Sequence[Projection]) -> list[Summary]:
    """Compare how near each stage came to two sets."""
    summaries = []
    for place, stage in enumerate(training[0].stages):
        name = "psnr" if stage.lpips is None else "lpips"
        sides = [[getattr(each.stages[place], name) for each in part] for part in (training, unseen)]
        # A larger LPIPS is farther, a larger PSNR nearer.
        sign = 1 if name == "lpips" else -1
        pairs = [sign * (other - mine) for mine in sides[0] for other in sides[1]]
        farther = sum((pair > 0) + 0.5 * (pair == 0) for pair in pairs) / len(pairs)
        measure = {"psnr": "PSNR (dB)", "lpips": "LPIPS"}[name]
        summaries.append(Summary(stage.name, measure, statistics.fmean(sides[0]), statistics.fmean(sides[1]), farther))
    return summaries
