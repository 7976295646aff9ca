"""Rules that judge sizes and proportions: what is enlarged, cropped or squashed, and which ``--size`` fits better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from handful.config.geometry import Geometry
from handful.config.sizes import Shape, spelled, suitable
from handful.data.checkup.findings import Case, Finding, counted
from handful.data.checkup.inspection import Folder, InspectedFile

MAX_ENLARGEMENT = 1.5
"""Factor above which an enlarged image looks soft."""

LITTLE_KEPT_SHARE = 0.6
"""Share of an image below which a crop is noted; 16:9 in a square keeps 56 %."""

TOO_LITTLE_KEPT_SHARE = 0.4
"""Share of an image below which it hardly fits at all."""

BETTER_SHARE = 0.15
"""Share more of a typical image that another ``--size`` must keep to be recommended."""

MANY_FILES_SHARE = 0.25
"""Share of the files that must be small for a smaller ``--size`` to be recommended."""


def check_enlargement(folder: Folder) -> Finding | None:
    """Report images that would be enlarged a lot."""
    factors = sorted(
        ((folder.enlargement(file), file) for file in folder.files), key=lambda pair: (-pair[0], pair[1].name)
    )
    cases = tuple(
        Case((file.name,), f"{file.size_text}, enlarged {factor:.1f} times")
        for factor, file in factors
        if factor > MAX_ENLARGEMENT
    )
    if not cases:
        return None
    shape = folder.geometry.shape
    fitting = spelled(suitable([file.shape for file in folder.files], max(shape)))
    remedy = "Use larger originals, or remove these: a generator learns that images may be soft."
    if len(cases) > len(folder.files) * MANY_FILES_SHARE and fitting != spelled(shape):
        remedy = f"Train at their own size with --size {fitting}, or use larger originals."
    what = f"{counted(len(cases), 'image is', 'images are')} much smaller than {size_text(shape)}"
    return Finding("small", "warning", what, remedy, cases)


def check_proportions(folder: Folder) -> Finding | None:
    """Report images whose proportions hardly fit."""
    geometry = folder.geometry
    if geometry.fit == "crop":
        shares = [(folder.kept_share(file), file) for file in folder.files]
    else:
        shares = [(squash_ratio(file, geometry.shape), file) for file in folder.files]
    cases = [
        Case((file.name,), f"{file.size_text}, " + (f"{share:.0%} is kept" if geometry.fit == "crop" else "squashed"))
        for share, file in sorted(shares, key=lambda pair: (pair[0], pair[1].name))
        if share < TOO_LITTLE_KEPT_SHARE
    ]
    if not cases:
        return None
    what = f"{counted(len(cases), 'image is', 'images are')} far too wide or tall for {size_text(geometry.shape)}"
    remedy = "Crop them by hand to what matters, or remove them."
    return Finding("proportions", "warning", what, remedy, tuple(cases))


def check_crop(folder: Folder) -> Finding | None:
    """Report images that lose much to the crop, and a size that keeps more, if there is one."""
    geometry = folder.geometry
    if geometry.fit == "squash":
        return None
    shares = sorted(
        ((folder.kept_share(file), file) for file in folder.files), key=lambda pair: (pair[0], pair[1].name)
    )
    cases = tuple(
        Case((file.name,), f"{share:.0%} is kept")
        for share, file in shares
        if TOO_LITTLE_KEPT_SHARE <= share < LITTLE_KEPT_SHARE
    )
    finding = better_size([file.shape for file in folder.files], geometry.shape)
    if finding is not None:
        return replace(finding, cases=cases)
    if not cases:
        return None
    what = f"{counted(len(cases), 'image loses', 'images lose')} much to the crop to {size_text(geometry.shape)}"
    remedy = "Check that what matters is in the middle (--sheet draws the crop), or use --fit squash."
    return Finding("cropped", "note", what, remedy, cases)


def better_size(shapes: Sequence[Shape], shape: Shape) -> Finding | None:
    """Recommend another size if it would keep much more of a typical image."""
    if not shapes:
        return None
    # Of about the same area, so that training does not take ten times as long.
    fitting = suitable(shapes, round(math.sqrt(math.prod(shape))))
    now, then = (typical_kept_share(shapes, candidate) for candidate in (shape, fitting))
    if then - now < BETTER_SHARE:
        return None
    what = f"a typical image loses {1 - now:.0%} to the crop to {size_text(shape)}"
    ratio = math.prod(fitting) / math.prod(shape)
    remedy = f"With --size {spelled(fitting)} it would lose {1 - then:.0%}, at {ratio:.1f} times the pixels."
    return Finding("cropped", "warning", what, remedy)


def typical_kept_share(shapes: Sequence[Shape], target: Shape) -> float:
    """Return the share of an image that a crop to ``target`` keeps, as the median over images of these shapes."""
    geometry = Geometry(target)
    return statistics.median(geometry.kept_share((width, height)) for height, width in shapes)


def squash_ratio(file: InspectedFile, shape: Shape) -> float:
    """Return the factor by which squashing to a shape shrinks one side more than the other."""
    width, height = file.header.size
    ratio = shape[1] / shape[0]
    return min(width / height / ratio, ratio * height / width)


def size_text(shape: Shape) -> str:
    """Return a training size for messages, width first."""
    return f"{shape[1]} x {shape[0]} px"
