"""PNG files of every kind, with transparent colours and with metadata that are damaged or huge."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from odd.case import TRANSPARENT, Odd, grey
from odd.writers import DARK, HEIGHT, LEFT, LIGHT, RIGHT, WIDTH, chunk, halves, png, scaled

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

COLOURS = b"".join(bytes(colour) for colour in ((9, 9, 9), LEFT, RIGHT))
"""A palette with the colours of the halves as entries 1 and 2."""


def samples(bits: int, colour_type: int) -> np.ndarray:
    """Return the two halves in the samples of a kind of PNG; half transparent if it has alpha."""
    match colour_type:
        case 0 | 4:
            pair = (DARK, LIGHT) if bits > 4 else (0, 255)
            extra = (128,) if colour_type == GREY_ALPHA else ()
            return halves(*((*scaled(value, bits), *scaled(extra, bits)) for value in pair))
        case 3:
            return halves(1, 2 if bits > 1 else 1)
    extra = (128,) if colour_type == RGBA else ()
    return halves(*((*scaled(colour, bits), *scaled(extra, bits)) for colour in (LEFT, RIGHT)))


def kinds() -> Iterator[Odd]:
    """Every kind of pixels that PNG has, plain and interlaced."""
    for colour_type, bits in (
        *((GREY, bits) for bits in (1, 2, 4, 8, 16)),
        *((PALETTE, bits) for bits in (1, 2, 4, 8)),
        *((kind, bits) for kind in (RGB, GREY_ALPHA, RGBA) for bits in (8, 16)),
    ):
        for adam7 in (False, True):
            name = {0: "grey", 2: "rgb", 3: "palette", 4: "grey-alpha", 6: "rgba"}[colour_type]
            before = (chunk(b"PLTE", COLOURS if bits > 1 else COLOURS[:6]),) if colour_type == PALETTE else ()
            data = png(samples(bits, colour_type), bits, colour_type, *before, adam7=adam7)
            name = f"{name}-{bits}-bit{'-interlaced' * adam7}.png"
            alpha = 128 if colour_type in (GREY_ALPHA, RGBA) else 255
            if colour_type in (GREY, GREY_ALPHA):
                left, right = (DARK, LIGHT) if bits > 4 else (0, 255)
                yield Odd(name, data, (*[left] * 3, alpha), (*[right] * 3, alpha))
            else:
                right_colour = RIGHT if bits > 1 else LEFT
                yield Odd(name, data, (*LEFT, alpha), (*right_colour, alpha))


def transparent() -> Iterator[Odd]:
    """One colour that is transparent: the right half."""
    for bits in (1, 2, 4, 8, 16):
        left, right = (DARK, LIGHT) if bits > 4 else (0, 255)
        rule = chunk(b"tRNS", struct.pack(">H", *scaled(right, bits)))
        data = png(samples(bits, GREY), bits, GREY, rule)
        yield Odd(f"transparent-grey-{bits}-bit.png", data, (*[left] * 3, 255), TRANSPARENT)
    rule = chunk(b"tRNS", struct.pack(">3H", *RIGHT))
    yield Odd("transparent-rgb-8-bit.png", png(samples(8, RGB), 8, RGB, rule), right=TRANSPARENT)
    rule = chunk(b"tRNS", struct.pack(">3H", *scaled(RIGHT, 16)))
    deep = png(samples(16, RGB), 16, RGB, rule)
    yield Odd("transparent-rgb-16-bit.png", deep, refused="16-bit RGB with a transparent colour")
    for bits in (2, 4, 8):
        rules = chunk(b"PLTE", COLOURS), chunk(b"tRNS", b"\xff\xff\0")
        data = png(samples(bits, PALETTE), bits, PALETTE, *rules)
        yield Odd(f"transparent-palette-{bits}-bit.png", data, right=TRANSPARENT)
    rules = chunk(b"PLTE", COLOURS), chunk(b"tRNS", b"\xff\x80\x40")
    half = png(samples(8, PALETTE), 8, PALETTE, *rules)
    yield Odd("half-transparent-palette.png", half, (*LEFT, 128), (*RIGHT, 64))


def broken(kind: bytes, content: bytes) -> bytes:
    """Return a chunk with a wrong checksum."""
    return chunk(kind, content)[:-1] + bytes([chunk(kind, content)[-1] ^ 0xFF])


def profile(content: bytes) -> bytes:
    """Return the content of a chunk with a colour profile."""
    return b"printer\0\0" + zlib.compress(content)


def metadata() -> Iterator[Odd]:
    """Sound pixels beside metadata that are damaged or huge."""
    pixels = samples(8, RGB)
    huge = bytearray(SRGB + random.Random(0).randbytes(1_300_000))
    huge[:4] = struct.pack(">I", len(huge))
    text, large = b"Comment\0hello", b"x" * 1_500_000
    xmp = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(large)
    chunks = {
        "text-checksum": broken(b"tEXt", text),
        "compressed-text-checksum": broken(b"zTXt", b"Comment\0\0" + zlib.compress(text)),
        "international-text-checksum": broken(b"iTXt", b"Comment\0\0\0\0\0hello"),
        "profile-checksum": broken(b"iCCP", profile(SRGB)),
        "resolution-checksum": broken(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        "gamma-checksum": broken(b"gAMA", struct.pack(">I", 45455)),
        "exif-checksum": broken(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        "time-checksum": broken(b"tIME", struct.pack(">H5B", 2026, 1, 1, 0, 0, 0)),
        "resolution-short": chunk(b"pHYs", b"\0\0"),
        "gamma-short": chunk(b"gAMA", b"\0"),
        "primaries-short": chunk(b"cHRM", b"\0"),
        "intent-empty": chunk(b"sRGB", b""),
        "huge-xmp": chunk(b"iTXt", xmp),
        "huge-text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(large)),
        "many-texts": chunk(b"tEXt", b"Comment\0" + large) * 50,
        "huge-profile": chunk(b"iCCP", profile(bytes(huge))),
        "profile-not-compressed": chunk(b"iCCP", b"printer\0\0rubbish"),
        "profile-rubbish": chunk(b"iCCP", profile(b"rubbish")),
        "profile-without-end": chunk(b"iCCP", b"printer"),
        "text-of-no-encoding": chunk(b"tEXt", b"\xff\xfe\0\xff"),
        "comment-named-transparency": chunk(b"tEXt", b"transparency\0yes"),
        "comment-named-profile": chunk(b"tEXt", b"icc_profile\0none"),
        "comment-named-gamma": chunk(b"tEXt", b"gamma\0dark"),
        "animation-of-no-frames": chunk(b"acTL", struct.pack(">II", 0, 0)),
        "animation-short": chunk(b"acTL", b"\0"),
        "unknown-chunk": chunk(b"abCd", b"anything"),
    }
    for name, before in chunks.items():
        yield Odd(f"{name}.png", png(pixels, 8, RGB, before))
    yield Odd("text-checksum-behind.png", png(pixels, 8, RGB, after=broken(b"tEXt", text)))
    yield Odd("huge-xmp-behind.png", png(pixels, 8, RGB, after=chunk(b"iTXt", xmp)))
    yield Odd("more-behind-the-end.png", png(pixels, 8, RGB) + b"anything" * 99)
    yield Odd("without-an-end.png", png(pixels, 8, RGB)[:-12])
    rgba = png(samples(8, RGBA), 8, RGBA, chunk(b"tEXt", b"transparency\0no"))
    yield Odd("comment-named-transparency-rgba.png", rgba, (*LEFT, 128), (*RIGHT, 128))
    both = chunk(b"PLTE", COLOURS), chunk(b"tEXt", b"transparency\0no")
    yield Odd("comment-named-transparency-palette.png", png(samples(8, PALETTE), 8, PALETTE, *both))


def damaged() -> Iterator[Odd]:
    """Damaged pixels are refused."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3))
    whole = png(noise, 8, RGB)
    yield Odd("cut.png", whole[: len(whole) // 2], refused="truncated")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    yield Odd("pixels-changed.png", bytes(flipped), refused="damaged|broken")
    head = bytearray(whole)
    head[17] ^= 1
    yield Odd("header-changed.png", bytes(head), refused="damaged PNG")
    comment = broken(b"tEXt", b"Comment\0hello")
    both = bytearray(png(noise, 8, RGB, comment))
    both[-400] ^= 1
    yield Odd("pixels-and-comment-changed.png", bytes(both), refused="damaged|broken")
    palette = png(samples(8, PALETTE), 8, PALETTE, broken(b"PLTE", COLOURS))
    yield Odd("palette-checksum.png", palette, refused="damaged")
    rule = broken(b"tRNS", struct.pack(">3H", *RIGHT))
    yield Odd("transparency-checksum.png", png(samples(8, RGB), 8, RGB, rule), refused="damaged")
    kind = bytearray(png(samples(8, RGB), 8, RGB))
    kind[25] = 5
    kind[29:33] = struct.pack(">I", zlib.crc32(kind[12:29]))
    yield Odd("unknown-colour-type.png", bytes(kind), refused="damaged")


def from_pillow() -> Iterator[Odd]:
    """Animations."""
    first = Image.fromarray(samples(8, RGB).astype(np.uint8))
    others = [Image.new("RGB", first.size, colour) for colour in ("white", "black")]
    for ending, options in {"png": {}, "gif": {}, "webp": {"lossless": True}}.items():
        file = io.BytesIO()
        first.save(file, ending, save_all=True, append_images=others, **options)
        yield Odd(f"animated.{ending}", file.getvalue())
    yield grey("one-pixel-high.png", png(samples(8, GREY)[:1], 8, GREY))


def all_pngs() -> list[Odd]:
    """Return all."""
    return [*kinds(), *transparent(), *metadata(), *damaged(), *from_pillow()]
