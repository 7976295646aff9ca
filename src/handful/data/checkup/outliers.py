"""Pictures that are unlike all others, by their colours, contrasts and fineness; no trained network is asked."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

NEIGHBOUR = 5
"""A picture is as far out as its fifth nearest is away, so that four strangers of one kind do not hide each other."""


FAR = 2.2
"""How many times as far out as nine in ten pictures are an outlier is: 2 of 364 cells, 2 of 111 emoji, none of 179
raccoons."""


FEWEST = 20
"""Pictures below which nobody can say what is usual."""


LUMA = np.array([0.299, 0.587, 0.114], np.float32)


ROWS = 512


def outliers(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> list[int]:
    """Find the pictures that are unlike the others, the furthest first."""
    if len(thumbnails) < FEWEST:
        return []
    distances = far_out(features(thumbnails))
    usual = np.percentile(distances, 90)
    order = np.argsort(-distances, kind="stable")
    return [int(index) for index in order if distances[index] > FAR * usual]


def features(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> Float32[np.ndarray, "n d"]:
    """Describe pictures by a dozen numbers, each in units of its usual spread."""
    parts = [thumbnails[first : first + ROWS] for first in range(0, len(thumbnails), ROWS)]
    table = np.concatenate([measured(part) for part in parts])
    away = table - np.median(table, axis=0)
    # A feature that hardly any two pictures differ by says nothing; 0.02 is five grey levels.
    usual = np.maximum(1.4826 * np.median(np.abs(away), axis=0), 0.02)
    scaled: Float32[np.ndarray, "n d"] = (away / usual).astype(np.float32)
    return scaled


def measured(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> Float32[np.ndarray, "n d"]:
    """Give means and spreads of light and colour, how much is transparent, fineness, the darkest and brightest."""
    colours, luma = over_white(thumbnails)
    blue, red = colours[..., 2] - luma, colours[..., 0] - luma
    count, side = luma.shape[:2]
    coarse = luma.reshape(count, side // 4, 4, side // 4, 4).mean(axis=(2, 4))
    steps = [np.sqrt(np.abs(np.diff(luma, axis=axis)).mean(axis=(1, 2))) for axis in (1, 2)]
    means = [each.mean(axis=(1, 2)) for each in (luma, blue, red, thumbnails[..., 3] / np.float32(255))]
    spreads = [each.std(axis=(1, 2)) for each in (luma, blue, red, coarse)]
    darkest, brightest = np.percentile(luma, [5, 95], axis=(1, 2))
    table = np.stack([*means, *spreads, *steps, darkest, brightest], axis=1)
    return table.astype(np.float32)


def over_white(
    thumbnails: UInt8[np.ndarray, "n s s 4"],
) -> tuple[Float32[np.ndarray, "n s s 3"], Float32[np.ndarray, "n s s"]]:
    """Give the colours of premultiplied pictures over white, and their luma, in [0, 1]."""
    values = thumbnails.astype(np.float32) / 255
    colours = values[..., :3] + 1 - values[..., 3:]
    return colours, colours @ LUMA


def far_out(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " n"]:
    """Give how far away the fifth nearest other vector is, some rows at a time."""
    sizes = (vectors**2).sum(axis=1)
    found = []
    for first in range(0, len(vectors), ROWS):
        rows = vectors[first : first + ROWS]
        squares = sizes[first : first + ROWS, None] + sizes[None] - 2 * rows @ vectors.T
        # The nearest is the vector itself.
        found.append(np.partition(squares, NEIGHBOUR, axis=1)[:, NEIGHBOUR])
    distances: Float32[np.ndarray, " n"] = np.sqrt(np.maximum(np.concatenate(found), 0))
    return distances
