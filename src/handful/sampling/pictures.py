"""Pictures as they leave the generator: as bytes, and as a list that a notebook shows."""

from __future__ import annotations

from io import BytesIO
from typing import final

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from handful.errors import UsageError
from handful.images.grid import grid, to_bytes, to_image

LARGEST_SHOWN = 1024
"""Pixels along a side of the grid that a notebook shows, at most."""


@final
class Pictures(list[Image.Image]):
    """Pillow images, one for each that was drawn. As the result of a notebook cell they show themselves as a grid."""

    def __init__(self, drawn: UInt8[Tensor, "n c h w"]) -> None:
        super().__init__(to_image(image) for image in drawn)
        self.drawn = drawn

    def grid(self, columns: int | None = None) -> Image.Image:
        """Lay the pictures out in rows; transparent ones over a checkerboard."""
        return grid(list(self.drawn), columns)

    def _repr_png_(self) -> bytes:
        return shown_png(self.grid())


def shown_png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file, shrunk to what a notebook can show."""
    small = picture.copy()
    small.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN))
    file = BytesIO()
    small.save(file, format="PNG")
    return file.getvalue()


def finished(images: Float[Tensor, "b c h w"], name: str) -> UInt8[Tensor, "b c h w"]:
    """Return images in [-1, 1] as bytes on the CPU; ``name`` is that of the first one.

    Raises:
        UsageError: if they are not finite.
    """
    if not images.isfinite().all():
        raise UsageError(f"seed {name}: the image is not finite, so the model is damaged; use another checkpoint")
    return to_bytes(images).cpu()
