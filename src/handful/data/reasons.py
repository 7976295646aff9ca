"""Why a file is skipped, in words for users."""

from __future__ import annotations

import zipfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from handful.data.photos import SkippedFile
from handful.files import printable
from handful.images.formats import UnusableError

MADE_HERE = "made by handful", "generated pictures are never trained on"
"""The reason and the remedy for a picture that handful wrote."""


def skipped(file: Path, error: Exception) -> SkippedFile:
    """Return, in plain words, why a file could not be used."""
    if isinstance(error, UnusableError):
        return SkippedFile(file, error.reason, error.remedy)
    return SkippedFile(file, explain(error))


def explain(error: Exception) -> str:
    """Return, in plain words, why a file could not be used."""
    match error:
        case UnidentifiedImageError():
            return "not an image Pillow can read"
        case Image.DecompressionBombError():
            return "too many pixels for Pillow: make it smaller"
        case MemoryError():
            return "not enough memory to decode it"
        case OSError(strerror=str(reason)):
            return reason.lower()
        case zipfile.BadZipFile():
            return "damaged in the archive"
        case NotImplementedError():
            return "compressed in a way that Python cannot unpack: create the archive again"
    reason = str(error) or type(error).__name__
    return "truncated" if "truncated" in reason.lower() else f"damaged ({printable(reason)})"
