"""Draw on pictures what the crop removes: on one at a time, and on a sheet of those that lose most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from handful.config.geometry import Geometry
from handful.data.checkup.examine import Checkup
from handful.data.dataset import map_in_threads
from handful.files import printable
from handful.images.decode import decode_picture
from handful.images.grid import checkerboard, write_png
from handful.images.sheet import TEXT_COLOUR, WARNING_COLOUR, shortened

SIDE_PIXELS = 180
"""Longer side of a picture."""

SHEET_PICTURES, SHEET_COLUMNS = 60, 8

GAP_PIXELS, LINE_PIXELS, FONT_PIXELS = 12, 18, 12

LITTLE_KEPT_SHARE = 0.6
"""Share of a picture up to which its caption is in the warning colour."""

VEIL = (255, 255, 255, 165)
"""Colour, with alpha, over the part that is removed."""


def write_sheet(path: Path, checkup: Checkup) -> None:
    """Write the sheet of a checkup as PNG, atomically."""
    write_png(path, sheet(checkup))


def sheet(checkup: Checkup) -> Image.Image:
    """Lay out the images that lose most to the crop, each with its name and the share that is kept."""
    chosen = checkup.kept_shares[:SHEET_PICTURES]
    pictures = draw_crops(checkup, [name for name, _ in chosen])
    columns = max(1, min(SHEET_COLUMNS, len(chosen)))
    rows = max(1, math.ceil(len(chosen) / columns))
    cell = SIDE_PIXELS + GAP_PIXELS, SIDE_PIXELS + 2 * LINE_PIXELS + GAP_PIXELS
    page = Image.new("RGB", (columns * cell[0] + GAP_PIXELS, rows * cell[1] + GAP_PIXELS), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(FONT_PIXELS)
    for index, ((name, share), picture) in enumerate(zip(chosen, pictures, strict=True)):
        row, column = divmod(index, columns)
        left, top = GAP_PIXELS + column * cell[0], GAP_PIXELS + row * cell[1]
        page.paste(picture, (left + (SIDE_PIXELS - picture.width) // 2, top + (SIDE_PIXELS - picture.height) // 2))
        below = top + SIDE_PIXELS + 3
        draw.text((left, below), shortened(printable(name), font, SIDE_PIXELS), TEXT_COLOUR, font)
        colour = TEXT_COLOUR if share > LITTLE_KEPT_SHARE else WARNING_COLOUR
        draw.text((left, below + LINE_PIXELS), f"{share:.0%} is kept", colour, font)
    return page


def draw_crops(checkup: Checkup, names: Sequence[str]) -> list[Image.Image]:
    """Read pictures again, small, and draw on each what the crop removes."""
    folder = checkup.folder

    def draw(name: str) -> Image.Image:
        picture = decode_picture(checkup.photos.read(Path(name)), SIDE_PIXELS, 4, folder.grey_bits)
        return draw_crop(picture.image, folder.geometry)

    return map_in_threads(draw, names)


def draw_crop(image: Image.Image, geometry: Geometry) -> Image.Image:
    """Draw on an RGBA picture what the crop removes. Large pictures are shrunk; small ones keep their size."""
    box = geometry.crop_box(image.size)
    scale = min(1.0, SIDE_PIXELS / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.LANCZOS)
    small = Image.alpha_composite(checkerboard(*size), small)
    if box == (0, 0, *image.size):
        return small.convert("RGB")
    left, top, right, bottom = (round(edge * scale) for edge in box)
    veil = Image.new("RGBA", size, VEIL)
    veil.paste((0, 0, 0, 0), (left, top, right, bottom))
    small = Image.alpha_composite(small, veil).convert("RGB")
    corners = (left, top, max(left, right - 1), max(top, bottom - 1))
    ImageDraw.Draw(small).rectangle(corners, outline=WARNING_COLOUR)
    return small
