"""Rules that judge what the pictures show, whether they come from files or from the memory of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from handful.data.checkup.findings import Case, Finding, case_per_file, counted
from handful.data.checkup.inspection import Preview
from handful.data.checkup.near_duplicates import find_near_duplicates
from handful.data.checkup.outliers import find_outliers, over_white

BLANK_LEVELS = 10
"""Range of grey levels in the thumbnail of a blank image, at most."""

DARK, BRIGHT = 40 / 255, 215 / 255
"""A picture with 95 % of its pixels below, or above, is too dark or bright, unless the whole set is like that."""

MIN_VARIETY_LEVELS = 12.0
"""Median difference between two pictures below which all are nearly the same. Three real sets have 24, 61 and 64."""

COMPARED_PAIRS, PAIRS_PER_BLOCK = 2_000, 100

IMAGES_PER_BLOCK = 512


def check_pixels(previews: Sequence[Preview]) -> list[Finding]:
    """Find blank images, near duplicates, lack of variety, wrong exposure, outliers and bars."""
    if not previews:
        return []
    stack = np.stack([preview.thumbnail for preview in previews])
    names = [preview.name for preview in previews]
    is_blank = np.ptp(stack.reshape(len(stack), -1, 4), axis=1).max(axis=1) <= BLANK_LEVELS
    findings = [check_blank([name for name, blank in zip(names, is_blank, strict=True) if blank])]
    names = [name for name, blank in zip(names, is_blank, strict=True) if not blank]
    stack = stack[~is_blank]
    if len(stack):
        exposure, misexposed = check_exposure(names, stack)
        findings += [check_near_duplicates(names, stack), check_variety(stack), *exposure]
        findings += [check_outliers([names[index] for index in find_outliers(stack) if index not in misexposed])]
    findings.append(check_bars(previews))
    return [finding for finding in findings if finding is not None]


def check_blank(names: Sequence[str]) -> Finding | None:
    """Report images of a single colour."""
    if not names:
        return None
    return Finding(
        "blank",
        "warning",
        f"{counted(len(names), 'image is', 'images are')} blank: one colour all over",
        "Delete them if they show nothing: a generator learns to draw blank images too.",
        case_per_file(names),
    )


def check_near_duplicates(names: Sequence[str], stack: UInt8[np.ndarray, "n s s 4"]) -> Finding | None:
    """Report groups of images that are nearly the same."""
    groups = find_near_duplicates(stack)
    if not groups:
        return None
    spare = sum(len(group.members) - 1 for group in groups)
    return Finding(
        "near-duplicates",
        "warning",
        f"{counted(spare, 'image is', 'images are')} nearly the same as another one: compressed, scaled or mirrored",
        "Keep the best of each group. Copies are seen more often and memorised first, and they flatter the scores on"
        " held-out images.",
        tuple(Case(tuple(names[m] for m in group.members), "mirrored" * group.is_mirrored) for group in groups),
    )


def check_variety(stack: UInt8[np.ndarray, "n s s 4"]) -> Finding | None:
    """Report a set whose images are nearly all the same."""
    if len(stack) < 3:
        return None
    random = np.random.default_rng(0)
    first = random.integers(len(stack), size=COMPARED_PAIRS)
    second = (first + random.integers(1, len(stack), size=COMPARED_PAIRS)) % len(stack)
    blocks = [slice(start, start + PAIRS_PER_BLOCK) for start in range(0, COMPARED_PAIRS, PAIRS_PER_BLOCK)]
    differences = [
        np.sqrt(((stack[first[block]].astype(np.float32) - stack[second[block]]) ** 2).mean(axis=(1, 2, 3)))
        for block in blocks
    ]
    typical = float(np.median(np.concatenate(differences)))
    if typical >= MIN_VARIETY_LEVELS:
        return None
    return Finding(
        "variety",
        "warning",
        f"the images are nearly all the same: two of them typically differ by {typical:.0f} of 256 grey levels",
        "Add images with other subjects, places, light and backgrounds: a generator draws only the variety that it"
        " has seen.",
    )


def check_exposure(names: Sequence[str], stack: UInt8[np.ndarray, "n s s 4"]) -> tuple[list[Finding], set[int]]:
    """Report images that are much darker or brighter than the others, and return their indices as well."""
    starts = range(0, len(stack), IMAGES_PER_BLOCK)
    lumas = np.concatenate([over_white(stack[start : start + IMAGES_PER_BLOCK])[1] for start in starts])
    darkest, brightest = np.percentile(lumas, [5, 95], axis=(1, 2))
    is_opaque = stack[..., 3].min(axis=(1, 2)) == 255
    groups = []
    if np.median(brightest) > 2 * DARK:
        groups.append(("dark", np.flatnonzero(brightest < DARK)))
    if np.median(darkest) < 1 - 2 * (1 - BRIGHT):
        groups.append(("bright", np.flatnonzero((darkest > BRIGHT) & is_opaque)))
    findings = [
        Finding(
            kind,
            "note",
            f"{counted(len(indices), 'image is', 'images are')} far too {kind}",
            "Correct the exposure, or delete images that cannot be made out.",
            case_per_file([names[int(index)] for index in indices]),
        )
        for kind, indices in groups
        if len(indices)
    ]
    return findings, {int(index) for _, indices in groups for index in indices}


def check_outliers(names: Sequence[str]) -> Finding | None:
    """Report images that are worth a look."""
    if not names:
        return None
    return Finding(
        "outliers",
        "note",
        f"{counted(len(names), 'image looks', 'images look')} unlike the others in colour and contrast",
        "Delete what does not belong. Keep what does, and add more like it if you can.",
        case_per_file(names),
    )


def check_bars(previews: Sequence[Preview]) -> Finding | None:
    """Report images with bars along their edges."""
    cases = [Case((preview.name,), str(preview.bars)) for preview in previews if preview.bars.share]
    if not cases:
        return None
    return Finding(
        "bars",
        "warning",
        f"{counted(len(cases), 'image has', 'images have')} bars of one colour along the edges",
        "Crop them: a generator learns to draw bars too.",
        tuple(cases),
    )
