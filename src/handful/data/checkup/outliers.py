"""Find pictures unlike all others by colour, contrast and detail, without a trained network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

NEIGHBOUR_RANK = 5
"""A picture is as isolated as its fifth nearest neighbour is far, so that four outliers of one kind do not hide each
other."""

OUTLIER_RATIO = 2.2
"""How many times as isolated as 90 % of the pictures an outlier is. That makes 2 outliers of 364 cells, 2 of 111 emoji
and none of 179 raccoons."""

MIN_IMAGES = 20
"""Smaller sets do not tell what is usual."""

MIN_SPREAD = 0.02
"""Five grey levels. Features that vary less across the set are not amplified to unit spread."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

ROWS_PER_BLOCK = 512


def find_outliers(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> list[int]:
    """Return the indices of the pictures that are unlike the others, the most isolated first."""
    if len(thumbnails) < MIN_IMAGES:
        return []
    distances = isolation(scaled_features(thumbnails))
    usual = np.percentile(distances, 90)
    order = np.argsort(-distances, kind="stable")
    return [int(index) for index in order if distances[index] > OUTLIER_RATIO * usual]


def scaled_features(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> Float32[np.ndarray, "n d"]:
    """Describe each picture by a dozen numbers, centred and in units of their usual spread."""
    starts = range(0, len(thumbnails), ROWS_PER_BLOCK)
    table = np.concatenate([features(thumbnails[start : start + ROWS_PER_BLOCK]) for start in starts])
    centred = table - np.median(table, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(centred), axis=0), MIN_SPREAD)
    scaled: Float32[np.ndarray, "n d"] = (centred / spread).astype(np.float32)
    return scaled


def features(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> Float32[np.ndarray, "n d"]:
    """Return means and deviations of luma and colour, mean alpha, amount of detail, and dark and bright percentiles."""
    colours, luma = over_white(thumbnails)
    blue, red = colours[..., 2] - luma, colours[..., 0] - luma
    count, side = luma.shape[:2]
    coarse = luma.reshape(count, side // 4, 4, side // 4, 4).mean(axis=(2, 4))
    detail = [np.sqrt(np.abs(np.diff(luma, axis=axis)).mean(axis=(1, 2))) for axis in (1, 2)]
    means = [values.mean(axis=(1, 2)) for values in (luma, blue, red, thumbnails[..., 3] / np.float32(255))]
    deviations = [values.std(axis=(1, 2)) for values in (luma, blue, red, coarse)]
    darkest, brightest = np.percentile(luma, [5, 95], axis=(1, 2))
    table = np.stack([*means, *deviations, *detail, darkest, brightest], axis=1)
    return table.astype(np.float32)


def over_white(
    thumbnails: UInt8[np.ndarray, "n s s 4"],
) -> tuple[Float32[np.ndarray, "n s s 3"], Float32[np.ndarray, "n s s"]]:
    """Return premultiplied pictures over white and their luma, in [0, 1]."""
    values = thumbnails.astype(np.float32) / 255
    colours = values[..., :3] + 1 - values[..., 3:]
    return colours, colours @ LUMA


def isolation(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " n"]:
    """Return the distance of each vector to its fifth nearest neighbour."""
    norms = (vectors**2).sum(axis=1)
    nearest = []
    for first in range(0, len(vectors), ROWS_PER_BLOCK):
        rows = vectors[first : first + ROWS_PER_BLOCK]
        squares = norms[first : first + ROWS_PER_BLOCK, None] + norms[None] - 2 * rows @ vectors.T
        # The nearest vector is the vector itself.
        nearest.append(np.partition(squares, NEIGHBOUR_RANK, axis=1)[:, NEIGHBOUR_RANK])
    distances: Float32[np.ndarray, " n"] = np.sqrt(np.maximum(np.concatenate(nearest), 0))
    return distances
