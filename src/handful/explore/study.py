"""The memorisation test: does a generator reproduce its training images better than held-out images?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from handful.config.checks import checked
from handful.config.choices import DistanceName
from handful.config.geometry import Geometry
from handful.data.classes import find_classes
from handful.data.dataset import Dataset, load_folder
from handful.data.order import evenly_spaced
from handful.data.training_set import choose_held_out
from handful.errors import UsageError
from handful.explore.inversion import Photo, figures, project_all, sheet_of
from handful.explore.likeness import load_distance
from handful.explore.project import Effort, Projection
from handful.files import printable, require_folder, write_json
from handful.images.grid import write_png
from handful.metrics.copying import Originals, thumbnails
from handful.progress import Progress, shown_on
from handful.records.settings import fit_of_run, read_settings
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.pictures import shown_png

FILE = "study"


@final
@dataclass(frozen=True)
class Summary:
    """The mean distance of one stage from both sets, and their comparison."""

    stage: str
    measure: str
    """LPIPS, or PSNR (dB) without its weights."""
    training: float
    unseen: float
    farther: float
    """Share of pairs of a training and an unseen image in which the unseen one is farther. 0.5: no memorisation. 1: the
    generator reproduces every training image better than any unseen one."""
    training_copied: float
    """Share of the pictures of training images that copy an image of either set, by the rule of ``evaluate``."""
    unseen_copied: float


@final
@dataclass(frozen=True, repr=False)
class Study:
    """Projections of training images and of images that were not trained on."""

    training: tuple[Projection, ...]
    unseen: tuple[Projection, ...]
    summaries: tuple[Summary, ...]
    """One for each stage."""

    def __repr__(self) -> str:
        stages = ", ".join(f"{summary.stage}: unseen farther in {summary.farther:.0%}" for summary in self.summaries)
        return f"Study({len(self.training)} training and {len(self.unseen)} unseen images; {stages})"

    def _repr_png_(self) -> bytes:
        return shown_png(sheet_of([*self.training, *self.unseen]))

    def to_json(self) -> dict[str, Any]:
        """Return all distances as JSON."""
        sets = {name: [figures(projection) for projection in getattr(self, name)] for name in ("training", "unseen")}
        return {"stages": [vars(summary) for summary in self.summaries]} | sets


@checked
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
        source: A run folder, or any model with ``holdout``.
        images: The training images.
        out: Folder for the files.
        holdout: Folder of similar images that were not trained on. Default: those that the run held back.
        most: Largest number of images of each set, evenly spaced.
        effort: Steps and starting points of the search.
        distance: See ``write_projections``.
        weights: Folder with weight files of LPIPS. Default: $HANDFUL_WEIGHTS, then torch's cache.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Source: FastGAN (Liu et al. 2021), section 4, which projects a test set and reports LPIPS. Comparing it
    with training images is ours.

    Raises:
        UsageError: if there are no images that were not trained on, or the run was trained on other images.
        WeightsError: if LPIPS was asked for and its weights are missing.
    """
    if most < 2:
        raise UsageError(f"--most {most}: must be at least 2 images of each set")
    out = Path(out)
    require_folder(out)
    with shown_on(progress):
        model = load(source, device)
        training, unseen = load_sets(Path(source), Path(images), holdout, model)
        perceptual = load_distance(distance, weights, model.device)
        photos = [*evenly_spaced(training, most), *evenly_spaced(unseen, most)]
        done = list(project_all(model, photos, perceptual, effort or Effort()))
    count = min(most, len(training))
    originals = Originals(thumbnails(torch.stack([photo.image for photo in (*training, *unseen)])))
    summaries = tuple(compare(done[:count], done[count:], originals))
    result = Study(tuple(done[:count]), tuple(done[count:]), summaries)
    write_png(out / "training.png", sheet_of(result.training))
    write_png(out / "unseen.png", sheet_of(result.unseen))
    write_json(out / f"{FILE}.json", result.to_json())
    return result


def load_sets(source: Path, images: Path, holdout: Path | str | None, model: Model) -> tuple[list[Photo], list[Photo]]:
    """Load images that were trained on, and images that were not.

    Raises:
        UsageError: as ``study``.
    """
    geometry = Geometry(model.config.shape, model.config.channels, fit_of_run(source))

    def read(folder: Path) -> Dataset:
        return load_folder(folder, geometry, f"reading {printable(folder)}", generated=True)

    dataset = read(images)
    if holdout is not None:
        return to_photos(dataset), to_photos(read(Path(holdout)))
    remedy = "give images that were not trained on as --holdout FOLDER"
    settings = read_settings(source) if source.is_dir() else None
    if settings is None:
        raise UsageError(f"--study: {source} is not a run folder, so the images that it held out are unknown; {remedy}")
    if settings.fingerprint != dataset.fingerprint:
        raise UsageError(f"--study: {source} was trained on other images than {printable(images)} holds; give those")
    kept, unseen = choose_held_out(find_classes(dataset.names, settings.config), settings.config)
    if len(unseen) < 2:
        raise UsageError(f"--study: {source} held out no images (--hold-back); {remedy}")
    return to_photos(dataset, kept), to_photos(dataset, unseen)


def to_photos(dataset: Dataset, indices: Sequence[int] | None = None) -> list[Photo]:
    """Return images of a dataset; all by default."""
    return [Photo(dataset.names[index], dataset.images[index]) for index in indices or range(len(dataset.images))]


def compare(training: Sequence[Projection], unseen: Sequence[Projection], originals: Originals) -> list[Summary]:
    """Compare the distances of each stage from two sets, and count the pictures that copy an image of either."""
    summaries = []
    for index, stage in enumerate(training[0].stages):
        name = "psnr" if stage.lpips is None else "lpips"
        sides = [[getattr(photo.stages[index], name) for photo in part] for part in (training, unseen)]
        # A larger LPIPS is farther, a larger PSNR is nearer.
        sign = 1 if name == "lpips" else -1
        pairs = [sign * (other - mine) for mine in sides[0] for other in sides[1]]
        farther = sum((pair > 0) + 0.5 * (pair == 0) for pair in pairs) / len(pairs)
        measure = {"psnr": "PSNR (dB)", "lpips": "LPIPS"}[name]
        seen, other = (
            originals.match(thumbnails(torch.stack([photo.stages[index].picture for photo in part]))).share
            for part in (training, unseen)
        )
        means = statistics.fmean(sides[0]), statistics.fmean(sides[1])
        summaries.append(Summary(stage.name, measure, *means, farther, seen, other))
    return summaries
