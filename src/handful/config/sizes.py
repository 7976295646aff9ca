"""Sizes of images: how they are written, which there are, and the base map that each is grown from. Imports no torch.

Both networks double or halve maps, so an image is a base map of 3 to 8 cells a side, doubled some times: 768x512 is
6 x 4 cells doubled 7 times. Maps and blocks go by what their side would be if the base had 4 cells, as the published
ones have: that is the nominal size, 512 here. A map of nominal size s has ``s / 4`` pixels for each cell of the base.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from functools import cache

from handful.errors import UsageError

Shape = tuple[int, int]
"""Height and width, in pixels."""

CELLS = range(3, 9)
"""Cells along a side of the base map."""

PAPER_CELLS = 4

SMALLEST = 32
"""Pixels; of a side, and nominally."""

LARGEST_NOMINAL = 4096

CROPPED, ENLARGED = 4.0, 10.0
"""How much more --size auto minds another ratio, and enlarging, than another area, by their logarithms."""


def read_size(size: int | str) -> Shape:
    """Read a size as ``--size`` has it: 256, or width and height as in 768x512; any that there can be.

    Raises:
        UsageError: if it cannot be read.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(?:[x*]\s*(\d+)\s*)?", str(size))
    if match is None:
        raise UsageError(f"--size {size}: give pixels, such as 256, or width and height, such as 768x512")
    return int(match[2] or match[1]), int(match[1])


def parse(size: int | str) -> Shape:
    """Read the size of a network's images.

    Raises:
        UsageError: if it cannot be read, or no base map grows to it; the message has the nearest that there is.
    """
    height, width = read_size(size)
    if not bases((height, width)):
        near = nearest(height, width)
        raise UsageError(
            f"--size {size}: sides must be 3 to 8 times the same power of two, and {SMALLEST} pixels at least, as in "
            f"256, 96x64 or 768x512; the nearest is {spelled(near)}"
        )
    return height, width


def spelled(shape: Shape) -> str:
    """Write a size as ``--size`` has it, width first; a square's by one number."""
    height, width = shape
    return str(height) if height == width else f"{width}x{height}"


def bases(shape: Shape) -> list[Shape]:
    """List the base maps that grow to a size, the one most like the published 4 x 4 first; none for another size."""
    if min(shape) < SMALLEST:
        return []
    found = []
    scale = SMALLEST // PAPER_CELLS
    while scale <= LARGEST_NOMINAL // PAPER_CELLS:
        base = shape[0] // scale, shape[1] // scale
        if base[0] in CELLS and base[1] in CELLS and (base[0] * scale, base[1] * scale) == shape:
            found.append(base)
        scale *= 2
    return sorted(found, key=lambda base: abs(math.log(base[0] * base[1] / PAPER_CELLS**2)))


def base_of(shape: Shape) -> Shape:
    """Give the base map that a size is grown from, in cells: the one whose area is nearest to 4 x 4."""
    return bases(shape)[0]


def nominal_of(shape: Shape) -> int:
    """Give the nominal size: the side of the square image that as many doublings make of 4 x 4 cells."""
    return PAPER_CELLS * shape[0] // base_of(shape)[0]


def map_shape(base: Shape, nominal: int) -> Shape:
    """Give the size, in pixels, of a map of a nominal size."""
    return base[0] * nominal // PAPER_CELLS, base[1] * nominal // PAPER_CELLS


@cache
def every() -> tuple[Shape, ...]:
    """List all sizes that there are."""
    scales = [2**power for power in range(3, 11)]
    found = {(rows * scale, columns * scale) for scale in scales for rows in CELLS for columns in CELLS}
    return tuple(sorted(shape for shape in found if bases(shape)))


def nearest(height: int, width: int) -> Shape:
    """Find the size that is least far from another one, by the logarithms of both sides."""
    height, width = max(height, 1), max(width, 1)
    return min(every(), key=lambda shape: math.hypot(math.log(shape[0] / height), math.log(shape[1] / width)))


def suitable(sizes: Sequence[Shape], most: int) -> Shape:
    """Choose a size for images: near their usual ratio of sides, and as large as they are, up to ``most`` squared.

    By medians, so that a few images of another kind do not count.
    """
    ratio = statistics.median(math.log(width / height) for height, width in sizes)
    own = statistics.median(math.log(height * width) for height, width in sizes)
    wanted = min(own, math.log(most**2))

    def badness(shape: Shape) -> float:
        height, width = shape
        area = math.log(height * width)
        enlarged = max(0.0, area - own)
        return CROPPED * abs(math.log(width / height) - ratio) + ENLARGED * enlarged + abs(area - wanted)

    return min(every(), key=badness)
