"""Near duplicates: the same picture compressed, scaled or mirrored, among up to tens of thousands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

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
    """Find the groups of near duplicates. Takes time by the square of n: 20,000 take about a minute on two cores."""
    count, side = thumbnails.shape[:2]
    block = side // COARSE
    means = thumbnails.reshape(count, COARSE, block, COARSE, block, 4).mean(axis=(2, 4), dtype=np.float32)
    plain = means.reshape(count, -1)
    turned = means[:, :, ::-1].reshape(count, -1)
    sizes = (plain**2).sum(axis=1)
    leader = list(range(count))
    mirrored: set[int] = set()
    for first in range(0, count, ROWS):
        rows = slice(first, first + ROWS)
        for flipped, vectors in ((False, plain), (True, turned)):
            squares = sizes[rows, None] + sizes[None, first:] - 2 * vectors[rows] @ plain[first:].T
            near = squares <= WHOLE**2 * plain.shape[1]
            for row in np.flatnonzero(near.any(axis=1)):
                index = first + int(row)
                others = np.flatnonzero(near[row, row + 1 :]) + index + 1
                join(thumbnails, index, others, leader, mirrored, flipped=flipped)
    groups: dict[int, list[int]] = {}
    for index in range(count):
        groups.setdefault(root(leader, index), []).append(index)
    marked = {root(leader, index) for index in mirrored}
    return [Twins(tuple(group), head in marked) for head, group in groups.items() if len(group) > 1]


def join(
    thumbnails: UInt8[np.ndarray, "n s s 4"],
    index: int,
    others: Int64[np.ndarray, " m"],
    leader: list[int],
    mirrored: set[int],
    *,
    flipped: bool,
) -> None:
    """Put those of the others that are the same as a picture into its group.

    Those that are in it already are passed over: so a thousand times the same picture costs one comparison each.
    """
    head = root(leader, index)
    others = np.array([other for other in others if root(leader, int(other)) != head], np.int64)
    if len(others) == 0:
        return
    own = thumbnails[index][:, ::-1] if flipped else thumbnails[index]
    for other in others[same(own, thumbnails[others])]:
        leader[root(leader, int(other))] = head
        if flipped:
            mirrored.add(index)


def root(leader: list[int], index: int) -> int:
    """Give the number that stands for the group of a picture."""
    while leader[index] != index:
        leader[index] = leader[leader[index]]
        index = leader[index]
    return index


def same(one: UInt8[np.ndarray, "s s 4"], others: UInt8[np.ndarray, "m s s 4"]) -> np.ndarray:
    """Say which pictures are the same as one."""
    mine, theirs = one[None].astype(np.float32), others.astype(np.float32)
    off = theirs - mine
    whole = np.sqrt((off**2).mean(axis=(1, 2, 3)))
    patches = off.shape[1] // PATCH
    parts = np.abs(off).mean(axis=3).reshape(-1, patches, PATCH, patches, PATCH).mean(axis=(2, 4)).max(axis=(1, 2))
    allowed = RELATIVE * np.minimum(contrast(mine), contrast(theirs))
    alike: np.ndarray = (whole <= np.minimum(WHOLE, allowed)) & (parts <= PART)
    return alike


def contrast(pictures: Float32[np.ndarray, "m s s 4"]) -> Float32[np.ndarray, " m"]:
    """Give how far, in grey levels, the pixels of pictures are from their mean colour."""
    away = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    spread: Float32[np.ndarray, " m"] = np.sqrt((away**2).mean(axis=(1, 2, 3)))
    return spread
