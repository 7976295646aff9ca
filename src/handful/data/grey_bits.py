"""How many bits the 16-bit grey pictures of a set really use.

Cameras and microscopes store 10, 12 or 14 bits in 16 and do not say so. Taken for 16 bits, they would be nearly black.
The brightest pixel of the whole set tells, so that all pictures are scaled alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from handful.data.photos import Photos
from handful.images.colours import FULL_BITS, bits_of
from handful.images.decode import decode_picture, header
from handful.progress import note


def bits_of_set(largest: Iterable[int | None]) -> int:
    """Return the number of bits, and tell the user if it is not 16.

    Args:
        largest: Largest value of each picture; None for one that is not 16-bit grey (see ``Picture``).
    """
    values = [value for value in largest if value is not None]
    bits = bits_of(max(values, default=0))
    if bits < FULL_BITS:
        note(
            f"16-bit grey: the largest value of {len(values):,} images is {max(values):,}, so they have {bits} bits;"
            f" scaled from 0-{2**bits - 1:,} to the full range"
        )
    return bits


def measure_bits(photos: Photos, files: Sequence[Path]) -> int:
    """Return the number of bits, from files of which only the headers are read unless they are 16-bit grey."""
    largest = []
    with warnings.catch_warnings(action="ignore"):
        for file in files:
            try:
                data = photos.read(file)
                if header(data).mode.startswith("I"):
                    largest.append(decode_picture(data, 1, 1).largest)
            except Exception:  # As in decoding; what cannot be read is reported when it is loaded.
                continue
    return bits_of_set(largest)
