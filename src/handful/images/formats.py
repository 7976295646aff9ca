"""What a file is, by its first bytes and not by its name."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

HEAD_BYTES = 512
"""First bytes of a file that tell its kind."""

DECODERS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""The only decoders of Pillow that are given a file. It has others, one of which (EPS) starts a program."""

HEIF = "HEIF"
"""The decoder that pillow-heif adds to Pillow, of the extra ``heic``."""

RAW_ENDINGS = frozenset([".dng", ".nef", ".arw", ".cr2", ".cr3", ".pef", ".srw", ".raf", ".orf", ".rw2", ".raw"])
"""Raw photos of cameras. Most are TIFF files whose first page is a small preview."""


class UnusableError(ValueError):
    """A picture file cannot be used. The message is the reason that users see.

    Args:
        reason: What the file is, or what is wrong with it.
        remedy: What to do, if that is not to repair the file.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    """What messages call it."""
    decoder: str | None = None
    """Pillow's name of the decoder; None if the file is not read."""
    remedy: str = ""
    """How to get a picture that is read."""
    is_picture: bool = True

    def require_readable(self) -> None:
        """Check that files of this kind are read.

        Raises:
            UnusableError: They are not.
        """
        if self.decoder is None or (self.decoder == HEIF and not reads_heif()):
            raise UnusableError(self.name, self.remedy)


SAVE_AS_PNG = "save it as PNG or JPEG"

RAW = Kind("camera raw file", remedy="develop it and save it as JPEG or TIFF")

HEIC = Kind("HEIC picture", HEIF, "pip install 'handful[heic]', or save it as JPEG")

VIDEO = Kind("video", remedy="give single frames, such as ffmpeg -i FILE frame-%05d.png writes", is_picture=False)

WEB_PAGE = Kind("web page", remedy="the download has failed; download the picture itself", is_picture=False)

ARCHIVE = Kind("archive", remedy="unpack it", is_picture=False)

BY_START: dict[bytes, Kind] = {
    b"\xff\xd8\xff": Kind("JPEG", "JPEG"),
    b"\x89PNG\r\n\x1a\n": Kind("PNG", "PNG"),
    b"GIF87a": Kind("GIF", "GIF"),
    b"GIF89a": Kind("GIF", "GIF"),
    b"BM": Kind("BMP", "BMP"),
    b"FUJIFILMCCD-RAW": RAW,
    b"IIRO": RAW,
    b"IIRS": RAW,
    b"IIU\0": RAW,
    b"II\x2a\0": Kind("TIFF", "TIFF"),
    b"MM\0\x2a": Kind("TIFF", "TIFF"),
    b"II\x2b\0": Kind("TIFF", "TIFF"),
    b"MM\0\x2b": Kind("TIFF", "TIFF"),
    b"\xff\x0a": Kind("JPEG XL picture", remedy=SAVE_AS_PNG),
    b"\0\0\0\x0cJXL ": Kind("JPEG XL picture", remedy=SAVE_AS_PNG),
    b"\0\0\0\x0cjP  ": Kind("JPEG 2000 picture", remedy=SAVE_AS_PNG),
    b"\xff\x4f\xff\x51": Kind("JPEG 2000 picture", remedy=SAVE_AS_PNG),
    b"8BPS": Kind("Photoshop file", remedy=SAVE_AS_PNG),
    b"gimp xcf": Kind("GIMP file", remedy="export it as PNG"),
    b"\x76\x2f\x31\x01": Kind("OpenEXR picture", remedy=SAVE_AS_PNG),
    b"#?RADIANCE": Kind("Radiance HDR picture", remedy=SAVE_AS_PNG),
    b"\0\0\1\0": Kind("Windows icon", remedy=SAVE_AS_PNG),
    b"DDS ": Kind("DDS texture", remedy=SAVE_AS_PNG),
    b"SIMPLE  =": Kind("FITS file", remedy="save its values as 16-bit PNG or TIFF"),
    b"%PDF": Kind("PDF document", remedy="export its pictures", is_picture=False),
    b"%!PS": Kind("PostScript file", remedy=SAVE_AS_PNG),
    b"version https://git-lfs.github.com/": Kind("Git LFS pointer", remedy="run: git lfs pull", is_picture=False),
    b"\x1a\x45\xdf\xa3": VIDEO,
    b"\0\0\1\xba": VIDEO,
    b"\0\0\1\xb3": VIDEO,
    b"FLV\1": VIDEO,
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": VIDEO,
    b"PK\3\4": ARCHIVE,
    b"Rar!": ARCHIVE,
    b"7z\xbc\xaf\x27\x1c": ARCHIVE,
    b"\x1f\x8b": ARCHIVE,
}
"""Kinds by how a file starts; the first that fits."""

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")

AVIF_BRANDS = (b"avif", b"avis")


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of a file with these first bytes; None if they are of no known kind."""
    if head[8:10] == b"CR" and head.startswith(b"II"):
        return RAW
    if head.startswith(tuple(BY_START)):
        return next(kind for start, kind in BY_START.items() if head.startswith(start))
    if head[4:8] == b"ftyp":
        return kind_of_brands(head)
    if head.startswith(b"RIFF"):
        return {b"WEBP": Kind("WebP", "WEBP"), b"AVI ": VIDEO}.get(head[8:12])
    if head[128:132] == b"DICM":
        return Kind("DICOM file", remedy="save its values as 16-bit PNG or TIFF")
    if len(head) >= 16 and not any(head):
        return Kind("file of zeros", remedy="its content is lost; copy or download it again", is_picture=False)
    return kind_of_markup(head)


def kind_of_brands(head: bytes) -> Kind:
    """Return the kind of a file of the MP4 family, by the brands that it names; AVIF may name those of HEIC too."""
    length = int.from_bytes(head[:4], "big")
    brands = [head[start : start + 4] for start in (8, *range(16, min(length, len(head)), 4))]
    if any(brand in AVIF_BRANDS for brand in brands):
        return Kind("AVIF", "AVIF")
    if any(brand in HEIC_BRANDS for brand in brands) or brands[0] in (b"mif1", b"msf1"):
        return HEIC
    return RAW if brands[0] == b"crx " else VIDEO


def kind_of_markup(head: bytes) -> Kind | None:
    """Return the kind of a text in HTML or XML."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text and text.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")):
        return Kind("SVG drawing", remedy=SAVE_AS_PNG)
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<script")):
        return WEB_PAGE
    return None


def reads_heif() -> bool:
    """Return whether HEIC is read, and prepare Pillow for it."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True
