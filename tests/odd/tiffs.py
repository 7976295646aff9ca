"""TIFF files of microscopes, scanners and print shops."""

import itertools
from collections.abc import Iterator

import numpy as np

from odd.case import TRANSPARENT, Odd, grey
from odd.writers import DARK, HEIGHT, LEFT, LIGHT, RIGHT, WIDTH, halves, pack, scaled, tiff

ORDERS = {"ii": "<", "mm": ">"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5


def deep_grey() -> Iterator[Odd]:
    """Grey of any number of bits, with either meaning of 0."""
    for bits, order, photometric in itertools.product(
        (1, 2, 4, 8, 10, 12, 14, 16), ORDERS, (WHITE_IS_ZERO, BLACK_IS_ZERO)
    ):
        left, right = (DARK, LIGHT) if bits > 4 else (0, 255)
        values = halves(scaled(left, bits), scaled(right, bits))
        if photometric == WHITE_IS_ZERO:
            values = 2**bits - 1 - values
        name = f"grey-{bits}-bit-{order}-{('white', 'black')[photometric]}-is-zero"
        yield grey(f"{name}.tif", tiff(values, bits, photometric, order=ORDERS[order]), left, right)
        if bits > 8:
            data = tiff(values, bits, photometric, order=ORDERS[order], deflate=True, rows_per_strip=7)
            yield grey(f"{name}-deflate.tif", data, left, right)
    values = halves((1000,), (3800,))
    yield grey("grey-12-bit-strips.tif", tiff(values, 12, BLACK_IS_ZERO, rows_per_strip=5), 62, 237)
    yield grey("grey-16-bit-bigtiff.tif", tiff(halves((15420,), (51400,)), 16, BLACK_IS_ZERO, big=True))
    values = halves((0xBFFF,), (0x2FFF,))
    yield grey("grey-16-bit-xray.tif", tiff(values, 16, WHITE_IS_ZERO), 64, 208)


def numbers() -> Iterator[Odd]:
    """Grey as signed, 32-bit and floating-point numbers."""
    for order, photometric in itertools.product(ORDERS, (WHITE_IS_ZERO, BLACK_IS_ZERO)):
        values = halves(0.25, 0.75) if photometric else 1 - halves(0.25, 0.75)
        values = np.where(np.arange(WIDTH)[None, :, None] < WIDTH // 2, 0.25, 0.75) * np.ones((HEIGHT, 1, 1))
        values = values if photometric == BLACK_IS_ZERO else 1 - values
        name = f"float-32-bit-{order}-{('white', 'black')[photometric]}-is-zero.tif"
        yield grey(name, tiff(values, 32, photometric, order=ORDERS[order], sample_format=3), 64, 191)
    half = tiff(halves(0, 1), 16, BLACK_IS_ZERO, sample_format=3)
    yield Odd("float-16-bit.tif", half, refused="16-bit floating-point grey")
    yield Odd(
        "float-64-bit.tif", tiff(halves(0, 1), 64, BLACK_IS_ZERO, sample_format=3), refused="64-bit floating-point"
    )
    yield Odd("float-negative.tif", tiff(halves(-3, 1), 32, BLACK_IS_ZERO, sample_format=3), refused="from -3 to 1")
    yield Odd(
        "float-rgb.tif", tiff(halves((0,) * 3, (1,) * 3), 32, RGB, sample_format=3), refused="32-bit floating-point"
    )
    big = tiff(halves(70_000, 900_000), 32, BLACK_IS_ZERO)
    yield Odd("grey-32-bit-large-values.tif", big, refused="from 70000 to 900000")
    inverted = tiff(halves(70_000, 900_000), 32, WHITE_IS_ZERO)
    yield Odd("grey-32-bit-white-is-zero.tif", inverted, refused="32-bit")
    negative = tiff(halves(-5, 500).astype(np.int16), 16, BLACK_IS_ZERO, sample_format=2)
    yield Odd("grey-signed-negative.tif", negative, refused="from -5 to 500")


def colour() -> Iterator[Odd]:
    """RGB in 8 and 16 bits: mixed and in planes, with and without a fourth sample of any meaning."""
    for bits, order, planar, deflate, extra in itertools.product(
        (8, 16), ORDERS, (1, 2), (False, True), (None, 0, 1, 2)
    ):
        fourth = () if extra is None else (128 if extra else 77,)
        samples = [tuple(v * 128 // 255 for v in colour) if extra == 1 else colour for colour in (LEFT, RIGHT)]
        left, right = ((*scaled(colour, bits), *scaled(fourth, bits)) for colour in samples)
        data = tiff(halves(left, right), bits, RGB, order=ORDERS[order], planar=planar, deflate=deflate, extra=extra)
        kind = {None: "rgb", 0: "rgb-and-unknown", 1: "premultiplied", 2: "rgba"}[extra]
        name = f"{kind}-{bits}-bit-{order}-{('mixed', 'planes')[planar - 1]}{'-deflate' * deflate}.tif"
        alpha = 128 if extra else 255
        yield Odd(name, data, (*LEFT, alpha), (*RIGHT, alpha), levels=2 if extra == 1 else 1)
    yield Odd(
        "planes-16-bit-strips.tif",
        tiff(halves(scaled(LEFT, 16), scaled(RIGHT, 16)), 16, RGB, planar=2, rows_per_strip=7),
    )
    for bits in (10, 12, 14):
        data = tiff(halves(scaled(LEFT, bits), scaled(RIGHT, bits)), bits, RGB)
        yield Odd(f"rgb-{bits}-bit-packed.tif", data)
    five = tiff(halves((1, 2, 3, 4, 5), (5, 4, 3, 2, 1)), 16, BLACK_IS_ZERO)
    yield Odd("five-channels-16-bit.tif", five, refused="5 samples")


def palettes() -> Iterator[Odd]:
    """Palettes, whose values should have 16 bits and often have 8."""
    for order, bits, low in itertools.product(ORDERS, (4, 8), (False, True)):
        entries = np.zeros((3, 2**bits), int)
        entries[:, 3], entries[:, 9] = LEFT, RIGHT
        tags = {320: (3, tuple((entries * (1 if low else 257)).reshape(-1).tolist()))}
        data = tiff(halves(3, 9), bits, PALETTE, order=ORDERS[order], tags=tags)
        yield Odd(f"palette-{bits}-bit-{order}-values-of-{8 if low else 16}-bits.tif", data)


def rest() -> Iterator[Odd]:
    """Printing inks, raw photos and damage."""
    inks = [(*tuple(255 - value for value in colour), 0) for colour in (LEFT, RIGHT)]
    yield Odd("cmyk.tif", tiff(halves(*inks), 8, CMYK))
    yield Odd("cmyk-16-bit.tif", tiff(halves(*(scaled(ink, 16) for ink in inks)), 16, CMYK))
    raw = tiff(halves(3, 9), 8, BLACK_IS_ZERO, tags={50706: (1, (1, 4, 0, 0))})
    yield Odd("camera.tif", raw, refused="camera raw")
    yield Odd("camera.dng", raw, refused="camera raw")
    yield Odd("mosaic.tif", tiff(halves(3, 9), 16, 32803), refused="camera raw")
    preview = tiff(halves(3, 9), 8, BLACK_IS_ZERO, tags={254: (4, (1,))})
    yield Odd("camera.nef", preview, refused="camera raw")
    plane = pack(halves(*(scaled(value, 16) for value in (DARK, LIGHT))), 16, "<")
    yield Odd("planes-two-missing.tif", tiff(plane, 16, RGB, planar=2, samples=3), refused="truncated")
    packed = pack(halves(*(scaled(value, 12) for value in (DARK, LIGHT))), 12)
    yield Odd("grey-12-bit-cut.tif", tiff(packed[:-500], 12, BLACK_IS_ZERO, samples=1), refused="truncated")
    yield grey("grey-8-bit-half-transparent.tif", tiff(halves((DARK, 255), (LIGHT, 255)), 8, BLACK_IS_ZERO, extra=2))
    yield Odd(
        "grey-16-bit-with-alpha.tif",
        tiff(halves((15420, 65535), (51400, 0)), 16, BLACK_IS_ZERO, extra=2),
        (DARK,) * 3 + (255,),
        TRANSPARENT,
    )


def all_tiffs() -> list[Odd]:
    """Return all."""
    return [*deep_grey(), *numbers(), *colour(), *palettes(), *rest()]
