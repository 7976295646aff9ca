"""PNG files with damaged or huge metadata, and transparent colours that Pillow misreads.

Source: Portable Network Graphics Specification, third edition, sections 5.3 (chunks) and 11.3.1.1 (tRNS).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from handful.images.formats import UnusableError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

PIXEL_CHUNKS = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
"""Chunks that the pixels depend on; all others are metadata, or further frames of an animation."""

MAX_PROFILE_BYTES = 64 * 2**20

GREY, TRUE_COLOUR, GREY_AND_ALPHA = 0, 2, 4
"""Colour types."""

TRANSPARENCY = "transparency"
"""Key of the transparent colour in ``Image.info``."""


class Chunk(NamedTuple):
    """A chunk of a PNG file."""

    kind: bytes
    content: bytes
    whole: bytes
    """With its length, kind and checksum."""

    @property
    def is_intact(self) -> bool:
        """Whether the checksum is that of the content."""
        return zlib.crc32(self.kind + self.content) == int.from_bytes(self.whole[-4:], "big")


def open_png(data: bytes) -> Image.Image:
    """Open a PNG file, without its metadata if Pillow fails because of them.

    Raises:
        UnusableError: It is of a kind that is not read.
        Exception: Its pixels are damaged.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
    except Image.DecompressionBombError:
        raise
    except Exception:
        bare = without_metadata(data)
        if bare == data:
            raise
        image = Image.open(io.BytesIO(bare), formats=("PNG",))
        image.load()
        image.info.update(kept_metadata(data))
    bits, colour_type = data[24], data[25]
    correct_transparency(image, bits, colour_type)
    if (bits, colour_type) == (16, GREY_AND_ALPHA):  # Pillow makes RGBA of it, which a profile of grey does not fit
        image = image.convert("LA")
        image.format = "PNG"
    return image


def chunks_of(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG file, up to where it ends or breaks off."""
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        yield Chunk(kind, data[start + 8 : end - 4], data[start:end])
        start = end


def without_metadata(data: bytes) -> bytes:
    """Return a PNG file of the chunks that its pixels depend on."""
    return SIGNATURE + b"".join(chunk.whole for chunk in chunks_of(data) if chunk.kind in PIXEL_CHUNKS)


def kept_metadata(data: bytes) -> dict[str, bytes]:
    """Return the colour profile and the EXIF block of a PNG file, under Pillow's names, if they are intact."""
    kept = {}
    for chunk in chunks_of(data):
        if chunk.kind == b"eXIf" and chunk.is_intact:
            kept["exif"] = b"Exif\0\0" + chunk.content
        elif chunk.kind == b"iCCP" and chunk.is_intact:
            try:
                packed = chunk.content.partition(b"\0")[2][1:]
                kept["icc_profile"] = zlib.decompressobj().decompress(packed, MAX_PROFILE_BYTES)
            except zlib.error:
                continue
    return kept


def correct_transparency(image: Image.Image, bits: int, colour_type: int) -> None:
    """Give the transparent colour of a PNG, which has the bits of the file, those that the image has.

    Raises:
        UnusableError: It is a colour of 16 bits a sample, of which the image has only 8.
    """
    colour = image.info.get(TRANSPARENCY)
    if isinstance(colour, str):
        del image.info[TRANSPARENCY]  # a comment of that name
    elif colour is None or colour_type not in (GREY, TRUE_COLOUR):
        return
    elif colour_type == TRUE_COLOUR and bits == 16:
        raise UnusableError("PNG of 16-bit RGB with a transparent colour", "save it as RGBA")
    elif colour_type == GREY and 1 < bits < 8:
        image.info[TRANSPARENCY] = (colour & 2**bits - 1) * 255 // (2**bits - 1)
