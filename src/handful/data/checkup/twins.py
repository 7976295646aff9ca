"""Near duplicates: the same picture compressed, scaled or mirrored, among up to tens of thousands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

COARSE = 8
"""Side of the thumbnails that all pairs are compared by; means can only differ less than what they are means of."""


PATCH = 4
"""Side of the patches of a thumbnail that must all be alike, so that another mouth makes another face."""


WHOLE, PART = 10.0, 14.0
"""Grey levels by which near duplicates may differ: root mean square of all, mean of the worst patch.

Copies of three real sets saved as JPEG at quality 10, or at a third of the size, differ by up to 8 and 11; the nearest
two different pictures of them by 12.8 and 19.
"""


RELATIVE = 0.5
"""Share of the contrast of the plainer picture by which they may differ, so that dark or hazy ones are told apart."""


ROWS = 256
"""Pictures compared with all others at a time."""


@dataclass(frozen=True)
class Twins:
    """Pictures, by number, that are the same."""

    members: tuple[int, ...]
    mirrored: bool
    """Whether some of them are mirror images of others."""


def twins(thumbnails: UInt8[np.ndarray, "n s s 4"]) -> list[Twins]:
    """Find the groups of near duplicates. Takes time by the square of n, and memory by n."""
    count, side = thumbnails.shape[:2]
    block = side // COARSE
    means = thumbnails.reshape(count, COARSE, block, COARSE, block, 4).mean(axis=(2, 4), dtype=np.float32)
    plain = means.reshape(count, -1)
    turned = means[:, :, ::-1].reshape(count, -1)
    sizes = (plain**2).sum(axis=1)
    group = np.arange(count)
    mirrored = np.zeros(count, bool)
    for first in range(0, count, ROWS):
        rows = slice(first, first + ROWS)
        for flipped, vectors in ((False, plain), (True, turned)):
            squares = sizes[rows, None] + sizes[None, first:] - 2 * vectors[rows] @ plain[first:].T
            near = squares <= WHOLE**2 * plain.shape[1]
            for row in np.flatnonzero(near.any(axis=1)):
                index = first + int(row)
                others = np.flatnonzero(near[row, row + 1 :]) + index + 1
                # What is in the same group already is passed over: so a thousand times the same picture is cheap.
                others = others[group[others] != group[index]]
                if len(others) == 0:
                    continue
                own = thumbnails[index][:, ::-1] if flipped else thumbnails[index]
                parts = [others[place : place + ROWS] for place in range(0, len(others), ROWS)]
                others = others[np.concatenate([same(own, thumbnails[part]) for part in parts])]
                group[np.isin(group, group[others])] = group[index]
                mirrored[others] |= flipped
    numbers, counts = np.unique(group, return_counts=True)
    found = [np.flatnonzero(group == number) for number in numbers[counts > 1]]
    return [Twins(tuple(each.tolist()), bool(mirrored[each].any())) for each in found]


def same(one: UInt8[np.ndarray, "s s 4"], others: UInt8[np.ndarray, "m s s 4"]) -> Bool[np.ndarray, " m"]:
    """Say which pictures are the same as one."""
    mine, theirs = one[None].astype(np.float32), others.astype(np.float32)
    off = theirs - mine
    whole = np.sqrt((off**2).mean(axis=(1, 2, 3)))
    patches = off.shape[1] // PATCH
    parts = np.abs(off).mean(axis=3).reshape(-1, patches, PATCH, patches, PATCH).mean(axis=(2, 4)).max(axis=(1, 2))
    allowed = RELATIVE * np.minimum(contrast(mine), contrast(theirs))
    alike: Bool[np.ndarray, " m"] = (whole <= np.minimum(WHOLE, allowed)) & (parts <= PART)
    return alike


def contrast(pictures: Float32[np.ndarray, "m s s 4"]) -> Float32[np.ndarray, " m"]:
    """Give how far, in grey levels, the pixels of pictures are from their mean colour."""
    away = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    spread: Float32[np.ndarray, " m"] = np.sqrt((away**2).mean(axis=(1, 2, 3)))
    return spread
