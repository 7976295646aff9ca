"""Inspect picture files: the header of each, and a small preview of the part that training sees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from handful.config.geometry import Geometry
from handful.config.sizes import Shape
from handful.data.checkup.bars import Bars, find_bars
from handful.data.photos import Photos, SkippedFile
from handful.data.reasons import MADE_HERE, skipped
from handful.data.survey import colour_and_transparency
from handful.images.colours import FULL_BITS
from handful.images.decode import Header, decode_picture, header

THUMBNAIL_PIXELS = 32
"""Side of the thumbnails that are compared: small enough to average out noise and compression."""

DETAIL_PIXELS = 128
"""Longer side of the image that is searched for bars, and shorter side that a JPEG is decoded to."""

MIN_BAR_SEARCH_PIXELS = 64
"""Shorter side below which bars cannot be told from a dark or bright edge."""


@dataclass(frozen=True)
class Preview:
    """What training sees of one picture, made small."""

    name: str
    thumbnail: UInt8[np.ndarray, "s s 4"]
    """Premultiplied RGBA, squashed to a square."""
    bars: Bars


@dataclass(frozen=True)
class InspectedFile:
    """What a check remembers of one file."""

    preview: Preview
    header: Header
    digest: bytes
    """SHA-256 of the file."""
    is_coloured: bool
    is_transparent: bool
    largest: int | None = None
    """See ``Picture``."""

    @property
    def name(self) -> str:
        """The path below the folder."""
        return self.preview.name

    @property
    def shape(self) -> Shape:
        """Height and width of the upright image."""
        return self.header.size[1], self.header.size[0]

    @property
    def size_text(self) -> str:
        """Width and height of the upright image, such as ``640 x 480``."""
        return " x ".join(map(str, self.header.size))


@dataclass(frozen=True)
class Folder:
    """All files of a folder, and the geometry that it would be trained in."""

    files: Sequence[InspectedFile]
    skipped: Sequence[SkippedFile]
    others: Sequence[Path]
    """Files that are not pictures."""
    geometry: Geometry
    grey_bits: int = FULL_BITS
    """Bits that 16-bit grey pictures use (see ``data.grey_bits``)."""
    passed_over: Sequence[SkippedFile] = ()
    """Folders that hold no training images."""

    def kept_share(self, file: InspectedFile) -> float:
        """Return the share of an image that the crop keeps."""
        return self.geometry.kept_share(file.header.size)

    def enlargement(self, file: InspectedFile) -> float:
        """Return the factor by which an image is enlarged, along the side that needs most."""
        left, top, right, bottom = self.geometry.crop_box(file.header.size)
        return max(self.geometry.shape[1] / (right - left), self.geometry.shape[0] / (bottom - top))


def inspect_file(photos: Photos, file: Path, geometry: Geometry, bits: int = FULL_BITS) -> InspectedFile | SkippedFile:
    """Inspect one file; a JPEG is decoded at a fraction of its size. ``bits`` is that of ``decode_picture``."""
    try:
        data = photos.read(file)
        if not data:
            return SkippedFile(file, "empty file")
        file_header = header(data)
        picture = decode_picture(data, DETAIL_PIXELS, 4, bits)
        if picture.is_marked:
            return SkippedFile(file, *MADE_HERE)
        image = picture.image
        cropped = image.crop(geometry.crop_box(image.size))
        is_coloured, is_transparent = colour_and_transparency(image)
    except Exception as error:  # A decoder can raise anything for damaged data; the other files are still inspected.
        return skipped(file, error)
    digest = hashlib.sha256(data).digest()
    preview = preview_of(file.as_posix(), cropped)
    return InspectedFile(preview, file_header, digest, is_coloured, is_transparent, picture.largest)


def preview_of(name: str, image: Image.Image) -> Preview:
    """Return the preview of a grey, RGB or RGBA image, and the bars along its edges."""
    premultiplied = image.convert("RGBA").convert("RGBa")
    scale = min(1, DETAIL_PIXELS / max(premultiplied.size))
    size = max(1, round(premultiplied.width * scale)), max(1, round(premultiplied.height * scale))
    detail = np.asarray(premultiplied.resize(size, Image.Resampling.BOX))
    is_searched = detail[..., 3].min() == 255 and min(size) >= MIN_BAR_SEARCH_PIXELS
    bars = find_bars(detail[..., :3]) if is_searched else Bars()
    side = (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)
    return Preview(name, np.asarray(premultiplied.resize(side, Image.Resampling.BOX)), bars)
