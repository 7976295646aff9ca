"""Decode one picture file: from bytes to an upright image of the wanted size and channels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from io import BufferedIOBase
from typing import IO, cast

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms

from handful.config.choices import Channels
from handful.config.geometry import Geometry

# The only decoders that are given a file, whatever its name. Pillow has others, one of which (EPS) starts a program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

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


class UnusableError(ValueError):
    """A picture can be decoded but not used. The message is the reason that users see."""


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


def decode(data: bytes, least: int, channels: Channels = 3) -> Image.Image:
    """Decode the first frame of a picture file to an upright L, RGB or RGBA image.

    A JPEG much larger than ``least`` pixels may be decoded at a reduced size, with both sides at least ``least``.

    Raises:
        Exception: The file is damaged: OSError, SyntaxError, struct.error, zlib.error and nearly anything else.
    """
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.draft(None, (least, least))
        image.load()
        upright = _in_srgb(_turned_upright(image))
    if channels == 4:
        return to_rgba(upright)
    return to_rgb(upright).convert("L") if channels == 1 else to_rgb(upright)


def upright_size(file: BufferedIOBase) -> tuple[int, int]:
    """Read the width and height of the upright image in a picture file, without decoding it.

    Raises:
        Exception: as ``decode``.
    """
    with Image.open(cast(IO[bytes], file), formats=_FORMATS) as image:
        return _upright(image)


def header(data: bytes) -> Header:
    """Read the header of a picture file, without decoding the pixels.

    Raises:
        Exception: as ``decode``.
    """
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        # A JPEG from a phone holds further pictures, such as a preview or a gain map, which are not frames.
        has_frames = image.format in ("AVIF", "GIF", "PNG", "TIFF", "WEBP") and getattr(image, "is_animated", False)
        is_rotated = _orientation(image) in _UPRIGHT
        return Header(image.format or "", image.mode, _upright(image), is_rotated, has_frames)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, with transparency over white.

    Raises:
        UnusableError: Grey values exceed 0 to 65535 (integers) or 0 to 1 (floating point), so white is unknown.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        image = _grey_in_8_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = to_rgba(image)
    result = Image.new("RGB", image.size, "white")
    result.paste(layer, mask=layer)
    return result


def to_rgba(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGBA; opaque if it has no transparency.

    Raises:
        UnusableError: as ``to_rgb``.
    """
    if not image.has_transparency_data or image.mode.startswith("I"):
        return to_rgb(image).convert("RGBA")
    # Pillow cannot convert premultiplied grey to RGBA, and drops its alpha silently.
    return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")


def resize(image: Image.Image, geometry: Geometry) -> UInt8[np.ndarray, "c h w"]:
    """Fit an L, RGB or RGBA image into a geometry, antialiased (Lanczos). RGBA comes out premultiplied."""
    if image.mode == "RGBA":
        image = image.convert("RGBa")
    height, width = geometry.shape
    resized = image.resize((width, height), Image.Resampling.LANCZOS, box=geometry.crop_box(image.size))
    pixels = np.asarray(resized)
    if image.mode == "RGBa":
        pixels = np.minimum(pixels, pixels[..., 3:])  # Lanczos overshoots, also beyond alpha
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


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


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert an RGB or CMYK image to sRGB by its embedded profile; phones write Display P3, print shops CMYK.

    A profile that cannot be parsed, or that does not match the mode of the pixels, is ignored.
    """
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image
    return converted if converted is not None else image


def _grey_in_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point grey to 8 bits; Pillow's own conversion clips it to 255 instead."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        # Written so that NaN fails too.
        if not (low >= 0 and high <= 1):
            raise UnusableError(f"floating-point values from {low:g} to {high:g}: scale them to 0 to 1")
        return Image.fromarray((values * 255).round().astype(np.uint8))
    if low < 0 or high > 65535:
        raise UnusableError(f"grey values from {low} to {high}: scale them to 0 to 65535")
    grey = (values.astype(np.int32) + 128) // 257  # value * 255 / 65535, rounded
    # The PNG chunk tRNS declares one grey value transparent.
    grey[values == image.info.get("transparency")] = 255
    return Image.fromarray(grey.astype(np.uint8))
