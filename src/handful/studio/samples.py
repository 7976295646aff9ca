"""The sample grids that a run writes as it trains, made small for a page. Imports no torch."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from handful.errors import UsageError
from handful.files import printable
from handful.records.run_folder import RunFolder
from handful.studio.places import inside

MAX_SIDE = 2_048
"""Pixels of a sample grid that is asked for, at most."""

MAX_PIXELS = 100_000_000
"""Of a file. Grids of ours are smaller; one of a stranger's could fill the memory."""


def sample(run: RunFolder, step: int, width: int) -> bytes:
    """Return the sample grid of a step as PNG, shrunk to a width.

    Raises:
        UsageError: There is none.
    """
    path = run.samples.get(step)
    if path is None or not inside(run.folder, path):
        raise UsageError(f"step {step}: has no pictures")
    return shrunk(path, path.stat().st_mtime_ns, min(width, MAX_SIDE))


@lru_cache(maxsize=128)
def shrunk(path: Path, changed: int, width: int) -> bytes:
    """Return a picture file as PNG, no wider than so many pixels; ``changed`` renews what is remembered.

    Raises:
        UsageError: It is no PNG file, damaged, or too large.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UsageError(f"{printable(path.name)}: has more than {MAX_PIXELS:,} pixels")
            if image.width <= width:
                return path.read_bytes()
            image.thumbnail((width, 10 * width))
            return png(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{printable(path.name)}: cannot be read as a picture") from error


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    file = BytesIO()
    image.save(file, format="PNG", compress_level=2)
    return file.getvalue()
