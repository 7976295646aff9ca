"""Pictures for tests of what is read from files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from handful.config.geometry import Geometry
from handful.data.dataset import Dataset

SMALL = Geometry((8, 8))
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def paint(path: Path, colour=RED, size=(16, 16), mode="RGB", **options) -> Path:
    """Write a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Draw a picture of random pixels."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def pixel(dataset: Dataset, name: str, x: int = 0, y: int = 0) -> tuple[int, ...]:
    """Return one pixel of an image of a dataset."""
    return tuple(dataset.images[dataset.names.index(name), :, y, x].tolist())


def reasons(dataset: Dataset) -> dict[str, str]:
    """Return why each skipped file was skipped."""
    return {file.path.as_posix(): file.why for file in dataset.skipped}


def picture(colour=RED, size=(24, 16), form="PNG") -> bytes:
    """Return the bytes of a picture file."""
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, form)
    return data.getvalue()
