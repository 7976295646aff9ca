"""Find near duplicates, the same picture compressed, scaled or mirrored, among up to tens of thousands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

COARSE_PIXELS = 8
"""Side of the thumbnails by which all pairs are compared first. Averaging never increases a difference, so none is
missed."""

PATCH_PIXELS = 4
"""Side of the patches that must all agree, so that two faces that differ in the mouth are told apart."""

MAX_RMS_LEVELS, MAX_PATCH_LEVELS = 10.0, 14.0
"""Grey levels by which near duplicates may differ: root mean square of all pixels, and mean of the worst patch.

Copies of three real sets saved as JPEG at quality 10, or at a third of the size, differ by up to 8 and 11. The closest
two different pictures in these sets differ by 12.8 and 19.
"""

MAX_CONTRAST_SHARE = 0.5
"""Share of the contrast of the plainer picture by which the two may differ, so that dark or hazy ones are told
apart."""

ROWS_PER_BLOCK = 256
"""Pictures compared with all others at a time."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Indices of pictures that are the same."""

    members: tuple[int, ...]
    is_mirrored: bool
    """Whether some of them are mirror images of others."""


def find_near_duplicates(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> list[DuplicateGroup]:
    """Return the groups of near duplicates. Takes time quadratic, and memory linear, in the number of pictures."""
    count, side = thumbnails.shape[:2]
    block = side // COARSE_PIXELS
    means = thumbnails.reshape(count, COARSE_PIXELS, block, COARSE_PIXELS, block, 4)
    means = means.mean(axis=(2, 4), dtype=np.float32)
    straight = means.reshape(count, -1)
    flipped = means[:, :, ::-1].reshape(count, -1)
    norms = (straight**2).sum(axis=1)
    group = np.arange(count)
    is_mirrored = np.zeros(count, bool)
    for first in range(0, count, ROWS_PER_BLOCK):
        rows = slice(first, first + ROWS_PER_BLOCK)
        for mirror, vectors in ((False, straight), (True, flipped)):
            squares = norms[rows, None] + norms[None, first:] - 2 * vectors[rows] @ straight[first:].T
            candidates = squares <= MAX_RMS_LEVELS**2 * straight.shape[1]
            for row in np.flatnonzero(candidates.any(axis=1)):
                index = first + int(row)
                others = np.flatnonzero(candidates[row, row + 1 :]) + index + 1
                # Pictures of the same group are passed over, which makes a thousand copies of one picture cheap.
                others = others[group[others] != group[index]]
                if len(others) == 0:
                    continue
                one = thumbnails[index][:, ::-1] if mirror else thumbnails[index]
                others = others[same_as(one, thumbnails, others)]
                group[np.isin(group, group[others])] = group[index]
                is_mirrored[others] |= mirror
    numbers, sizes = np.unique(group, return_counts=True)
    groups = [np.flatnonzero(group == number) for number in numbers[sizes > 1]]
    return [DuplicateGroup(tuple(members.tolist()), bool(is_mirrored[members].any())) for members in groups]


def same_as(
    one: UInt8[np.ndarray, "s s 4"], thumbnails: UInt8[np.ndarray, "n s s 4"], others: np.ndarray
) -> Bool[np.ndarray, " m"]:
    """Return which of the pictures with the indices ``others`` are the same as one, a block at a time."""
    blocks = [others[start : start + ROWS_PER_BLOCK] for start in range(0, len(others), ROWS_PER_BLOCK)]
    return np.concatenate([is_same(one, thumbnails[block]) for block in blocks])


def is_same(one: UInt8[np.ndarray, "s s 4"], others: UInt8[np.ndarray, "m s s 4"]) -> Bool[np.ndarray, " m"]:
    """Return which pictures are the same as one."""
    mine, theirs = one[None].astype(np.float32), others.astype(np.float32)
    difference = theirs - mine
    rms = np.sqrt((difference**2).mean(axis=(1, 2, 3)))
    count = difference.shape[1] // PATCH_PIXELS
    patches = np.abs(difference).mean(axis=3).reshape(-1, count, PATCH_PIXELS, count, PATCH_PIXELS).mean(axis=(2, 4))
    allowed = MAX_CONTRAST_SHARE * np.minimum(contrast(mine), contrast(theirs))
    same: Bool[np.ndarray, " m"] = (rms <= np.minimum(MAX_RMS_LEVELS, allowed)) & (
        patches.max(axis=(1, 2)) <= MAX_PATCH_LEVELS
    )
    return same


def contrast(pictures: Float32[np.ndarray, "m s s 4"]) -> Float32[np.ndarray, " m"]:
    """Return the standard deviation of each picture's pixels around its mean colour, in grey levels."""
    difference = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    deviation: Float32[np.ndarray, " m"] = np.sqrt((difference**2).mean(axis=(1, 2, 3)))
    return deviation
