"""What can be seen in the pictures themselves, whether they come from files or from the memory of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from handful.data.checkup.findings import Case, Finding, counted, singly
from handful.data.checkup.look import Sight
from handful.data.checkup.outliers import outliers, over_white
from handful.data.checkup.twins import twins

FLAT = 10
"""Grey levels that a picture spans, averaged over a thousandth of it, where there is nothing in it."""


DARK, BRIGHT = 40 / 255, 215 / 255
"""A picture with 95 % of it below, or above, is far too dark or bright, where that is not how the set is."""


VARIED = 12.0
"""Grey levels by which two pictures of a set differ, by the median, where they are not all nearly the same; in three
real sets they differ by 24, 61 and 64."""


PAIRS = 2_000


def in_pixels(sights: Sequence[Sight]) -> list[Finding]:
    """Look for what the pictures show: blanks, near duplicates, sameness, bars, too dark or bright, outliers."""
    if not sights:
        return []
    stack = np.stack([sight.thumbnail for sight in sights])
    names = [sight.name for sight in sights]
    empty = np.ptp(stack.reshape(len(stack), -1, 4), axis=1).max(axis=1) <= FLAT
    found = [blank([name for name, is_empty in zip(names, empty, strict=True) if is_empty])]
    names = [name for name, is_empty in zip(names, empty, strict=True) if not is_empty]
    stack = stack[~empty]
    if len(stack):
        lit, odd = light(names, stack)
        found += [near_duplicates(names, stack), sameness(stack), *lit]
        found += [unlike([names[index] for index in outliers(stack) if index not in odd])]
    found.append(framed(sights))
    return [finding for finding in found if finding is not None]


def blank(names: Sequence[str]) -> Finding | None:
    """Name pictures of one colour."""
    if not names:
        return None
    return Finding(
        "blank",
        "warning",
        f"{counted(len(names), 'image is', 'images are')} blank: one colour all over",
        "Delete what shows nothing; it would be drawn as it is.",
        singly(names),
    )


def near_duplicates(names: Sequence[str], stack: UInt8[np.ndarray, "n s s 4"]) -> Finding | None:
    """Name groups of pictures that are the same."""
    groups = twins(stack)
    if not groups:
        return None
    spare = sum(len(group.members) - 1 for group in groups)
    return Finding(
        "near-duplicates",
        "warning",
        f"{counted(spare, 'image is', 'images are')} nearly the same as another one: compressed, scaled or mirrored",
        "Keep the best of each group. What is there twice is seen twice as often, is learned by heart first, and makes"
        " scores on held-back images look better than they are.",
        tuple(Case(tuple(names[m] for m in group.members), "mirrored" * group.mirrored) for group in groups),
    )


def sameness(stack: UInt8[np.ndarray, "n s s 4"]) -> Finding | None:
    """Say that all pictures are nearly the same."""
    if len(stack) < 3:
        return None
    random = np.random.default_rng(0)
    first = random.integers(len(stack), size=PAIRS)
    second = (first + random.integers(1, len(stack), size=PAIRS)) % len(stack)
    parts = [slice(place, place + 100) for place in range(0, PAIRS, 100)]
    apart = [
        np.sqrt(((stack[first[part]].astype(np.float32) - stack[second[part]]) ** 2).mean(axis=(1, 2, 3)))
        for part in parts
    ]
    typical = float(np.median(np.concatenate(apart)))
    if typical >= VARIED:
        return None
    return Finding(
        "variety",
        "warning",
        f"the images are nearly all the same: two of them differ by {typical:.0f} of 256 grey levels",
        "Add images that differ in what they show, its place, light and background: a generator draws no more kinds"
        " than it has seen.",
    )


def light(names: Sequence[str], stack: UInt8[np.ndarray, "n s s 4"]) -> tuple[list[Finding], set[int]]:
    """Name pictures that are far darker or brighter than the others, and give their numbers."""
    lumas = np.concatenate([over_white(stack[place : place + 512])[1] for place in range(0, len(stack), 512)])
    darkest, brightest = np.percentile(lumas, [5, 95], axis=(1, 2))
    opaque = stack[..., 3].min(axis=(1, 2)) == 255
    groups = []
    if np.median(brightest) > 2 * DARK:
        groups.append(("dark", np.flatnonzero(brightest < DARK)))
    if np.median(darkest) < 1 - 2 * (1 - BRIGHT):
        groups.append(("bright", np.flatnonzero((darkest > BRIGHT) & opaque)))
    found = [
        Finding(
            word,
            "note",
            f"{counted(len(which), 'image is', 'images are')} far too {word}",
            "Correct the exposure, or delete what cannot be made out.",
            singly([names[int(index)] for index in which]),
        )
        for word, which in groups
        if len(which)
    ]
    return found, {int(index) for _, which in groups for index in which}


def unlike(names: Sequence[str]) -> Finding | None:
    """Name pictures to have a look at."""
    if not names:
        return None
    return Finding(
        "outliers",
        "note",
        f"{counted(len(names), 'image looks', 'images look')} unlike the others, by colours and contrast",
        "Have a look. Delete what does not belong; keep what does, and add more like it if you can.",
        singly(names),
    )


def framed(sights: Sequence[Sight]) -> Finding | None:
    """Name pictures with bars."""
    cases = [Case((sight.name,), str(sight.bars)) for sight in sights if sight.bars.share]
    if not cases:
        return None
    return Finding(
        "bars",
        "warning",
        f"{counted(len(cases), 'image has', 'images have')} bars of one colour along the edges",
        "Cut them off: a generator draws them too.",
        tuple(cases),
    )
