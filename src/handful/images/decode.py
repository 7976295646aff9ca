"""Decode one picture file: from bytes to an upright image of the wanted size and channels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from io import BufferedIOBase
from typing import IO, cast

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from handful.config.choices import Channels
from handful.config.geometry import Geometry
from handful.images import colours
from handful.images.formats import DECODERS, HEAD_BYTES, UnusableError, kind_of
from handful.images.mark import is_marked
from handful.images.png import open_png
from handful.images.quiet import silence_decoders
from handful.images.tiff import DECLARED_BITS, open_tiff

FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}

# The operation that undoes each EXIF orientation. ImageOps.exif_transpose also rewrites the EXIF block, and so fails if
# an unrelated tag is corrupt.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Header:
    """What the header of a picture file says."""

    format: str
    mode: str
    """Pillow's name for the kind of pixels: RGB, CMYK, I;16 and others."""
    size: tuple[int, int]
    """Width and height of the upright image."""
    is_rotated: bool
    """Whether the pixels are stored on their side, upside down or mirrored."""
    has_frames: bool
    """Whether there is more than one frame or page."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    image: Image.Image
    """Upright, of mode L, RGB or RGBA, in sRGB."""
    largest: int | None = None
    """Largest value of 16-bit grey whose file does not say how many bits it uses; None for any other picture."""
    is_marked: bool = False
    """Whether handful wrote the file."""


def decode(data: bytes, least: int, channels: Channels = 3) -> Image.Image:
    """Return the image of ``decode_picture``."""
    return decode_picture(data, least, channels).image


def decode_picture(data: bytes, least: int, channels: Channels, bits: int = colours.FULL_BITS) -> Picture:
    """Decode the first frame of a picture file.

    A JPEG much larger than ``least`` pixels may be decoded at a reduced size, with both sides at least ``least``.

    Args:
        data: The file.
        least: Pixels that a side must keep.
        channels: 1: L, 3: RGB, 4: RGBA.
        bits: Of 16-bit grey whose file does not say how many bits it uses.

    Raises:
        UnusableError: The file is no picture, or of a kind that is not read.
        Exception: The file is damaged: OSError, SyntaxError, struct.error, zlib.error and nearly anything else.
    """
    with _open(data) as image:
        image.draft(None, (least, least))
        image.load()
        marked = is_marked(image)
        upright = _turned_upright(image)
    is_declared = DECLARED_BITS in image.info
    largest = None if is_declared else colours.largest_value(upright)
    if colours.is_deep(upright):
        upright = colours.grey_in_8_bits(upright, colours.FULL_BITS if is_declared else bits)
    upright = colours.to_srgb(upright)
    if channels == 4:
        return Picture(colours.to_rgba(upright), largest, marked)
    rgb = colours.to_rgb(upright)
    return Picture(rgb.convert("L") if channels == 1 else rgb, largest, marked)


def upright_size(file: BufferedIOBase) -> tuple[int, int]:
    """Read the width and height of the upright image in a picture file, without decoding it.

    Raises:
        Exception: as ``decode_picture``.
    """
    with _open_header(file) as image:
        return _upright(image)


def header(data: bytes) -> Header:
    """Read the header of a picture file, without decoding the pixels.

    Raises:
        Exception: as ``decode_picture``.
    """
    with _open_header(io.BytesIO(data)) as image:
        # A JPEG from a phone holds further pictures, such as a preview or a gain map, which are not frames.
        has_frames = image.format in ("AVIF", "GIF", "PNG", "TIFF", "WEBP") and getattr(image, "is_animated", False)
        is_rotated = _orientation(image) in _UPRIGHT
        return Header(image.format or "", image.mode, _upright(image), is_rotated, has_frames)


def resize(image: Image.Image, geometry: Geometry) -> UInt8[np.ndarray, "c h w"]:
    """Fit an L, RGB or RGBA image into a geometry, antialiased. RGBA comes out premultiplied."""
    if image.mode == "RGBA":
        image = image.convert("RGBa")
    height, width = geometry.shape
    resized = image.resize((width, height), FILTERS[geometry.filter], box=geometry.crop_box(image.size))
    pixels = np.asarray(resized)
    if image.mode == "RGBa":
        pixels = np.minimum(pixels, pixels[..., 3:])  # Lanczos overshoots, also beyond alpha
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _open(data: bytes) -> Image.Image:
    """Open a picture file by its kind. The pixels may not have been decoded yet."""
    silence_decoders()
    kind = kind_of(data[:HEAD_BYTES])
    if kind is None:
        return Image.open(io.BytesIO(data), formats=DECODERS)
    kind.require_readable()
    assert kind.decoder is not None
    try:
        match kind.decoder:
            case "PNG":
                return open_png(data)
            case "TIFF":
                return open_tiff(data)
        return Image.open(io.BytesIO(data), formats=(kind.decoder,))
    except UnidentifiedImageError:
        raise UnusableError(f"damaged {kind.name}") from None


def _open_header(file: BufferedIOBase) -> Image.Image:
    """Open a picture file without decoding it, where Pillow can."""
    silence_decoders()
    try:
        return Image.open(cast(IO[bytes], file), formats=DECODERS)
    except Image.DecompressionBombError:
        raise
    except Exception:
        file.seek(0)
        return _open(file.read())


def _turned_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation of a loaded image."""
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _upright(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of an image once it is upright."""
    return image.size[::-1] if _orientation(image) in (5, 6, 7, 8) else image.size


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 if the block is missing or cannot be parsed."""
    if image.format == "PNG" and "exif" not in image.info:
        # Pillow would decode all pixels to look for a block behind them. Once they are decoded, it is in ``info``.
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # As in decoding: SyntaxError, struct.error and others. The pixels may still be intact.
        return 1
    return orientation if isinstance(orientation, int) else 1
