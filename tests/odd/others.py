"""JPEG, GIF, WebP, BMP, AVIF and HEIC; files under wrong names; and files that are no pictures at all."""

import importlib.util
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from odd.case import TRANSPARENT, Odd, grey
from odd.profiles import saved
from odd.writers import DARK, LEFT, LIGHT, RIGHT, halves

RGB = Image.fromarray(halves(LEFT, RIGHT).astype(np.uint8))
GREY = Image.fromarray(halves(DARK, LIGHT)[..., 0].astype(np.uint8))
RGBA = RGB.copy()
RGBA.putalpha(128)

STORED = "", "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270"
"""How a picture is stored for each EXIF orientation."""

JPEG, PNG, WEBP, BMP, GIF = (
    saved(RGB, "jpeg", quality=100, subsampling=0),
    saved(RGB, "png"),
    saved(RGB, "webp", lossless=True),
    saved(RGB, "bmp"),
    saved(RGB.quantize(4), "gif"),
)


def jpegs() -> Iterator[Odd]:
    """JPEG of every kind, and stored in every orientation."""
    yield grey("grey.jpg", saved(GREY, "jpeg", quality=100), levels=2)
    for name, options in {
        "progressive": {"progressive": True},
        "optimised": {"optimize": True},
        "restarts": {"restart_marker_blocks": 1},
        "halved-colours": {"subsampling": 2},
        "kept-rgb": {"keep_rgb": True},
    }.items():
        yield Odd(f"{name}.jpg", saved(RGB, "jpeg", **({"quality": 100, "subsampling": 0} | options)), levels=4)
    yield Odd("inks.jpg", saved(RGB.convert("CMYK"), "jpeg", quality=100), levels=4)
    for orientation, name in enumerate(STORED, 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = RGB.transpose(Image.Transpose[name]) if name else RGB
        for form in ("jpeg", "png", "webp", "tiff"):
            options = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(form, {})
            yield Odd(f"turned-{orientation}.{form}", saved(stored, form, exif=exif, **options), levels=3)
    yield Odd("cut.jpg", JPEG[: len(JPEG) // 2], refused="truncated|damaged")
    yield Odd("metadata-of-rubbish.jpg", JPEG[:2] + b"\xff\xe1\x00\x10Exif\0\0rubbish!" + JPEG[2:], levels=2)
    yield Odd(
        "two-pictures.jpg", saved(RGB, "mpo", save_all=True, append_images=[GREY.convert("RGB")], quality=100), levels=4
    )


def others() -> Iterator[Odd]:
    """Other formats."""
    yield Odd("plain.gif", GIF)
    hole = RGB.quantize(4)
    entry = hole.getpixel((60, 24))
    yield Odd("transparent.gif", saved(hole, "gif", transparency=entry), right=TRANSPARENT)
    yield Odd("lossless.webp", WEBP)
    yield Odd("lossless-alpha.webp", saved(RGBA, "webp", lossless=True, exact=True), (*LEFT, 128), (*RIGHT, 128))
    yield Odd("lossy-alpha.webp", saved(RGBA, "webp", quality=100), (*LEFT, 128), (*RIGHT, 128), levels=8)
    yield Odd("plain.avif", saved(RGB, "avif", quality=100, subsampling="4:4:4"), levels=4)
    yield Odd(
        "alpha.avif", saved(RGBA, "avif", quality=100, subsampling="4:4:4"), (*LEFT, 128), (*RIGHT, 128), levels=4
    )
    yield Odd("plain.bmp", BMP)
    yield grey("grey.bmp", saved(GREY, "bmp"))
    yield Odd("palette.bmp", saved(RGB.quantize(4), "bmp"))
    yield grey("two-colours.bmp", saved(GREY.point(lambda value: 255 * (value > 99)).convert("1"), "bmp"), 0, 255)
    yield Odd("alpha.bmp", saved(RGBA, "bmp"), (*LEFT, 255), (*RIGHT, 255))


def heic() -> Iterator[Odd]:
    """HEIC as phones write it; read if pillow-heif is installed, otherwise named with the remedy."""
    if importlib.util.find_spec("pillow_heif") is None:
        return
    import pillow_heif

    for name, image in {"plain": RGB, "alpha": RGBA}.items():
        file = io.BytesIO()
        pillow_heif.from_pillow(image).save(file, quality=-1, chroma=444)
        alpha = 255 if image is RGB else 128
        for ending in ("heic", "jpg"):
            yield Odd(f"{name}-heic.{ending}", file.getvalue(), (*LEFT, alpha), (*RIGHT, alpha), levels=4)
    yield Odd("cut-heic.heic", file.getvalue()[:300], refused="damaged|truncated|not an image")


def wrong_names() -> Iterator[Odd]:
    """Pictures whose names say something else, or nothing."""
    for name in ("IMG_3500.HEIC", "IMG_3501", "jpeg.png", "jpeg.tif", "jpeg.txt", "jpeg.mp4", "jpeg.bak", "jpeg.svg"):
        yield Odd(name, JPEG, levels=2)
    for name, data in {
        "png.jpg": PNG,
        "webp.jpg": WEBP,
        "gif.png": GIF,
        "bmp.jpg": BMP,
        "webp-without-ending": WEBP,
    }.items():
        yield Odd(name, data)


def not_pictures() -> Iterator[Odd]:
    """Files that are no pictures, or of kinds that are not read, under names of pictures."""
    box = b"\0\0\0\x20ftyp"
    found = {
        "web-page": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        "web-page-with-mark": (b"\xef\xbb\xbf\n <html lang=en>", "web page"),
        "error-in-xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "web page"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
        "film-mp4": (box + b"isom\0\0\2\0isomiso2avc1mp41" + bytes(99), "video"),
        "film-mov": (box + b"qt  \0\0\2\0qt  " + bytes(99), "video"),
        "film-webm": (b"\x1a\x45\xdf\xa3" + bytes(99), "video"),
        "film-avi": (b"RIFF\0\0\0\0AVI LIST" + bytes(99), "video"),
        "drawing": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing"),
        "drawing-in-xml": (b'<?xml version="1.0"?>\n<svg/>', "SVG drawing"),
        "document": (b"%PDF-1.7\n" + bytes(99), "PDF document"),
        "print": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript file"),
        "layers": (b"8BPS\0\1" + bytes(99), "Photoshop file"),
        "gimp": (b"gimp xcf v011" + bytes(99), "GIMP file"),
        "jxl": (b"\xff\x0a" + bytes(99), "JPEG XL picture"),
        "jxl-in-a-box": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL picture"),
        "jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "JPEG 2000 picture"),
        "exr": (b"\x76\x2f\x31\x01" + bytes(99), "OpenEXR picture"),
        "hdr": (b"#?RADIANCE\n" + bytes(99), "Radiance HDR picture"),
        "icon": (b"\0\0\1\0\1\0" + bytes(99), "Windows icon"),
        "scan": (bytes(128) + b"DICM" + bytes(99), "DICOM file"),
        "telescope": (b"SIMPLE  =                    T", "FITS file"),
        "canon-old": (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "camera raw"),
        "canon-new": (box + b"crx \0\0\0\1crx isom" + bytes(99), "camera raw"),
        "fuji": (b"FUJIFILMCCD-RAW 0201" + bytes(99), "camera raw"),
        "archive": (b"PK\3\4" + bytes(99), "archive"),
        "zeros": (bytes(5000), "file of zeros"),
        "text": (b"not a picture", "not an image"),
        "empty": (b"", "empty file"),
    }
    for name, (data, refused) in found.items():
        yield Odd(f"{name}.jpg", data, refused=refused)


def all_others() -> list[Odd]:
    """Return all."""
    return [*jpegs(), *others(), *heic(), *wrong_names(), *not_pictures()]
