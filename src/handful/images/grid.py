"""Image tensors as bytes, as Pillow images, as files, and side by side in a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from handful.files import replacing
from handful.images.mark import exif_mark, png_mark

PNG_LEVEL = 2
"""Compression level, 0 to 9. Compared with Pillow's 6, files are written three to five times as fast; they are 5 %
smaller at 256 px and 13 % larger at 1024 px."""

GAP_PIXELS = 2
"""White space between two images of a grid."""

CHECK_PIXELS = 8
"""Side of a square of the checkerboard."""


def to_bytes(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Map [-1, 1] to 0 to 255, rounding to nearest."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_bytes(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Map 0 to 255 to [-1, 1]."""
    return images / 127.5 - 1


def to_image(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """Convert a grey, RGB or premultiplied RGBA tensor to a Pillow image, whose RGBA is straight."""
    channels, height, width = image.shape
    data = image.permute(1, 2, 0).contiguous().cpu().numpy().tobytes()
    picture = Image.frombytes({1: "L", 3: "RGB", 4: "RGBa"}[channels], (width, height), data)
    return picture.convert("RGBA") if channels == 4 else picture


def write_webp(path: Path, image: Image.Image) -> None:
    """Write a lossless WebP file, atomically."""
    with replacing(path) as temporary:
        image.save(temporary, format="WEBP", lossless=True, exact=True, exif=exif_mark())


def write_png(path: Path, image: Image.Image) -> None:
    """Write a PNG file, atomically."""
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", compress_level=PNG_LEVEL, pnginfo=png_mark())


def grid(images: Sequence[UInt8[Tensor, "c h w"]], columns: int | None = None) -> Image.Image:
    """Lay out images of one size in rows, over a checkerboard where they are transparent.

    By default the grid is about square, with a number of columns that fills the last row best.
    """
    height, width = images[0].shape[1:]
    if columns is None:
        square = math.ceil(math.sqrt(len(images) * height / width))
        near = (square, *(count for count in (square + 1, square - 1) if 0 < count <= len(images)))
        columns = min(near, key=lambda count: -len(images) % count)
    rows = math.ceil(len(images) / columns)
    size = (columns * (width + GAP_PIXELS) - GAP_PIXELS, rows * (height + GAP_PIXELS) - GAP_PIXELS)
    sheet = Image.new("RGB", size, "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.paste(over_checkerboard(to_image(image)), (column * (width + GAP_PIXELS), row * (height + GAP_PIXELS)))
    return sheet


def over_checkerboard(picture: Image.Image) -> Image.Image:
    """Convert a picture to RGB, over a checkerboard where it is transparent."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(checkerboard(*picture.size), picture)
    return picture.convert("RGB")


def checkerboard(width: int, height: int) -> Image.Image:
    """Return an opaque RGBA checkerboard, the backdrop of transparent pictures."""
    rows, columns = np.arange(height)[:, None] // CHECK_PIXELS, np.arange(width) // CHECK_PIXELS
    return Image.fromarray(np.where((rows + columns) % 2, 255, 204).astype(np.uint8)).convert("RGBA")


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Join two pictures of the same height, with white space between them."""
    sheet = Image.new("RGB", (left.width + 8 * GAP_PIXELS + right.width, left.height), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + 8 * GAP_PIXELS, 0))
    return sheet
