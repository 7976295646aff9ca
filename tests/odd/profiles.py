"""Colour profiles: a picture looks as its profile says, whatever its mode and format."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from odd.case import TRANSPARENT, Odd
from odd.pngs import PALETTE, SRGB
from odd.writers import DARK, LEFT, LIGHT, RIGHT, chunk, halves, png, scaled, tiff

SWAPPED = SRGB.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
"""A profile by which the first sample is green and the second red."""

STORED_LEFT, STORED_RIGHT = (LEFT[1], LEFT[0], LEFT[2]), (RIGHT[1], RIGHT[0], RIGHT[2])


def grey_profile(gamma: float) -> bytes:
    """Return a profile of grey with a gamma."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ " + struct.pack(">I3i", 0, 63190, 65536, 54061)
    name = b"desc" + struct.pack(">II", 0, 5) + b"grey\0" + bytes(78 + 8)
    parts, offset, table = [], 128 + 4 + 3 * 12, b""
    for kind, part in ((b"desc", name), (b"wtpt", white), (b"kTRC", curve)):
        part += bytes(-len(part) % 4)
        table += kind + struct.pack(">II", offset, len(part))
        parts.append(part)
        offset += len(part)
    head = struct.pack(">I4sI4s4s4s", offset, b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head = (head + bytes(12) + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 3) + table + b"".join(parts)


LINEAR = grey_profile(1.0)
"""A profile of grey whose values are proportional to light."""


def by_light(value: int) -> int:
    """Return the sRGB value of a linear one."""
    share = value / 255
    return round(255 * (12.92 * share if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055))


def saved(image: Image.Image, form: str, **options) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def colour() -> Iterator[Odd]:
    """Profiles of RGB."""
    rgb = Image.fromarray(halves(STORED_LEFT, STORED_RIGHT).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(128)
    palette = rgb.quantize(4)
    for form, options in {"png": {}, "tiff": {}, "webp": {"lossless": True, "exact": True}}.items():
        yield Odd(f"profile-rgb.{form}", saved(rgb, form, icc_profile=SWAPPED, **options), levels=2)
        data = saved(rgba, form, icc_profile=SWAPPED, **options)
        yield Odd(f"profile-rgba.{form}", data, (*LEFT, 128), (*RIGHT, 128), levels=2)
    jpeg = saved(rgb, "jpeg", icc_profile=SWAPPED, quality=100, subsampling=0)
    yield Odd("profile-rgb.jpg", jpeg, levels=4)
    avif = saved(rgb, "avif", icc_profile=SWAPPED, quality=100, subsampling="4:4:4")
    yield Odd("profile-rgb.avif", avif, levels=6)
    for form in ("png", "tiff"):
        yield Odd(f"profile-palette.{form}", saved(palette, form, icc_profile=SWAPPED), levels=2)
    entries = b"".join(bytes(entry) for entry in ((9, 9, 9), STORED_LEFT, STORED_RIGHT))
    icc = chunk(b"iCCP", b"swapped\0\0" + zlib.compress(SWAPPED))
    chunks = icc, chunk(b"PLTE", entries), chunk(b"tRNS", b"\xff\xff\0")
    yield Odd("profile-palette-transparent.png", png(halves(1, 2), 8, PALETTE, *chunks), right=TRANSPARENT, levels=2)
    rule = chunk(b"tRNS", struct.pack(">3H", *STORED_RIGHT))
    data = png(halves(STORED_LEFT, STORED_RIGHT), 8, 2, icc, rule)
    yield Odd("profile-rgb-transparent.png", data, right=TRANSPARENT, levels=2)
    tags = {34675: (7, tuple(SWAPPED))}
    planes = tiff(halves(scaled(STORED_LEFT, 16), scaled(STORED_RIGHT, 16)), 16, 2, planar=2, tags=tags)
    yield Odd("profile-planes-16-bit.tif", planes, levels=2)


def grey() -> Iterator[Odd]:
    """Profiles of grey."""
    left, right = (by_light(DARK),) * 3, (by_light(LIGHT),) * 3
    image = Image.fromarray(halves(DARK, LIGHT)[..., 0].astype(np.uint8))
    alpha = image.copy()
    alpha.putalpha(128)
    for form in ("png", "tiff"):
        yield Odd(f"profile-grey.{form}", saved(image, form, icc_profile=LINEAR), (*left, 255), (*right, 255), levels=2)
        data = saved(alpha, form, icc_profile=LINEAR)
        yield Odd(f"profile-grey-alpha.{form}", data, (*left, 128), (*right, 128), levels=2)
    jpeg = saved(image, "jpeg", icc_profile=LINEAR, quality=100)
    yield Odd("profile-grey.jpg", jpeg, (*left, 255), (*right, 255), levels=4)
    tags = {34675: (7, tuple(LINEAR))}
    deep = tiff(halves(DARK * 257, LIGHT * 257), 16, 1, tags=tags)
    yield Odd("profile-grey-16-bit.tif", deep, (*left, 255), (*right, 255), levels=2)
    icc = chunk(b"iCCP", b"linear\0\0" + zlib.compress(LINEAR))
    deep = png(halves((DARK * 257, 128 * 257), (LIGHT * 257, 128 * 257)), 16, 4, icc)
    yield Odd("profile-grey-alpha-16-bit.png", deep, (*left, 128), (*right, 128), levels=2)
    wrong = saved(image, "png", icc_profile=SWAPPED)
    yield Odd("profile-of-rgb-on-grey.png", wrong, (*[DARK] * 3, 255), (*[LIGHT] * 3, 255))
    rgb = Image.fromarray(halves(LEFT, RIGHT).astype(np.uint8))
    yield Odd("profile-of-grey-on-rgb.png", saved(rgb, "png", icc_profile=LINEAR))
    rgba = rgb.copy()
    rgba.putalpha(128)
    yield Odd("profile-of-grey-on-rgba.png", saved(rgba, "png", icc_profile=LINEAR), (*LEFT, 128), (*RIGHT, 128))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield Odd("profile-of-lab-on-rgba.png", saved(rgba, "png", icc_profile=lab), (*LEFT, 128), (*RIGHT, 128))


def all_profiles() -> list[Odd]:
    """Return all."""
    return [*colour(), *grey()]
