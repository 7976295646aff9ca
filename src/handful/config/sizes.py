"""Image sizes: how they are written, which ones exist, and the base map that each grows from. Imports no torch.

Both networks double or halve maps, so an image is a base map of 3 to 8 cells a side, doubled several times: 768x512 is
6 x 4 cells doubled 7 times. Maps and blocks are named by their nominal size: the side they would have with a base of
4 x 4 cells, as in the paper (512 here). A map of nominal size s has ``s / 4`` pixels per cell of the base.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from functools import cache

from handful.errors import UsageError
from handful.files import shortened

Shape = tuple[int, int]
"""Height and width, in pixels."""

CELLS = range(3, 9)
"""Cells along a side of the base map."""

PAPER_CELLS = 4

MIN_SIDE = 32
"""Smallest side, in pixels; also the smallest nominal size."""

LARGEST_NOMINAL = 4096

RATIO_COST, ENLARGING_COST = 4.0, 10.0
"""Weights that --size auto gives to a different ratio and to enlarging, relative to a different area (all as logs)."""


def read_size(size: int | str) -> Shape:
    """Read any size as ``--size`` writes it: 256, or width and height as in 768x512.

    Raises:
        UsageError: if it cannot be read.
    """
    # Python refuses to write a number of thousands of digits.
    text = size if isinstance(size, str) else str(size) if abs(size) < 10**9 else "of more than 9 digits"
    match = re.fullmatch(r"\s*(\d{1,6})\s*(?:[x*]\s*(\d{1,6})\s*)?", text)
    if match is None:
        raise UsageError(f"--size {shortened(text)}: give pixels, such as 256, or width and height, such as 768x512")
    return int(match[2] or match[1]), int(match[1])


def parse(size: int | str) -> Shape:
    """Read the size of a network's images.

    Raises:
        UsageError: if it cannot be read, or no base map grows to it. The message names the nearest size.
    """
    height, width = read_size(size)
    if not bases((height, width)):
        near = nearest(height, width)
        raise UsageError(
            f"--size {size}: sides must be 3 to 8 times a common power of two and at least {MIN_SIDE} pixels, as in "
            f"256, 96x64 or 768x512; the nearest is {spelled(near)}"
        )
    return height, width


def spelled(shape: Shape) -> str:
    """Write a size as ``--size`` has it, width first; a square's by one number."""
    height, width = shape
    return str(height) if height == width else f"{width}x{height}"


def bases(shape: Shape) -> list[Shape]:
    """Return the base maps that grow to a size, the one nearest to the paper's 4 x 4 first; empty if there is none."""
    if min(shape) < MIN_SIDE:
        return []
    found = []
    scale = MIN_SIDE // PAPER_CELLS
    while scale <= LARGEST_NOMINAL // PAPER_CELLS:
        base = shape[0] // scale, shape[1] // scale
        if base[0] in CELLS and base[1] in CELLS and (base[0] * scale, base[1] * scale) == shape:
            found.append(base)
        scale *= 2
    return sorted(found, key=lambda base: abs(math.log(base[0] * base[1] / PAPER_CELLS**2)))


def base_of(shape: Shape) -> Shape:
    """Return the base map that a size is grown from, in cells: the one whose area is nearest to 4 x 4."""
    return bases(shape)[0]


def nominal_of(shape: Shape) -> int:
    """Return the nominal size: the side of the square image that as many doublings make of 4 x 4 cells."""
    return PAPER_CELLS * shape[0] // base_of(shape)[0]


def map_shape(base: Shape, nominal: int) -> Shape:
    """Return the height and width, in pixels, of a map of a nominal size."""
    return base[0] * nominal // PAPER_CELLS, base[1] * nominal // PAPER_CELLS


@cache
def all_sizes() -> tuple[Shape, ...]:
    """Return all sizes that a network can have."""
    scales = [2**power for power in range(3, 11)]
    found = {(rows * scale, columns * scale) for scale in scales for rows in CELLS for columns in CELLS}
    return tuple(sorted(shape for shape in found if bases(shape)))


def nearest(height: int, width: int) -> Shape:
    """Return the network size nearest to another size, by the logarithms of both sides."""
    height, width = max(height, 1), max(width, 1)
    return min(all_sizes(), key=lambda shape: math.hypot(math.log(shape[0] / height), math.log(shape[1] / width)))


def suitable(sizes: Sequence[Shape], most: int) -> Shape:
    """Return a network size for images: near their median proportions and area, up to ``most`` squared pixels."""
    ratio = statistics.median(math.log(width / height) for height, width in sizes)
    own = statistics.median(math.log(height * width) for height, width in sizes)
    wanted = min(own, math.log(most**2))

    def cost(shape: Shape) -> float:
        height, width = shape
        area = math.log(height * width)
        enlarged = max(0.0, area - own)
        return RATIO_COST * abs(math.log(width / height) - ratio) + ENLARGING_COST * enlarged + abs(area - wanted)

    return min(all_sizes(), key=cost)
