"""Find bars of one colour along the edges: letterboxes, frames and margins of scans, but not plain backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, UInt8

SAME_LEVELS = 6
"""Grey levels within which pixels count as one colour; JPEG changes black and white by less."""

MIN_SAME_SHARE = 0.98
"""Share of the pixels in a row of a bar that have its colour."""

DIFFERENT_LEVELS = 24
"""Grey levels from which pixels count as another colour."""

MIN_START_SHARE, MIN_SINGLE_START_SHARE = 0.6, 0.85
"""Share of a bar's length along which the picture must start at once: with a bar opposite, and without.

A face on a plain background touches its outermost row with a few pixels, a framed picture with nearly all.
"""

MIN_ROWS, MIN_SINGLE_ROWS = 2, 5
"""Rows of a bar in a picture of 128 pixels: with a bar opposite, and without."""

BLURRED_ROWS = 4
"""Rows within which a picture reaches its full contrast, since scaling and JPEG blur its edge."""

MAX_DEPTH_SHARE = 0.45
"""Share of the height beyond which a picture counts as empty, not as framed."""


@dataclass(frozen=True)
class Bars:
    """Depths of bars, as shares of the height or width."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    @property
    def share(self) -> float:
        """Share of the picture's area that the bars cover."""
        return 1 - (1 - self.top - self.bottom) * (1 - self.left - self.right)

    def __str__(self) -> str:
        sides = [f"{name} {getattr(self, name):.0%}" for name in ("top", "bottom", "left", "right")]
        return ", ".join(side for side in sides if not side.endswith(" 0%"))


def find_bars(picture: UInt8[np.ndarray, "h w 3"]) -> Bars:
    """Find bars along the edges of a picture, whose inner edges must be straight and sharp.

    A sky that fades into the picture is no bar, nor is a plain background around a small object.
    """
    upright = picture.astype(np.int16)
    across = upright.transpose(1, 0, 2)
    depths = [count_even_rows(side) for side in (upright, upright[::-1], across, across[::-1])]
    top, bottom = bar_depths(upright, depths[0], depths[1], slice(depths[2], upright.shape[1] - depths[3]))
    left, right = bar_depths(across, depths[2], depths[3], slice(depths[0], upright.shape[0] - depths[1]))
    height, width = picture.shape[:2]
    return Bars(top / height, bottom / height, left / width, right / width)


def count_even_rows(rows: Int16[np.ndarray, "h w 3"]) -> int:
    """Count the first rows that have the colour of the very first one; 0 if they cover most of the picture."""
    colour = np.median(rows[0], axis=0)
    if (difference(rows[:1], colour) <= SAME_LEVELS).mean() < MIN_SAME_SHARE:
        return 0
    is_even = (difference(rows, colour) <= SAME_LEVELS).mean(axis=1) >= MIN_SAME_SHARE
    count = len(is_even) if is_even.all() else int(is_even.argmin())
    return count if count <= MAX_DEPTH_SHARE * len(rows) else 0


def difference(rows: Int16[np.ndarray, "r w 3"], colour: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "r w"]:
    """Return how far each pixel is from a colour, in the channel that differs most."""
    levels = np.abs(rows - colour)
    largest: Float64[np.ndarray, "r w"] = np.maximum(np.maximum(levels[..., 0], levels[..., 1]), levels[..., 2])
    return largest


def bar_depths(rows: Int16[np.ndarray, "h w 3"], first: int, last: int, between: slice) -> tuple[int, int]:
    """Return the depths of the bars at the first and the last rows, in rows; 0 without a bar.

    Args:
        rows: The picture.
        first: Rows of even colour at its start.
        last: Rows of even colour at its end.
        between: The columns that no bar at the other two sides covers.
    """
    shares = [start_share(rows, first, between), start_share(rows[::-1], last, between)]
    colours = np.median(rows[0], axis=0), np.median(rows[-1], axis=0)
    alike = np.abs(colours[0] - colours[1]).max() <= 2 * SAME_LEVELS
    if alike and min(first, last) >= MIN_ROWS and min(shares) >= MIN_START_SHARE:
        return first, last
    single = [
        depth * (depth >= MIN_SINGLE_ROWS and share >= MIN_SINGLE_START_SHARE)
        for depth, share in zip((first, last), shares, strict=True)
    ]
    return single[0], single[1]


def start_share(rows: Int16[np.ndarray, "h w 3"], depth: int, between: slice) -> float:
    """Return the share of a bar's length along which the picture starts within a few rows."""
    inside = rows[depth : depth + BLURRED_ROWS, between]
    if depth == 0 or inside.size == 0:
        return 0.0
    return float((difference(inside, np.median(rows[0], axis=0)) >= DIFFERENT_LEVELS).mean(axis=1).max())
