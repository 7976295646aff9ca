"""Sheets of pictures in rows, with words under each picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from PIL import Image, ImageDraw, ImageFont

from handful.errors import UsageError
from handful.images.grid import over_checkerboard

INK, MARK = (40, 40, 40), (214, 40, 40)
"""Colours of words, and of those that warn."""


SMALLEST = 112
"""Pixels that a picture is wide at least, so that words fit below it; smaller ones have their pixels repeated."""


GAP, LINE, SIZE = 8, 15, 12


LARGEST = 300_000_000
"""Pixels of a sheet; a larger one takes more memory than most viewers have."""


@final
@dataclass(frozen=True)
class Cell:
    """A picture and what stands below it, at most two lines; either may be left out."""

    picture: Image.Image | None = None
    words: tuple[str, ...] = ()
    warns: bool = False
    """Whether the words are in the colour that warns."""


def sheet(rows: Sequence[Sequence[Cell]], size: tuple[int, int], most: int | None = None) -> Image.Image:
    """Lay out rows of pictures of one size, with more space after the first of each row.

    Args:
        rows: From top to bottom; what is transparent shows a checkerboard.
        size: Width and height of the pictures, in pixels.
        most: Pixels along a side, to which larger pictures are shrunk.

    Raises:
        UsageError: if the sheet would be too large.
    """
    width, height = shown_size(size, most)
    require_room(len(rows), max(map(len, rows)), size, most)
    down = [height * any(cell.picture for cell in row) + LINE * max(len(cell.words) for cell in row) for row in rows]
    across = width + GAP
    page = Image.new("RGB", (max(map(len, rows)) * across + 3 * GAP, sum(down) + (len(rows) + 1) * GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(SIZE)
    top = GAP
    for row, taken in zip(rows, down, strict=True):
        for column, cell in enumerate(row):
            left, below = GAP + column * across + 2 * GAP * (column > 0), top
            if cell.picture is not None:
                page.paste(shown(cell.picture, (width, height)), (left, top))
                below += height + 2
            for line, words in enumerate(cell.words):
                draw.text((left, below + line * LINE), shortened(words, font, width), MARK if cell.warns else INK, font)
        top += taken + GAP
    return page


def require_room(rows: int, columns: int, size: tuple[int, int], most: int | None = None) -> None:
    """Refuse a sheet that would be too large, before its pictures are drawn.

    Raises:
        UsageError: if it is.
    """
    width, height = shown_size(size, most)
    if rows * columns * width * height > LARGEST:
        raise UsageError(
            f"a sheet of {rows} rows and {columns} columns, of pictures of {width} x {height} px, is too large: "
            f"{LARGEST // (width * height)} pictures at most"
        )


def shown_size(size: tuple[int, int], most: int | None) -> tuple[int, int]:
    """Give the width and height at which pictures of a size stand on a sheet."""
    if most is not None and max(size) > most:
        return max(1, round(size[0] * most / max(size))), max(1, round(size[1] * most / max(size)))
    times = max(1, math.ceil(SMALLEST / size[0]))
    return size[0] * times, size[1] * times


def shown(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bring a picture to a size: by repeating pixels to a larger one, smoothly to a smaller one."""
    how = Image.Resampling.NEAREST if size[0] > picture.width else Image.Resampling.LANCZOS
    opaque = over_checkerboard(picture)
    return opaque if opaque.size == size else opaque.resize(size, how)


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Take letters out of the middle of a text until it is at most ``width`` pixels wide."""
    if font.getlength(text) <= width:
        return text
    half = len(text) // 2
    while half > 1 and font.getlength(f"{text[:half]}...{text[-half:]}") > width:
        half -= 1
    return f"{text[:half]}...{text[-half:]}"


def seed_or_name(name: str) -> str:
    """Say whose picture it is: a seed's, or what a latent file calls it."""
    return f"seed {name}" if name.isdigit() else name
