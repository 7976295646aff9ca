"""The folder of training images that samples are compared with."""

from __future__ import annotations

from pathlib import Path

from handful.compute.memory import max_compared_images
from handful.config.geometry import Geometry
from handful.config.sizes import spelled
from handful.data.dataset import Dataset, load_folder
from handful.errors import UsageError
from handful.files import printable
from handful.metrics.samples import Samples
from handful.metrics.wasserstein import SMALLEST_SIDE
from handful.progress import note

MIN_IMAGES = 10
"""With fewer, no score means anything."""


def load_images(folder: Path, geometry: Geometry) -> Dataset:
    """Load a folder to compare with, and name the files that cannot be read.

    Raises:
        UsageError: if it holds fewer than 10 images.
    """
    most = max_compared_images(geometry.bytes_per_image)
    dataset = load_folder(folder, geometry, f"reading {printable(folder)}", most, generated=True)
    if dataset.left_out:
        note(f"{printable(folder)}: comparing with {amount(dataset)}; more do not fit into memory or change little")
    for problem in dataset.skipped:
        note(f"skipped an image that cannot be read: {problem}")
    require_enough(len(dataset.images), printable(folder))
    return dataset


def amount(dataset: Dataset) -> str:
    """Return how many images are compared with, in words."""
    count = len(dataset.images)
    total = count + dataset.left_out
    return f"{count} of {total} images, evenly spaced," if dataset.left_out else f"all {count} images"


def require_scorable(samples: Samples) -> None:
    """Check that samples are many and large enough to be scored.

    Raises:
        UsageError: if they are fewer than 10, or smaller than 16 px.
    """
    require_enough(samples.count, samples.label)
    if min(samples.shape) < SMALLEST_SIDE:
        size = spelled(samples.shape)
        raise UsageError(
            f"{samples.label}: images of {size} px are too small to score; use at least {SMALLEST_SIDE} px"
        )


def require_enough(count: int, label: str) -> None:
    """Check that a set has images enough.

    Raises:
        UsageError: if there are fewer than 10.
    """
    if count < MIN_IMAGES:
        raise UsageError(f"{label}: has {count} images, but scores need at least {MIN_IMAGES}; add some")
