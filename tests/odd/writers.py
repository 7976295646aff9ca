"""Writers of PNG and TIFF files with any layout, also layouts that Pillow cannot write."""

import struct
import zlib

import numpy as np

WIDTH, HEIGHT = 64, 48

LEFT, RIGHT = (200, 60, 40), (40, 160, 90)
"""Colours of the two halves of every picture."""

DARK, LIGHT = 60, 200
"""Greys of the two halves of a grey picture."""


def halves(left, right) -> np.ndarray:
    """Return an array of two halves; a sample is a number or a tuple."""
    left, right = np.atleast_1d(left), np.atleast_1d(right)
    values = np.empty((HEIGHT, WIDTH, len(left)), np.int64)
    values[:, : WIDTH // 2], values[:, WIDTH // 2 :] = left, right
    return values


def scaled(colour, bits: int) -> tuple[int, ...]:
    """Return 8-bit samples with another number of bits."""
    return tuple(round(value * (2**bits - 1) / 255) for value in np.atleast_1d(colour))


def pack(values: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Return the samples of an array (h, w, c) as bytes; rows begin at whole bytes."""
    height = len(values)
    if bits in (8, 16, 32):
        return values.astype(f"{order}u{bits // 8}").tobytes()
    rows = values.reshape(height, -1)
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits((rows[..., None] >> shifts & 1).reshape(height, -1).astype(np.uint8), axis=1).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(values: np.ndarray, bits: int, colour_type: int, *before: bytes, after: bytes = b"", adam7=False) -> bytes:
    """Write a PNG with more chunks before and after the pixels."""
    height, width = values.shape[:2]
    passes = [values]
    if adam7:
        steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        passes = [values[top::down, left::across] for top, left, down, across in steps]
    rows = []
    for image in passes:
        packed, size = pack(image, bits), (image.shape[1] * image.shape[2] * bits + 7) // 8
        rows += [b"\0" + packed[start : start + size] for start in range(0, len(packed), size)]
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, int(adam7))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return SIGNATURE + chunk(b"IHDR", head) + b"".join(before) + pixels + after + chunk(b"IEND", b"")


def tiff(
    values: np.ndarray | bytes,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    planar: int = 1,
    sample_format: int = 1,
    deflate: bool = False,
    rows_per_strip: int = HEIGHT,
    extra: int | None = None,
    tags: dict[int, tuple[int, tuple[int, ...]]] | None = None,
    samples: int | None = None,
    big: bool = False,
) -> bytes:
    """Write a TIFF of one page in strips."""
    strips = []
    if isinstance(values, bytes):
        strips.append(values)
    else:
        samples = values.shape[2]
        for plane in np.split(values, samples, axis=2) if planar == 2 else [values]:
            for start in range(0, HEIGHT, rows_per_strip):
                rows = plane[start : start + rows_per_strip]
                if sample_format == 3:
                    strips.append(rows.astype(f"{order}f{bits // 8}").tobytes())
                else:
                    strips.append(pack(rows, bits, order))
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    assert samples is not None
    known = {
        256: (3, (WIDTH,)),
        257: (3, (HEIGHT,)),
        258: (3, (bits,) * samples),
        259: (3, (8 if deflate else 1,)),
        262: (3, (photometric,)),
        273: (4, ()),
        277: (3, (samples,)),
        278: (4, (rows_per_strip,)),
        279: (4, tuple(map(len, strips))),
        284: (3, (planar,)),
        339: (3, (sample_format,) * samples),
    }
    if extra is not None:
        known[338] = (3, (extra,))
    known |= tags or {}
    head = 16 if big else 8
    offsets, at = [], head
    for strip in strips:
        offsets.append(at)
        at += len(strip) + len(strip) % 2
    known[273] = (4, tuple(offsets))
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)
    mark = b"II" if order == "<" else b"MM"
    start = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else mark + struct.pack(f"{order}HI", 42, at)
    return start + body + directory(known, at, order, big)


def directory(tags: dict[int, tuple[int, tuple[int, ...]]], at: int, order: str, big: bool) -> bytes:
    """Return the directory of a TIFF that begins at an offset, followed by the values that it points to."""
    word, room, entry = ("Q", 8, 20) if big else ("I", 4, 12)
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    beyond = at + len(head) + entry * len(tags) + room
    entries, far = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}{ {1: 'B', 3: 'H', 4: 'I', 7: 'B'}[kind] }", *numbers)
        if len(data) > room:
            where = struct.pack(order + word, beyond + len(far))
            far += data + b"\0" * (len(data) % 2)
        else:
            where = data.ljust(room, b"\0")
        entries += struct.pack(f"{order}HH{word}", tag, kind, len(numbers)) + where
    return head + entries + b"\0" * room + far
