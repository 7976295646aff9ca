"""The pictures of the report: training images, samples, walks, pairs, and samples over time."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from handful.config import budget
from handful.data.dataset import Dataset
from handful.data.order import evenly_spaced
from handful.files import printable
from handful.images.grid import grid, to_image
from handful.metrics.path_length import walk
from handful.metrics.results import Evaluation
from handful.metrics.table import CLASS_COLUMNS, class_value
from handful.progress import advance
from handful.records import layout
from handful.reporting.page import ClassRow, Moment, Pair
from handful.sampling.model import Model

CLASS_SEEDS = range(8)
"""Seeds of the images of a class."""

MAX_CLASSES = 40

CLASS_SCORES = ("images", "of_class", "kid", "recall", "copies")

WALKS = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11))
"""Seeds that each walk visits."""

MAX_MOMENTS = 12

MAX_CONTACTS = 120
"""Training images on the contact sheet."""

CONTACT_SIDE = 96
"""Pixels."""


def samples(model: Model) -> Image.Image:
    """Draw a grid of the images of the first seeds."""
    images, seeds = [], budget.current.grid_seeds
    for batch in model.stream(seeds):
        images += list(batch)
        advance("drawing images", len(images), len(seeds))
    return grid(images)


def contact_sheet(dataset: Dataset) -> Image.Image:
    """Show the training images, evenly spaced ones if they are many."""
    chosen = evenly_spaced(range(len(dataset.images)), MAX_CONTACTS)
    return grid([shrunk(dataset.images[index]) for index in chosen], columns=12)


def shrunk(image: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "c _ _"]:
    """Shrink an image that is too large for the contact sheet."""
    longest = max(image.shape[1:])
    if longest <= CONTACT_SIDE:
        return image
    height, width = (round(side * CONTACT_SIDE / longest) for side in image.shape[1:])
    small = torch.nn.functional.adaptive_avg_pool2d(image.float(), (height, width))
    return small.round().to(torch.uint8)


def frames(model: Model) -> list[Image.Image]:
    """Walk through the latent space, from seed to seed and back to the first: a loop of four images side by side."""
    columns, steps = [], budget.current.walk_steps
    for number, seeds in enumerate(WALKS):
        column: list[Tensor] = []
        for start, end in zip(seeds, (*seeds[1:], seeds[0]), strict=True):
            column += list(walk(model, (start, end), steps, noise_seed=seeds[0], class_seed=number))[:-1]
        columns.append(column)
        advance("drawing walks through the latent space", number + 1, len(WALKS))
    return [grid([image[0] for image in row], columns=len(WALKS)) for row in zip(*columns, strict=True)]


def classes(model: Model, evaluation: Evaluation | None) -> list[ClassRow]:
    """Draw a row of images of each class, with its scores in words."""
    names, rows = model.config.classes[:MAX_CLASSES], []
    for name in names:
        sheet = grid(list(model.sample(CLASS_SEEDS, class_name=name)), columns=len(CLASS_SEEDS))
        scores = evaluation.classes.get(name, {}) if evaluation is not None else {}
        words = (f"{CLASS_COLUMNS[key][0]} {class_value(scores, key)}" for key in CLASS_SCORES if key in scores)
        rows.append(ClassRow(printable(name), sheet, ", ".join(words)))
        advance("drawing each class", len(rows), len(names))
    return rows


def pairs(model: Model, dataset: Dataset, evaluation: Evaluation) -> list[Pair]:
    """Put the samples nearest to a training image beside it, nearest first."""
    made = []
    closest = evaluation.copying.closest
    for done, match in enumerate(closest, start=1):
        advance("drawing the nearest pairs", done, len(closest))
        if match["training"] not in dataset.names:
            continue  # fewer images of a large set may have fitted into memory the second time
        seed = int(re.findall(r"\d+", match["sample"])[0])
        nearest = dataset.images[dataset.names.index(match["training"])]
        pair = Pair(
            sample=to_image(model.sample([seed], class_name=match["class"])[0]),
            nearest=to_image(nearest.flip(-1) if match["mirrored"] else nearest),
            ratio=match["novelty"],
            label=printable(match["training"]),
            mirrored=match["mirrored"],
            copy=match["copy"],
            sharing=match["sharing"],
        )
        made.append(pair)
    return made


def moments(run: Path) -> list[Moment]:
    """Read the sample grids of a dozen steps, evenly spaced, including the first and the last."""
    files = [*layout.by_step(run / layout.SAMPLES, ".png").items()]
    if len(files) > MAX_MOMENTS:
        files = [*evenly_spaced(files[:-1], MAX_MOMENTS - 1), files[-1]]
    read = []
    for step, file in files:
        with Image.open(file) as image:
            read.append(Moment(step, image.convert("RGB")))
    return read
