"""Pictures with what the crop takes away drawn on them: one at a time, and as a sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from handful.config.choices import Fit
from handful.config.sizes import Shape
from handful.data.checkup.examine import Checkup
from handful.data.dataset import at_once
from handful.data.photos import Photos
from handful.files import readable
from handful.images.decode import decode, kept
from handful.images.grid import checkerboard, write_png
from handful.images.sheet import INK, MARK, shortened

SIDE = 180
"""Pixels of the longer side of a picture."""


MOST = 60
"""Pictures on a sheet."""


GAP, LINE = 12, 18


COLUMNS = 8


LOST = (255, 255, 255, 165)
"""What lies over the part that is cut away."""


def write_sheet(path: Path, checkup: Checkup) -> None:
    """Write a sheet as PNG, whole or not at all."""
    write_png(path, sheet(checkup))


def sheet(checkup: Checkup) -> Image.Image:
    """Lay out the images that lose most, those that lose more first, each with its name and the share that is kept."""
    chosen = checkup.by_loss[:MOST]
    folder = checkup.folder
    pictures = cuts(checkup.photos, [name for name, _ in chosen], folder.shape, folder.fit)
    columns = max(1, min(COLUMNS, len(chosen)))
    rows = max(1, math.ceil(len(chosen) / columns))
    cell = SIDE + GAP, SIDE + 2 * LINE + GAP
    page = Image.new("RGB", (columns * cell[0] + GAP, rows * cell[1] + GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(12)
    for index, ((name, share), picture) in enumerate(zip(chosen, pictures, strict=True)):
        row, column = divmod(index, columns)
        left, top = GAP + column * cell[0], GAP + row * cell[1]
        page.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
        draw.text((left, top + SIDE + 3), shortened(readable(name), font, SIDE), INK, font)
        draw.text((left, top + SIDE + 3 + LINE), f"{share:.0%} is kept", INK if share > 0.6 else MARK, font)
    return page


def cuts(photos: Photos, names: Sequence[str], shape: Shape, fit: Fit) -> list[Image.Image]:
    """Read pictures again, small, and draw on each what is cut away."""
    return at_once(lambda name: cut(decode(photos.read(Path(name)), SIDE, 4), shape, fit), names, None)


def cut(image: Image.Image, shape: Shape, fit: Fit) -> Image.Image:
    """Draw on an RGBA picture what the crop to a shape takes away; a small one is not enlarged."""
    box = kept(image.size, shape, fit)
    scale = min(1.0, SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.LANCZOS)
    small = Image.alpha_composite(checkerboard(*size), small)
    if box == (0, 0, *image.size):
        return small.convert("RGB")
    left, top, right, bottom = (round(edge * scale) for edge in box)
    veil = Image.new("RGBA", size, LOST)
    veil.paste((0, 0, 0, 0), (left, top, right, bottom))
    small = Image.alpha_composite(small, veil).convert("RGB")
    ImageDraw.Draw(small).rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=MARK)
    return small
