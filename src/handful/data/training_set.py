"""The images of a run: those that it trains on, and those that it holds out to measure memorisation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from handful.config.train import TrainConfig
from handful.data.classes import NO_CLASS, Classes
from handful.data.dataset import Dataset, close_gaps
from handful.seeds import Purpose, fold

MIN_IMAGES_TO_HOLD_OUT = 40
"""Smaller sets are trained on whole."""

MAX_HELD_OUT_IMAGES = 32


@final
@dataclass(frozen=True)
class TrainingSet:
    """Images to train on and images held out, with their labels."""

    images: UInt8[Tensor, "n c h w"]
    labels: tuple[int, ...]
    """Index into ``classes`` for each image; all 0 without classes."""
    held_out: UInt8[Tensor, "m c h w"]
    held_out_labels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    """Names in order; empty without classes."""

    @classmethod
    def of(cls, dataset: Dataset, classes: Classes, config: TrainConfig) -> TrainingSet:
        """Divide a dataset. Works in the memory of its images, whose order changes, so use the dataset no more."""
        if dataset.held_out is None:
            kept, held_out = choose_held_out(classes, config)
            images, others = split_images(dataset.images, kept, held_out)
        else:
            count = len(dataset.images) - dataset.held_out
            kept, held_out = [*range(count)], [*range(count, len(dataset.images))]
            images, others = dataset.images[:count], dataset.images[count:]
        labels, other_labels = (tuple(classes.labels[index] for index in indices) for indices in (kept, held_out))
        return cls(images, labels, others, other_labels, classes.names)


def choose_held_out(classes: Classes, config: TrainConfig) -> tuple[list[int], list[int]]:
    """Return the indices of the images to train on and of those to hold out, as the seed decides.

    At most half of a class is held out. Images of no class are in neither list.
    """
    images = [index for index, label in enumerate(classes.labels) if label != NO_CLASS]
    count = min(round(config.hold_back * len(images)), MAX_HELD_OUT_IMAGES)
    if len(images) < MIN_IMAGES_TO_HOLD_OUT or count < 2:
        return images, []
    sizes = Counter(classes.labels[index] for index in images)
    allowed = {label: size // 2 for label, size in sizes.items()}
    random = np.random.default_rng(fold(Purpose.HOLD_BACK, config.seed))
    held_out: list[int] = []
    for rank in random.permutation(len(images)).tolist():
        label = classes.labels[images[rank]]
        if len(held_out) < count and allowed[label] > 0:
            held_out.append(images[rank])
            allowed[label] -= 1
    return sorted(set(images) - set(held_out)), sorted(held_out)


def split_images(
    images: UInt8[Tensor, "n c h w"], kept: list[int], held_out: list[int]
) -> tuple[UInt8[Tensor, "t c h w"], UInt8[Tensor, "u c h w"]]:
    """Return the images with these indices, ``kept`` in ascending order.

    Works in the memory of ``images``, because a second copy of the set may not fit.
    """
    others = images[held_out]
    close_gaps(images, kept)
    return images[: len(kept)], others
