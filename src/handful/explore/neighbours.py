"""Show generated pictures beside the training images nearest to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from handful.compute.device import choose_device
from handful.config.checks import checked
from handful.config.choices import FeatureName
from handful.config.geometry import Geometry
from handful.data.dataset import Dataset
from handful.errors import UsageError
from handful.files import printable, require_file
from handful.images.grid import to_image, write_png
from handful.images.sheet import Cell, check_sheet_size, seed_or_name, sheet
from handful.metrics.copying import COPY, thumbnails
from handful.metrics.features import Extractor, load_extractor
from handful.metrics.gather import in_batches
from handful.metrics.reference import Reference
from handful.metrics.samples import Samples, from_model, open_samples
from handful.metrics.training_images import load_images
from handful.progress import Progress, advance, shown_on
from handful.records.settings import fit_of_run

LARGEST = 256
"""Pixels along a side of a picture on the sheet, at most."""


@final
@dataclass(frozen=True)
class Neighbour:
    """A training image near a picture."""

    name: str
    ratio: float
    """The distance, divided by that from the training image to its own neighbours, as in ``evaluate``."""
    mirrored: bool
    index: int
    """The training image's index in its data set."""


@final
@dataclass(frozen=True)
class Row:
    """One picture and its nearest training images, nearest first."""

    name: str
    neighbours: tuple[Neighbour, ...]
    picture: UInt8[Tensor, "c h w"]

    @property
    def copy(self) -> bool:
        """Whether ``evaluate`` would count the picture as a copy."""
        return self.neighbours[0].ratio < COPY


@final
@dataclass(frozen=True, repr=False)
class Neighbourhood:
    """Pictures with their nearest training images. Distances are ratios, as in ``evaluate``."""

    rows: tuple[Row, ...]
    samples: int
    """Number of pictures searched; ``rows`` may hold only the most copied of them."""
    copies: float
    novelty: float
    """Median ratio of the pictures."""
    copies_among_training: float
    novelty_among_training: float
    """The same two figures between each training image and the nearest other one."""
    features: str
    """Feature network used beside the pixels."""

    def __repr__(self) -> str:
        return (
            f"Neighbourhood({len(self.rows)} of {self.samples} pictures; {self.copies:.1%} copies, median distance "
            f"{self.novelty:.2f}; among training images {self.copies_among_training:.1%} and "
            f"{self.novelty_among_training:.2f})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures as JSON."""
        answer = {name: value for name, value in vars(self).items() if name != "rows"}
        rows = []
        for row in self.rows:
            near = [dataclasses.asdict(neighbour) for neighbour in row.neighbours]
            rows.append({"picture": row.name, "copy": row.copy, "neighbours": near})
        return answer | {"pictures": rows}


@checked
def neighbours(
    source: Path | str,
    images: Path | str,
    out: Path | str = "neighbours.png",
    seeds: str | None = None,
    samples: int = 256,
    show: int = 16,
    count: int = 4,
    class_name: str | None = None,
    features: FeatureName = "random",
    weights: Path | None = None,
    device: str = "auto",
    truncation: float = 1.0,
    progress: Progress | None = None,
) -> Neighbourhood:
    """Find the training images nearest to pictures, and write a sheet with a row for each picture.

    Distances are those of ``evaluate``: the smallest in thumbnails or features, mirrored or not.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a folder of images from any tool.
        images: The training images: a folder, a zip archive, or a dataset of the Hub.
        out: File (PNG) for the sheet: a row for each picture, which comes first.
        seeds: Pictures to look up: seeds, ranges and latent files, such as ``0-15,100,face.safetensors``.
            Default: the most copied ones.
        samples: Pictures searched for the most copied ones: seeds from 0 up, or the images of a folder.
        show: Most copied pictures to show.
        count: Training images beside each picture.
        class_name: Class to draw, for a model trained with labels. Default: all classes in turn, seed by seed.
        features: Feature network used beside the pixels: efficientnet, squeezenet, inception, vgg16, dino, or
            random, the fastest.
        weights: Folder with weight files of other networks. Default: $HANDFUL_WEIGHTS, then torch's cache.
        device: auto, cpu, cuda, cuda:1 or mps.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if there is nothing to draw from or to compare with, or an option makes no sense.
        WeightsError: if the features need a weight file that is not there.
    """
    for name, value in {"samples": samples, "show": show, "count": count}.items():
        if value < 1:
            raise UsageError(f"--{name} {value}: must be at least 1")
    with shown_on(progress):
        require_file(Path(out))
        opened = open_pictures(Path(source), seeds, samples, class_name, device, truncation)
        height, width = opened.shape
        check_sheet_size(opened.count if seeds is not None else show, count + 1, (width, height), LARGEST)
        training = load_images(Path(images), Geometry(opened.shape, opened.channels, fit_of_run(Path(source))))
        if count > len(training.images):
            raise UsageError(f"--count {count}: {printable(images)} holds {len(training.images)} images; give fewer")

        extractor = load_extractor(features, choose_device(device), weights)
        reference = Reference.of(training.images, extractor)
        search = Search(training, reference, extractor, count, None if seeds is not None else show)
        for batch in in_batches(opened.stream()):
            search.take(batch, opened.name)
            advance("searching neighbours", len(search.ratios), opened.count)
    write_png(Path(out), sheet_of(search.rows, training))
    return search.result()


class Search:
    """The rows and ratios so far. Only pictures that will be shown are kept."""

    def __init__(
        self, training: Dataset, reference: Reference, extractor: Extractor, count: int, most: int | None
    ) -> None:
        self.training, self.reference, self.extractor = training, reference, extractor
        self.count, self.most = count, most
        self.rows: list[Row] = []
        self.ratios: list[float] = []

    def take(self, batch: UInt8[Tensor, "b c h w"], name: Callable[[int], str]) -> None:
        """Find the neighbours of some pictures, and keep the ``most`` nearest rows so far, or all."""
        matches = self.reference.around(self.extractor(batch), thumbnails(batch), self.count)
        for picture, indices, ratios, mirrored in zip(
            batch, matches.index.tolist(), matches.ratio.tolist(), matches.mirrored.tolist(), strict=True
        ):
            near = map(Neighbour, (self.training.names[index] for index in indices), ratios, mirrored, indices)
            self.rows.append(Row(name(len(self.ratios)), tuple(near), picture))
            self.ratios.append(ratios[0])
        if self.most is not None:
            self.rows = sorted(self.rows, key=lambda row: row.neighbours[0].ratio)[: self.most]

    def result(self) -> Neighbourhood:
        """Return all results."""
        ratios = torch.tensor(self.ratios, dtype=torch.float64)
        among = self.reference.among
        return Neighbourhood(
            rows=tuple(self.rows),
            samples=len(ratios),
            copies=float((ratios < COPY).double().mean()),
            novelty=float(ratios.median()),
            copies_among_training=among.share,
            novelty_among_training=among.novelty,
            features=self.extractor.name,
        )


def open_pictures(
    source: Path, seeds: str | None, samples: int, class_name: str | None, device: str, truncation: float
) -> Samples:
    """Open the pictures whose neighbours are searched.

    Raises:
        UsageError: if there are none, or seeds or a class are given with a folder of images.
    """
    opened = open_samples(source, samples, None, fit_of_run(source), device, truncation)
    model = opened.model
    if model is None:
        if seeds is not None or class_name is not None:
            asked = "--seeds" if seeds is not None else "--class"
            raise UsageError(f"{asked}: {source} is a folder of images, not a generator; leave the option out")
        return opened
    if seeds is None:
        model.labels([], class_name)
        return from_model(
            model, opened.label, range(samples), None if class_name is None else [class_name] * samples, truncation
        )
    latents = model.latents(seeds, class_name)
    return dataclasses.replace(
        opened,
        count=len(latents),
        stream=lambda: model.stream(latents, truncation=truncation),
        name=lambda index: seed_or_name(latents.names[index]),
    )


def sheet_of(rows: Sequence[Row], training: Dataset) -> Image.Image:
    """Lay out pictures in rows, each followed by its nearest training images."""
    cells = []
    for row in rows:
        line = [Cell(to_image(row.picture), (row.name, "a copy" if row.copy else ""), row.copy)]
        for near in row.neighbours:
            image = training.images[near.index]
            words = f"{near.ratio:.2f}" + (", mirrored" if near.mirrored else "")
            shown = to_image(image.flip(-1) if near.mirrored else image)
            line.append(Cell(shown, (words, printable(near.name)), near.ratio < COPY))
        cells.append(line)
    height, width = rows[0].picture.shape[1:]
    return sheet(cells, (width, height), LARGEST)
