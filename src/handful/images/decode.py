"""One picture file at a time: bytes to an upright image of the size and the channels that are wanted."""

from __future__ import annotations

import io
from dataclasses import dataclass
from io import BufferedIOBase
from typing import IO, cast

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms

from handful.config.choices import Channels, Fit
from handful.config.sizes import Shape

# The decoders that may see a file, whatever its name says. Pillow has more, one of which (EPS) starts another program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


# What undoes each EXIF orientation. ImageOps.exif_transpose also rewrites the EXIF block, and so fails where a tag that
# has nothing to do with it is corrupt.
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
    """A picture was understood, and there is no right way to use it. The message is the reason shown."""


@dataclass(frozen=True)
class Header:
    """What a picture file says of itself."""

    format: str
    mode: str
    """As Pillow names them: RGB, CMYK, I;16 and others."""
    size: tuple[int, int]
    """Width and height, the right way up."""
    turned: bool
    """Whether the pixels are stored on their side, upside down or mirrored."""
    several: bool
    """Whether there are frames, or pages, after the first."""


def decode(data: bytes, least: int, channels: Channels = 3) -> Image.Image:
    """Decode the bytes of a picture file to L, RGB or RGBA, upright; its first frame where it has several.

    A JPEG much larger than ``least`` pixels comes out reduced, with its shorter side still longer than that.

    Raises:
        Exception: Nearly anything, for a damaged file: OSError, SyntaxError, struct.error, zlib.error and more.
    """
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.draft(None, (least, least))
        image.load()
        upright = _in_srgb(_turned_upright(image))
    if channels == 4:
        return to_rgba(upright)
    return to_rgb(upright).convert("L") if channels == 1 else to_rgb(upright)


def upright_size(file: BufferedIOBase) -> tuple[int, int]:
    """Read the width and height that a picture file has when it is the right way up, without decoding it.

    Raises:
        Exception: as ``decode``.
    """
    with Image.open(cast(IO[bytes], file), formats=_FORMATS) as image:
        return _upright(image)


def header(data: bytes) -> Header:
    """Read what the bytes of a picture file say of it, without decoding them.

    Raises:
        Exception: as ``decode``.
    """
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        mode, size, turned = image.mode, _upright(image), _orientation(image) in _UPRIGHT
        # A phone keeps more than one picture in a JPEG: a preview, or how bright the first can be.
        several = image.format in ("AVIF", "GIF", "PNG", "TIFF", "WEBP") and getattr(image, "is_animated", False)
        return Header(image.format or "", mode, size, turned, several)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, over white where it is transparent.

    Raises:
        ValueError: Grey values go beyond 0 to 65535 (integers) or 0 to 1 (floating point): what white is, is not known.
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
    """Convert an image of any mode to RGBA, opaque where it has no transparency.

    Raises:
        ValueError: as ``to_rgb``.
    """
    if not image.has_transparency_data or image.mode.startswith("I"):
        return to_rgb(image).convert("RGBA")
    # Pillow has no way from premultiplied grey to RGBA, and would drop its alpha without a word.
    return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")


def resize(image: Image.Image, shape: Shape, fit: Fit) -> UInt8[np.ndarray, "c h w"]:
    """Resample an L, RGB or RGBA image to a height and width, antialiased (Lanczos); RGBA comes out premultiplied."""
    if image.mode == "RGBA":
        image = image.convert("RGBa")
    resized = image.resize((shape[1], shape[0]), Image.Resampling.LANCZOS, box=kept(image.size, shape, fit))
    pixels = np.asarray(resized)
    if image.mode == "RGBa":
        pixels = np.minimum(pixels, pixels[..., 3:])  # Lanczos overshoots, also beyond alpha
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def kept(size: tuple[int, int], shape: Shape, fit: Fit) -> tuple[int, int, int, int]:
    """Say what is kept of an image of a size (width, height): left, top, right and bottom, in whole pixels.

    Half a pixel of shift would blur a picture that has the right height already.
    """
    width, height = size
    if fit == "squash":
        return 0, 0, width, height
    across = min(width, max(1, round(height * shape[1] / shape[0])))
    down = min(height, max(1, round(width * shape[0] / shape[1])))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def _turned_upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation of a loaded image."""
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _upright(image: Image.Image) -> tuple[int, int]:
    """Give the width and height of an image as it is to be looked at."""
    return image.size[::-1] if _orientation(image) in (5, 6, 7, 8) else image.size


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; a block that cannot be parsed says nothing."""
    if image.format == "PNG" and "exif" not in image.info:
        # Pillow would decode all pixels, to look for a block behind them; where they are decoded, it is in ``info``.
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # As in decoding: SyntaxError, struct.error and others, and the pixels are not to blame.
        return 1
    return orientation if isinstance(orientation, int) else 1


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert colours by the profile that an RGB or CMYK image carries; phones write Display P3, print shops CMYK.

    A profile that cannot be parsed, or is for another mode than the pixels have, says nothing.
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
    # The PNG chunk tRNS names one grey value as transparent.
    grey[values == image.info.get("transparency")] = 255
    return Image.fromarray(grey.astype(np.uint8))
