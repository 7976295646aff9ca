"""Generated pictures beside the training images nearest to them, and how near these are to each other."""

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
    """The distance over that from the training image to its own neighbours, as ``evaluate`` has it."""
    mirrored: bool
    place: int
    """Among the training images."""


@final
@dataclass(frozen=True)
class Row:
    """One picture and its nearest training images, nearest first."""

    name: str
    neighbours: tuple[Neighbour, ...]
    picture: UInt8[Tensor, "c h w"]

    @property
    def copy(self) -> bool:
        """Whether the picture is so near to a training image that ``evaluate`` calls it a copy."""
        return self.neighbours[0].ratio < COPY


@final
@dataclass(frozen=True)
class Neighbourhood:
    """What is near what; ratios are those of ``evaluate``."""

    rows: tuple[Row, ...]
    samples: int
    """Pictures that were looked at, of which ``rows`` may have the most copied."""
    copies: float
    novelty: float
    """The median ratio of a picture and its nearest training image."""
    copies_among_training: float
    novelty_among_training: float
    """The same of a training image and the nearest other one."""
    features: str
    """What was looked through, beside the pixels."""

    def to_json(self) -> dict[str, Any]:
        """Give all but the pictures as JSON has them."""
        answer = {name: value for name, value in vars(self).items() if name != "rows"}
        rows = []
        for row in self.rows:
            near = [dataclasses.asdict(each) for each in row.neighbours]
            rows.append({"picture": row.name, "copy": row.copy, "neighbours": near})
        return answer | {"pictures": rows}


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
    """Find the training images nearest to pictures, and write a sheet of them: a row each, the picture first.

    Near is what ``evaluate`` means by it: in small pixels or in features, mirrored or not, whichever is nearer.

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
        features: Feature network used beside the pixels: efficientnet, inception, vgg16, dino, or random, the
            fastest.
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
        opened = chosen(Path(source), seeds, samples, class_name, device, truncation)
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
            advance("drawing and looking", len(search.ratios), opened.count)
    write_png(Path(out), picture_of(search.rows, training))
    return search.result()


class Search:
    """Pictures that were looked at so far; of their pixels only those are kept that are to be shown."""

    def __init__(
        self, training: Dataset, reference: Reference, extractor: Extractor, count: int, most: int | None
    ) -> None:
        self.training, self.reference, self.extractor = training, reference, extractor
        self.count, self.most = count, most
        self.rows: list[Row] = []
        self.ratios: list[float] = []

    def take(self, batch: UInt8[Tensor, "b c h w"], name: Callable[[int], str]) -> None:
        """Find what is near these pictures; of all so far the ``most`` nearest stay, or all."""
        found = self.reference.around(self.extractor(batch), thumbnails(batch), self.count)
        for picture, places, ratios, turned in zip(
            batch, found.index.tolist(), found.ratio.tolist(), found.mirrored.tolist(), strict=True
        ):
            near = map(Neighbour, (self.training.names[place] for place in places), ratios, turned, places)
            self.rows.append(Row(name(len(self.ratios)), tuple(near), picture))
            self.ratios.append(ratios[0])
        if self.most is not None:
            self.rows = sorted(self.rows, key=lambda row: row.neighbours[0].ratio)[: self.most]

    def result(self) -> Neighbourhood:
        """Say what was found, and what it is to be held against."""
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


def chosen(
    source: Path, seeds: str | None, samples: int, class_name: str | None, device: str, truncation: float
) -> Samples:
    """Open the pictures that are to be looked at.

    Raises:
        UsageError: if there are none, or seeds or a class are asked of a folder of images.
    """
    opened = open_samples(source, samples, None, fit_of_run(source), device, truncation)
    model = opened.model
    if model is None:
        if seeds is not None or class_name is not None:
            asked = "--seeds" if seeds is not None else "--class"
            raise UsageError(f"{asked}: {source} is a folder of images, not a generator; leave it out")
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
        stream=lambda: (model.sample(latents.pick([place]), truncation=truncation) for place in range(len(latents))),
        name=lambda place: seed_or_name(latents.names[place]),
    )


def picture_of(rows: Sequence[Row], training: Dataset) -> Image.Image:
    """Lay out pictures, each before its nearest training images."""
    cells = []
    for row in rows:
        line = [Cell(to_image(row.picture), (row.name, "a copy" if row.copy else ""), row.copy)]
        for near in row.neighbours:
            image = training.images[near.place]
            words = f"{near.ratio:.2f}" + (", mirrored" if near.mirrored else "")
            shown = to_image(image.flip(-1) if near.mirrored else image)
            line.append(Cell(shown, (words, printable(near.name)), near.ratio < COPY))
        cells.append(line)
    height, width = rows[0].picture.shape[1:]
    return sheet(cells, (width, height), LARGEST)
