"""Images of any mode as 8-bit grey, RGB or RGBA in sRGB, by the colour profile that they carry."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from handful.images.formats import UnusableError

FULL_BITS = 16

UNUSED_BITS = (8, 10, 12, 14)
"""Numbers of bits that values of 16 bits may really have: cameras and microscopes often leave the others empty."""


def to_rgb(image: Image.Image, bits: int = FULL_BITS) -> Image.Image:
    """Convert an image of any mode to RGB, with transparency over white.

    Args:
        image: Without a colour profile, or in sRGB.
        bits: Of the values of 16-bit and 32-bit grey; white is 2^bits - 1.

    Raises:
        UnusableError: Grey values exceed 0 to 65535 (integers) or 0 to 1 (floating point), so white is unknown.
    """
    if is_deep(image):
        image = grey_in_8_bits(image, bits)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = to_rgba(image)
    result = Image.new("RGB", image.size, "white")
    result.paste(layer, mask=layer)
    return result


def to_rgba(image: Image.Image, bits: int = FULL_BITS) -> Image.Image:
    """Convert an image of any mode to RGBA; opaque if it has no transparency.

    Raises:
        UnusableError: as ``to_rgb``.
    """
    if is_deep(image):
        image = grey_in_8_bits(image, bits)
    if not image.has_transparency_data:
        return to_rgb(image).convert("RGBA")
    # Pillow cannot convert premultiplied grey to RGBA, and drops its alpha silently.
    return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert an 8-bit image to sRGB by its embedded profile; phones write Display P3, print shops CMYK.

    Transparency stays. A profile that cannot be parsed, or that does not match the pixels, is ignored.
    """
    profile = image.info.get("icc_profile")
    if not profile or image.mode in ("1", "LAB", "HSV") or is_deep(image):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode in ("RGB", "CMYK", "L") and not image.has_transparency_data:
            return transformed(image, source)
        is_grey = image.mode in ("L", "LA", "La")
        if (source.profile.xcolor_space.strip() == "GRAY") != is_grey:
            return image
        layer = to_rgba(image)
        colours = transformed(layer.convert("RGB").convert("L" if is_grey else "RGB"), source)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image
    if image.has_transparency_data:
        colours.putalpha(layer.getchannel("A"))
    return colours


def transformed(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    """Convert an image from a profile to RGB in sRGB."""
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # None only of a conversion in place
    return converted


def is_deep(image: Image.Image) -> bool:
    """Return whether an image is grey of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def largest_value(image: Image.Image) -> int | None:
    """Return the largest value of an image of 16-bit or 32-bit grey integers; None for any other."""
    return int(np.asarray(image).max()) if image.mode.startswith("I") else None


def bits_of(largest: int) -> int:
    """Return the number of bits that values up to ``largest`` have, as cameras count them: 8, 10, 12, 14 or 16."""
    return next((bits for bits in UNUSED_BITS if 0 < largest < 2**bits), FULL_BITS)


def grey_in_8_bits(image: Image.Image, bits: int = FULL_BITS) -> Image.Image:
    """Scale 16-bit, 32-bit and floating-point grey to 8 bits: mode L, or LA if a grey value is transparent.

    Pillow's own conversion clips at 255 instead.
    """
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        # Written so that NaN fails too.
        if not (low >= 0 and high <= 1):
            raise UnusableError(f"floating-point values from {low:g} to {high:g}", "scale them to 0 to 1")
        result = Image.fromarray((values * 255).round().astype(np.uint8))
    else:
        if low < 0 or high > 65535:
            raise UnusableError(f"grey values from {low} to {high}", "scale them to 0 to 65535")
        result = Image.fromarray(rounded_to_8_bits(values, bits))
    transparent = image.info.get("transparency")  # of a PNG
    if transparent is not None and image.mode != "F":
        result.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    if "icc_profile" in image.info:
        result.info["icc_profile"] = image.info["icc_profile"]
    return result


def rounded_to_8_bits(values: np.ndarray, bits: int) -> UInt8[np.ndarray, "h w"]:
    """Map 0 to 2^bits - 1 to 0 to 255, rounded to nearest."""
    if bits == FULL_BITS:
        grey = (values.astype(np.int32) + 128) // 257
    else:
        grey = (values.astype(np.int32) * 255 + 2 ** (bits - 1)) // (2**bits - 1)
    return np.minimum(grey, 255).astype(np.uint8)
