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

from handful.config.checks import checked
from handful.config.geometry import Geometry
from handful.data.dataset import Dataset
from handful.errors import UsageError
from handful.files import printable, require_file
from handful.images.grid import to_image, write_png
from handful.images.sheet import Cell, check_sheet_size, seed_or_name, sheet
from handful.metrics.copying import Originals, thumbnails
from handful.metrics.gather import batches, in_batches
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
    """The distance, divided by that of the next training images; of the first, the novelty of ``evaluate``."""
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
    copy: bool
    """Whether ``evaluate`` would count the picture as a copy."""
    composite: bool
    """Whether it is a copy only in parts, perhaps of several training images."""
    likeness: float
    """Below 1 for a copy; orders pictures."""


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
            rows.append({"picture": row.name, "copy": row.copy, "composite": row.composite, "neighbours": near})
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
    device: str = "auto",
    truncation: float = 1.0,
    progress: Progress | None = None,
) -> Neighbourhood:
    """Find the training images nearest to pictures, and write a sheet with a row for each picture.

    Pictures are compared as in ``evaluate``: laid over the training images, mirrored or not.

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
        device: auto, cpu, cuda, cuda:1 or mps.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if there is nothing to draw from or to compare with, or an option makes no sense.
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

        search = Search(training, count, None if seeds is not None else show)
        for batch in in_batches(opened.stream()):
            search.take(batch, opened.name)
            advance("searching neighbours", search.searched, opened.count)
    write_png(Path(out), sheet_of(search.rows, training))
    return search.result()


class Search:
    """The rows and figures so far. Only pictures that will be shown are kept."""

    def __init__(self, training: Dataset, count: int, most: int | None) -> None:
        self.training, self.count, self.most = training, count, most
        self.originals = Originals(torch.cat([thumbnails(batch) for batch in batches(training.images)]))
        self.rows: list[Row] = []
        self.novelties: list[float] = []
        self.copies = 0

    @property
    def searched(self) -> int:
        """Return the number of pictures searched."""
        return len(self.novelties)

    def take(self, batch: UInt8[Tensor, "b c h w"], name: Callable[[int], str]) -> None:
        """Find the neighbours of some pictures, and keep the ``most`` copied rows so far, or all."""
        small = thumbnails(batch)
        matches, around = self.originals.match(small), self.originals.around(small, self.count)
        likeness = self.originals.likeness(matches)
        for number, picture in enumerate(batch):
            columns = (around.index[number], around.novelty[number], around.mirrored[number])
            near = tuple(
                Neighbour(self.training.names[index], ratio, mirrored, index)
                for index, ratio, mirrored in zip(*(column.tolist() for column in columns), strict=True)
            )
            copy, composite = bool(matches.copied[number]), bool(matches.composite[number])
            self.rows.append(Row(name(self.searched), near, picture, copy, composite, float(likeness[number])))
            self.novelties.append(float(matches.novelty[number]))
            self.copies += copy
        if self.most is not None:
            self.rows = sorted(self.rows, key=lambda row: row.likeness)[: self.most]

    def result(self) -> Neighbourhood:
        """Return all results."""
        among = self.originals.among
        return Neighbourhood(
            rows=tuple(self.rows),
            samples=self.searched,
            copies=self.copies / self.searched,
            novelty=float(torch.tensor(self.novelties, dtype=torch.float64).median()),
            copies_among_training=among.share,
            novelty_among_training=float(among.novelty.median()),
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
        word = "copied in parts" if row.composite else "a copy" if row.copy else ""
        line = [Cell(to_image(row.picture), (row.name, word), row.copy)]
        for rank, near in enumerate(row.neighbours):
            image = training.images[near.index]
            words = f"{near.ratio:.2f}" + (", mirrored" if near.mirrored else "")
            shown = to_image(image.flip(-1) if near.mirrored else image)
            line.append(Cell(shown, (words, printable(near.name)), row.copy and rank == 0))
        cells.append(line)
    height, width = rows[0].picture.shape[1:]
    return sheet(cells, (width, height), LARGEST)
