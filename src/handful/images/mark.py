"""The mark in every picture and film that handful writes, by which training knows them again."""

from __future__ import annotations

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

MARK = "handful"
"""Name of the software, as PNG (tEXt), EXIF and GIF (comment) have it."""

KEY = "Software"


def png_mark() -> PngInfo:
    """Return the mark for a PNG."""
    info = PngInfo()
    info.add_text(KEY, MARK)
    return info


def exif_mark() -> Image.Exif:
    """Return the mark for a WebP."""
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = MARK
    return exif


def is_marked(image: Image.Image) -> bool:
    """Return whether an opened image has the mark."""
    match image.format:
        case "PNG":
            return bool(image.info.get(KEY) == MARK)
        case "GIF":
            return bool(image.info.get("comment") == MARK.encode())
        case "WEBP":
            try:
                return bool(image.getexif().get(ExifTags.Base.Software) == MARK)
            except Exception:  # As in decoding; the block may be damaged.
                return False
    return False
