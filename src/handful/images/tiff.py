"""TIFF files that Pillow refuses or misreads, such as those of microscopes and X-ray machines.

Pillow 13 takes 12-bit grey for nearly black, WhiteIsZero in 16 bits for a negative and uncompressed planes of 16 bits
for noise; it does not open 10 and 14 bits. Source: TIFF 6.0 (Adobe 1992), sections 8 and 14.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImagePalette, TiffImagePlugin
from PIL.TiffTags import TAGS_V2

from handful.images.formats import RAW, UnusableError

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
"""Values of the tag PhotometricInterpretation."""

RAW_PHOTOMETRIC = (32803, 34892)

UNSIGNED, FLOATING_POINT = 1, 3
"""Values of the tag SampleFormat."""

UNCOMPRESSED, DEFLATE = (1,), (8, 32946)
"""Values of the tag Compression."""

DIFFERENCES = 2
"""Value of the tag Predictor."""

PREMULTIPLIED, STRAIGHT = 1, 2
"""Values of the tag ExtraSamples."""

DNG_VERSION, NEW_SUBFILE_TYPE = 50706, 254

SAVE_AS = "if it is not damaged, save it as 8- or 16-bit grey or RGB"

DECLARED_BITS = "bits"
"""Key in ``Image.info`` of a grey picture whose file says that its values have fewer than 16 bits."""


@dataclass(frozen=True)
class Page:
    """The first page of a TIFF file, as its tags describe it."""

    data: bytes
    tags: Mapping[int, Any]
    byte_order: str
    has_more: bool
    """Whether there are further pages."""

    @classmethod
    def of(cls, data: bytes) -> Page:
        """Read the tags.

        Raises:
            Exception: The file is damaged.
        """
        file = io.BytesIO(data)
        directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if data[2:4] in (b"\x2b\0", b"\0\x2b") else 8))
        file.seek(directory.next)
        directory.load(file)
        return cls(data, directory, "<" if data.startswith(b"II") else ">", directory.next != 0)

    def tag(self, name: str, default: int) -> int:
        """Return a tag of one number."""
        value = self.numbers(name)
        return value[0] if value else default

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return a tag of any count of numbers; empty if it is missing."""
        value = self.tags.get(NUMBERS[name], ())
        return value if isinstance(value, tuple) else (value,)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.tag("ImageWidth", 0), self.tag("ImageLength", 0)

    @property
    def samples(self) -> int:
        """Samples of a pixel."""
        return self.tag("SamplesPerPixel", 1)

    @property
    def bits(self) -> int:
        """Bits of a sample; 0 if samples differ."""
        bits = set(self.numbers("BitsPerSample") or (1,))
        return bits.pop() if len(bits) == 1 else 0

    @property
    def photometric(self) -> int:
        """What the samples mean."""
        return self.tag("PhotometricInterpretation", WHITE_IS_ZERO)

    @property
    def in_planes(self) -> bool:
        """Whether the samples of all pixels are stored one after the other."""
        return self.tag("PlanarConfiguration", 1) == 2 and self.samples > 1

    @property
    def is_compressed(self) -> bool:
        """Whether the samples are compressed."""
        return self.tag("Compression", 1) not in UNCOMPRESSED

    @property
    def colours(self) -> int:
        """Samples of a pixel without the extra ones."""
        return {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3}.get(self.photometric, 0)

    @property
    def description(self) -> str:
        """What kind of TIFF this is, for messages."""
        numbers = "floating-point " * (self.tag("SampleFormat", UNSIGNED) == FLOATING_POINT)
        kind = {WHITE_IS_ZERO: "grey", BLACK_IS_ZERO: "grey", RGB: "RGB", PALETTE: "palette"}.get(self.photometric)
        words = [f"TIFF of {self.bits or 'mixed'}-bit {numbers}{kind or f'kind {self.photometric}'}"]
        if self.samples > max(1, self.colours):
            words.append(f"{self.samples} samples a pixel")
        if self.is_compressed:
            number = self.tag("Compression", 1)
            words.append(f"compressed ({TiffImagePlugin.COMPRESSION_INFO.get(number, number)})")
        words += ["in planes"] * self.in_planes + ["in tiles"] * ("TileOffsets" in self)
        return ", ".join(words)

    def __contains__(self, name: str) -> bool:
        return NUMBERS[name] in self.tags

    def is_camera_raw(self) -> bool:
        """Return whether this is a raw photo, or a preview of one."""
        is_preview = bool(self.tags.get(NEW_SUBFILE_TYPE, 0) & 1)
        return DNG_VERSION in self.tags or self.photometric in RAW_PHOTOMETRIC or is_preview

    def is_misread(self) -> bool:
        """Return whether Pillow refuses or misreads this layout, and ``read`` does not."""
        if self.colours == 0 or self.tag("SampleFormat", UNSIGNED) != UNSIGNED or not 8 <= self.bits <= 16:
            return False
        if self.tag("Compression", 1) not in UNCOMPRESSED + DEFLATE or self.tag("FillOrder", 1) != 1:
            return False
        if "TileOffsets" in self or self.samples - self.colours not in (0, 1):
            return False
        has_extra = self.samples > self.colours
        in_odd_planes = self.in_planes and (self.bits == 16 or has_extra) and not self.is_compressed
        odd_grey = self.colours == 1 and self.bits > 8 and (self.photometric == WHITE_IS_ZERO or has_extra)
        return self.bits not in (8, 16) or in_odd_planes or odd_grey

    def read(self) -> Image.Image:
        """Read the pixels: mode I;16 if they are grey and have more than 8 bits, otherwise LA, RGB, RGBA or RGBa.

        Raises:
            OSError: The file is truncated.
            Image.DecompressionBombError: There are too many pixels.
        """
        width, height = self.size
        if Image.MAX_IMAGE_PIXELS and width * height > 2 * Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        values = np.concatenate(list(self.planes()), axis=2)
        most = 2**self.bits - 1
        if self.photometric == WHITE_IS_ZERO:
            values[..., 0] = most - values[..., 0]
        extra = self.tag("ExtraSamples", 0) if self.samples > self.colours else 0
        has_alpha = extra in (PREMULTIPLIED, STRAIGHT)
        if self.colours == 1 and not has_alpha:
            full = values[..., 0] if self.bits == 16 else scaled(values[..., 0], most, 65535).astype(np.uint16)
            image = Image.fromarray(full)
            if self.bits < 16:
                image.info[DECLARED_BITS] = self.bits
        else:
            kept = values[..., : self.colours + has_alpha]
            modes = {1: ("L", "LA", "La"), 3: ("RGB", "RGBA", "RGBa")}[self.colours]
            mode = modes[0] if not has_alpha else modes[2] if extra == PREMULTIPLIED else modes[1]
            image = Image.frombytes(mode, (width, height), scaled(kept, most, 255).astype(np.uint8).tobytes())
        self.describe(image)
        return image

    def describe(self, image: Image.Image) -> None:
        """Give an image the format, orientation and colour profile of the file."""
        image.format = "TIFF"
        image.getexif()[ExifTags.Base.Orientation] = self.tag("Orientation", 1)
        if "ICCProfile" in self:
            image.info["icc_profile"] = self.tags[NUMBERS["ICCProfile"]]

    def planes(self) -> Iterator[UInt16[np.ndarray, "h w c"]]:
        """Yield the samples of all pixels, or of one plane after the other.

        Raises:
            OSError: The file is truncated.
        """
        width, height = self.size
        rows = min(self.tag("RowsPerStrip", height), height)
        strips = list(zip(self.numbers("StripOffsets"), self.numbers("StripByteCounts"), strict=True))
        samples, planes = (1, self.samples) if self.in_planes else (self.samples, 1)
        per_plane = -(-height // rows)
        if len(strips) < planes * per_plane:
            raise OSError("truncated")
        for plane in range(planes):
            values = np.empty((height, width, samples), np.uint16)
            for index in range(per_plane):
                part = values[index * rows : (index + 1) * rows]
                part[:] = self.strip(*strips[plane * per_plane + index], part.shape)
            yield values

    def strip(self, offset: int, count: int, shape: tuple[int, ...]) -> UInt16[np.ndarray, "h w c"]:
        """Return the samples of a strip.

        Raises:
            OSError: The file is truncated.
        """
        row_bytes = (shape[1] * shape[2] * self.bits + 7) // 8
        stored = self.data[offset : offset + count]
        if self.is_compressed:
            stored = zlib.decompressobj().decompress(stored, shape[0] * row_bytes)
        if len(stored) < shape[0] * row_bytes:
            raise OSError("truncated")
        values = unpack(np.frombuffer(stored, np.uint8, shape[0] * row_bytes), shape, self.bits, self.byte_order)
        if self.tag("Predictor", 1) == DIFFERENCES:
            values = (np.cumsum(values, axis=1, dtype=np.uint32) & (2**self.bits - 1)).astype(np.uint16)
        return values


NUMBERS = {tag.name: number for number, tag in TAGS_V2.items()} | {"ICCProfile": 34675}
"""Numbers of tags by their names."""


def unpack(
    stored: UInt8[np.ndarray, " n"], shape: tuple[int, ...], bits: int, byte_order: str
) -> UInt16[np.ndarray, "h w c"]:
    """Return samples of 8 to 16 bits. Rows begin at whole bytes; in between, samples follow each other bit by bit."""
    if bits in (8, 16):
        return stored.view(f"{byte_order}u{bits // 8}").reshape(shape).astype(np.uint16)
    rows = np.unpackbits(stored.reshape(shape[0], -1), axis=1)[:, : shape[1] * shape[2] * bits]
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    return (rows.reshape(-1, bits) @ weights).reshape(shape)


def scaled(values: UInt16[np.ndarray, ...], most: int, target: int) -> np.ndarray:
    """Map 0 to ``most`` to 0 to ``target``, rounded to nearest."""
    return (values.astype(np.uint32) * target + most // 2) // most


def open_tiff(data: bytes) -> Image.Image:
    """Open a TIFF file.

    Raises:
        UnusableError: It is a raw photo, or of a kind that is not read.
        Exception: It is damaged.
    """
    page = Page.of(data)
    if page.size == (0, 0):
        raise OSError("truncated")  # the tags often stand at the end
    if page.is_camera_raw():
        raise UnusableError(RAW.name, RAW.remedy)
    if page.is_misread():
        return page.read()
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("TIFF",))
    except Image.DecompressionBombError:
        raise
    except Exception:
        raise UnusableError(page.description, SAVE_AS) from None
    if image.mode in ("P", "PA"):
        correct_palette(image, page)
    elif image.mode in ("F", "I;16", "I;16B") and (page.photometric == WHITE_IS_ZERO or page.bits == 12):
        return corrected_grey(image, page)
    return image


def correct_palette(image: Image.Image, page: Page) -> None:
    """Undo that Pillow divides the values of a palette by 256, where they have 8 bits already."""
    values = page.numbers("ColorMap")
    if max(values) < 256:
        image.palette = ImagePalette.raw("RGB;L", values)


def corrected_grey(image: Image.Image, page: Page) -> Image.Image:
    """Return grey with black at 0 and, of 12 bits, in the full range."""
    values = np.asarray(image)
    if page.bits == 12:
        values = scaled(values, 4095, 65535).astype(np.uint16)
    if page.photometric == WHITE_IS_ZERO:
        values = (1 if image.mode == "F" else 65535) - values
    result = Image.fromarray(values)
    if page.bits == 12:
        result.info[DECLARED_BITS] = page.bits
    page.describe(result)
    return result
