"""Sheets: rows of pictures with a caption under each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from PIL import Image, ImageDraw, ImageFont

from handful.errors import UsageError
from handful.images.grid import over_checkerboard

TEXT_COLOUR, WARNING_COLOUR = (40, 40, 40), (214, 40, 40)

MIN_WIDTH_PIXELS = 112
"""Narrower pictures are enlarged by repeating pixels, so that captions fit."""

GAP_PIXELS, LINE_PIXELS, FONT_PIXELS = 8, 15, 12

MAX_SHEET_PIXELS = 300_000_000
"""Most viewers cannot open larger sheets."""


@final
@dataclass(frozen=True)
class Cell:
    """A picture and a caption of at most two lines; either may be missing."""

    picture: Image.Image | None = None
    caption: tuple[str, ...] = ()
    is_warning: bool = False
    """Whether the caption is in the warning colour."""


def sheet(rows: Sequence[Sequence[Cell]], size: tuple[int, int], most: int | None = None) -> Image.Image:
    """Lay out rows of pictures of one size, with extra space after the first of each row.

    Args:
        rows: From top to bottom. Transparent pictures are shown over a checkerboard.
        size: Width and height of the pictures, in pixels.
        most: Larger pictures are shrunk to this many pixels along their longer side.

    Raises:
        UsageError: The sheet would be too large.
    """
    width, height = shown_size(size, most)
    check_sheet_size(len(rows), max(map(len, rows)), size, most)
    lines = [max(len(cell.caption) for cell in row) for row in rows]
    heights = [
        height * any(cell.picture for cell in row) + LINE_PIXELS * count for row, count in zip(rows, lines, strict=True)
    ]
    across = width + GAP_PIXELS
    size = max(map(len, rows)) * across + 3 * GAP_PIXELS, sum(heights) + (len(rows) + 1) * GAP_PIXELS
    page = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(FONT_PIXELS)
    top = GAP_PIXELS
    for row, row_height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            left, below = GAP_PIXELS + column * across + 2 * GAP_PIXELS * (column > 0), top
            if cell.picture is not None:
                page.paste(resized(cell.picture, (width, height)), (left, top))
                below += height + 2
            for line, text in enumerate(cell.caption):
                colour = WARNING_COLOUR if cell.is_warning else TEXT_COLOUR
                draw.text((left, below + line * LINE_PIXELS), shortened(text, font, width), colour, font)
        top += row_height + GAP_PIXELS
    return page


def check_sheet_size(rows: int, columns: int, size: tuple[int, int], most: int | None = None) -> None:
    """Check the size of a sheet before its pictures are drawn.

    Raises:
        UsageError: The sheet would be too large.
    """
    width, height = shown_size(size, most)
    if rows * columns * width * height > MAX_SHEET_PIXELS:
        raise UsageError(
            f"a sheet of {rows} rows and {columns} columns of {width} x {height} px is too large: ask for at most "
            f"{MAX_SHEET_PIXELS // (width * height)} pictures"
        )


def shown_size(size: tuple[int, int], most: int | None) -> tuple[int, int]:
    """Return the width and height at which a sheet shows pictures of a size."""
    if most is not None and max(size) > most:
        return max(1, round(size[0] * most / max(size))), max(1, round(size[1] * most / max(size)))
    times = max(1, math.ceil(MIN_WIDTH_PIXELS / size[0]))
    return size[0] * times, size[1] * times


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize a picture: enlarge by repeating pixels, shrink with antialiasing."""
    method = Image.Resampling.NEAREST if size[0] > picture.width else Image.Resampling.LANCZOS
    opaque = over_checkerboard(picture)
    return opaque if opaque.size == size else opaque.resize(size, method)


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Replace the middle of a text by dots so that it is at most ``width`` pixels wide."""
    if font.getlength(text) <= width:
        return text
    half = len(text) // 2
    while half > 1 and font.getlength(f"{text[:half]}...{text[-half:]}") > width:
        half -= 1
    return f"{text[:half]}...{text[-half:]}"


def seed_or_name(name: str) -> str:
    """Return the caption of a picture by its name: that of a latent file, or a seed."""
    return f"seed {name}" if name.isdigit() else name
