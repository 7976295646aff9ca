"""Sheets of pictures in rows, with words under each picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from PIL import Image, ImageDraw, ImageFont

from handful.errors import UsageError
from handful.images import over_checkerboard

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
    lines = max((len(cell.words) for row in rows for cell in row), default=0)
    across, down = width + GAP, height + lines * LINE + GAP
    whole = max(map(len, rows)) * across + 3 * GAP, len(rows) * down + GAP
    if math.prod(whole) > LARGEST:
        raise UsageError(f"a sheet of {len(rows)} rows, {whole[0]} x {whole[1]} px, is too large; ask for fewer")
    page = Image.new("RGB", whole, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(SIZE)
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            left, top = GAP + column * across + 2 * GAP * (column > 0), GAP + index * down
            if cell.picture is not None:
                page.paste(shown(cell.picture, (width, height)), (left, top))
            for line, words in enumerate(cell.words):
                place = left, top + height + 2 + line * LINE
                draw.text(place, shortened(words, font, width), MARK if cell.warns else INK, font)
    return page


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
