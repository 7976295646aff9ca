"""Bars of one colour along the edges: letterboxes, frames, the margins of scans; not plain backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, UInt8

EVEN = 6
"""Grey levels within which a bar has one colour; JPEG changes black and white by less."""


MOST = 0.98
"""Share of the pixels of a row of a bar that have its colour."""


JUMP = 24
"""Grey levels by which a pixel is another colour."""


SHARED, ALONE = 0.6, 0.85
"""Share of a bar's length along which the picture must begin at once: with a bar opposite, and without.

A face on a plain background touches its outermost row with a few pixels; a picture in a frame with nearly all.
"""


THINNEST, THINNEST_ALONE = 2, 5
"""Rows of a picture of 128; with a bar opposite, and without."""


BLURRED = 4
"""Rows within which a picture begins, at its full contrast."""


DEEPEST = 0.45
"""Share of the height. What has more is empty rather than framed."""


@dataclass(frozen=True)
class Bars:
    """Depths of bars, as shares of the height and of the width."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    @property
    def share(self) -> float:
        """Share of the picture that they take."""
        return 1 - (1 - self.top - self.bottom) * (1 - self.left - self.right)

    def __str__(self) -> str:
        sides = [f"{name} {getattr(self, name):.0%}" for name in ("top", "bottom", "left", "right")]
        return ", ".join(side for side in sides if not side.endswith(" 0%"))


def bars(picture: UInt8[np.ndarray, "h w 3"]) -> Bars:
    """Find bars along the edges of a picture, which must end all along at once.

    A sky that fades into the picture is none, nor is a background with something small on it.
    """
    upright = picture.astype(np.int16)
    across = upright.transpose(1, 0, 2)
    depths = [even_rows(side) for side in (upright, upright[::-1], across, across[::-1])]
    top, bottom = edges(upright, depths[0], depths[1], slice(depths[2], upright.shape[1] - depths[3]))
    left, right = edges(across, depths[2], depths[3], slice(depths[0], upright.shape[0] - depths[1]))
    height, width = picture.shape[:2]
    return Bars(top / height, bottom / height, left / width, right / width)


def even_rows(rows: Int16[np.ndarray, "h w 3"]) -> int:
    """Count the rows from the first that have its colour; 0 where that goes on over most of the picture."""
    colour = np.median(rows[0], axis=0)
    if (away(rows[:1], colour) <= EVEN).mean() < MOST:
        return 0
    even = (away(rows, colour) <= EVEN).mean(axis=1) >= MOST
    count = len(even) if even.all() else int(even.argmin())
    return count if count <= DEEPEST * len(rows) else 0


def away(rows: Int16[np.ndarray, "r w 3"], colour: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "r w"]:
    """Give how far pixels are from a colour, in the channel where that is furthest."""
    off = np.abs(rows - colour)
    furthest: Float64[np.ndarray, "r w"] = np.maximum(np.maximum(off[..., 0], off[..., 1]), off[..., 2])
    return furthest


def edges(rows: Int16[np.ndarray, "h w 3"], first: int, last: int, between: slice) -> tuple[int, int]:
    """Give the depths of the bars at the first and last rows, 0 where there is none.

    ``between`` are the pixels of a row that no bar across it takes.
    """
    starts = [start(rows, first, between), start(rows[::-1], last, between)]
    colours = np.median(rows[0], axis=0), np.median(rows[-1], axis=0)
    alike = np.abs(colours[0] - colours[1]).max() <= 2 * EVEN
    if alike and min(first, last) >= THINNEST and min(starts) >= SHARED:
        return first, last
    alone = [
        depth * (depth >= THINNEST_ALONE and share >= ALONE) for depth, share in zip((first, last), starts, strict=True)
    ]
    return alone[0], alone[1]


def start(rows: Int16[np.ndarray, "h w 3"], depth: int, between: slice) -> float:
    """Say along which share of a bar the picture begins, within the few rows that scaling or JPEG have blurred."""
    inside = rows[depth : depth + BLURRED, between]
    if depth == 0 or inside.size == 0:
        return 0.0
    return float((away(inside, np.median(rows[0], axis=0)) >= JUMP).mean(axis=1).max())
