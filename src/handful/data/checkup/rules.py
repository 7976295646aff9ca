"""What can be seen from the files: which there are, their sizes, proportions and kinds of pixels."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from handful.config import sizes as shapes
from handful.config.choices import Channels, Fit
from handful.config.sizes import Shape
from handful.data.checkup.findings import Case, Finding, counted, singly
from handful.data.checkup.look import Look
from handful.data.photos import Problem
from handful.images.decode import kept

FEWEST, FEW = 2, 20
"""Images without which there is no training, and below which a generator mostly repeats them."""


ENLARGED = 1.5
"""Times that an image is enlarged, from which on it looks soft."""


LOSING = 0.6
"""Share that is kept of an image, below which the sheet shows it: 16:9 in a square keeps 56 %."""


EXTREME = 0.4
"""Share below which it is said that the image hardly fits at all."""


BETTER = 0.15
"""Share more that another --size must keep of a typical image to be worth naming."""


DEEP = ("I", "F")
"""Starts of Pillow's names for modes of more than 8 bits."""


UNREAD = frozenset(
    (
        ".heic",
        ".heif",
        ".jxl",
        ".jp2",
        ".psd",
        ".svg",
        ".pdf",
        ".eps",
        ".dng",
        ".raw",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".orf",
        ".rw2",
        ".tga",
        ".ppm",
        ".pgm",
    )
)
"""Endings of pictures that are not read."""


@dataclass(frozen=True)
class Folder:
    """What was found in a folder, and what it is to be trained at."""

    looks: Sequence[Look]
    problems: Sequence[Problem]
    others: Sequence[Path]
    shape: Shape
    fit: Fit
    channels: Channels

    def kept(self, look: Look) -> float:
        """Give the share of an image that is kept."""
        left, top, right, bottom = kept(look.header.size, self.shape, self.fit)
        return (right - left) * (bottom - top) / math.prod(look.header.size)

    def enlarged(self, look: Look) -> float:
        """Give how many times an image is enlarged."""
        left, top, right, bottom = kept(look.header.size, self.shape, self.fit)
        return max(self.shape[1] / (right - left), self.shape[0] / (bottom - top))


def from_files(folder: Folder) -> list[Finding]:
    """Look for what files tell."""
    found = [rule(folder) for rule in RULES]
    return [finding for finding in found if finding is not None]


def too_few(folder: Folder) -> Finding | None:
    """Say that there are not enough images."""
    return few(len(folder.looks))


def few(count: int) -> Finding | None:
    """Say that so many images are not enough."""
    if count >= FEW:
        return None
    if count < FEWEST:
        what = f"{counted(count, 'image')} that can be used: training needs at least {FEWEST}"
        return Finding("few", "error", what, "Add images, or repair those named below.")
    remedy = f"Add images of the same kind, {FEW} at the least and better 100; expect copies of these otherwise."
    return Finding("few", "warning", f"only {counted(count, 'image')} to learn from", remedy)


def unreadable(folder: Folder) -> Finding | None:
    """Name files that cannot be used."""
    cases = tuple(Case((problem.path.as_posix(),), problem.reason) for problem in folder.problems)
    if not cases:
        return None
    what = f"{counted(len(cases), 'file')} cannot be read and will be skipped"
    return Finding("unreadable", "warning", what, "Repair them, or fetch them again; or delete them.", cases)


def unread_formats(folder: Folder) -> Finding | None:
    """Name pictures in formats that are not read."""
    names = [file.as_posix() for file in folder.others if file.suffix.lower() in UNREAD]
    if not names:
        return None
    what = f"{counted(len(names), 'picture is', 'pictures are')} in a format that is not read, and will be skipped"
    return Finding("unread-formats", "warning", what, "Convert them to PNG or JPEG.", singly(names))


def no_pictures(folder: Folder) -> Finding | None:
    """Name files that are no pictures."""
    names = [file.as_posix() for file in folder.others if file.suffix.lower() not in UNREAD]
    if not names:
        return None
    endings = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in names)
    some = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    what = f"{counted(len(names), 'file is', 'files are')} not looked at, since no picture by its ending: {some}"
    return Finding("not-pictures", "note", what, "Nothing to do, unless there are pictures among them.", singly(names))


def duplicates(folder: Folder) -> Finding | None:
    """Name files with the same bytes."""
    groups: dict[bytes, list[str]] = {}
    for look in folder.looks:
        groups.setdefault(look.digest, []).append(look.name)
    cases = [
        Case(tuple(names), "in different folders" * (len({PurePosixPath(name).parent for name in names}) > 1))
        for names in groups.values()
        if len(names) > 1
    ]
    if not cases:
        return None
    spare = sum(len(case.files) - 1 for case in cases)
    what = f"{counted(spare, 'file is an exact copy', 'files are exact copies')} of another"
    remedy = "Delete all but one of each. What is there twice is seen twice as often, and is learned by heart first."
    return Finding("duplicates", "warning", what, remedy, tuple(cases))


def small(folder: Folder) -> Finding | None:
    """Name images that would be enlarged a lot."""
    factors = sorted(
        ((folder.enlarged(look), look) for look in folder.looks), key=lambda pair: (-pair[0], pair[1].name)
    )
    cases = tuple(
        Case((look.name,), f"{sides(look)}, enlarged {factor:.1f} times")
        for factor, look in factors
        if factor > ENLARGED
    )
    if not cases:
        return None
    many = len(cases) > len(folder.looks) / 4
    fitting = shapes.spelled(shapes.suitable([upright(look) for look in folder.looks], max(folder.shape)))
    remedy = "Use larger originals, or leave these out: a generator learns that images may be soft."
    if many and fitting != shapes.spelled(folder.shape):
        remedy = f"Train at the size that they have, with --size {fitting}, or use larger originals."
    what = f"{counted(len(cases), 'image is', 'images are')} much smaller than {size(folder.shape)}"
    return Finding("small", "warning", what, remedy, cases)


def proportions(folder: Folder) -> Finding | None:
    """Name images that hardly fit into the shape, by their sides."""
    if folder.fit == "crop":
        shares = [(folder.kept(look), look) for look in folder.looks]
    else:
        ratio = folder.shape[1] / folder.shape[0]
        shares = [(squeezed(look, ratio), look) for look in folder.looks]
    cases = [
        Case((look.name,), f"{sides(look)}, " + (f"{share:.0%} is kept" if folder.fit == "crop" else "squashed"))
        for share, look in sorted(shares, key=lambda pair: (pair[0], pair[1].name))
        if share < EXTREME
    ]
    if not cases:
        return None
    what = f"{counted(len(cases), 'image is', 'images are')} far too wide or tall for {size(folder.shape)}"
    remedy = "Cut out by hand what is to be learned, or leave them out."
    return Finding("proportions", "warning", what, remedy, tuple(cases))


def cropped(folder: Folder) -> Finding | None:
    """Name images that lose much, and a size that would keep more if there is one."""
    if folder.fit == "squash":
        return None
    shares = sorted(((folder.kept(look), look) for look in folder.looks), key=lambda pair: (pair[0], pair[1].name))
    losing = tuple(Case((look.name,), f"{share:.0%} is kept") for share, look in shares if EXTREME <= share < LOSING)
    finding = better_shape([upright(look) for look in folder.looks], folder.shape)
    if finding is not None:
        return replace(finding, cases=losing)
    if not losing:
        return None
    what = f"{counted(len(losing), 'image loses', 'images lose')} much to the crop to {size(folder.shape)}"
    remedy = "See whether what matters is in the middle (--sheet draws the crop), or use --fit squash."
    return Finding("cropped", "note", what, remedy, losing)


def better_shape(sizes: Sequence[Shape], shape: Shape) -> Finding | None:
    """Say that another shape would keep much more of a typical image."""
    if not sizes:
        return None
    # Of the area that was asked for, so that nobody is sent to a size that takes ten times as long.
    fitting = shapes.suitable(sizes, round(math.sqrt(math.prod(shape))))
    typical, other = (statistics.median(kept_share(each, to) for each in sizes) for to in (shape, fitting))
    if other - typical < BETTER:
        return None
    what = f"a typical image loses {1 - typical:.0%} to the crop to {size(shape)}"
    times = math.prod(fitting) / math.prod(shape)
    remedy = f"--size {shapes.spelled(fitting)} would lose {1 - other:.0%}, with {times:.1f} times the pixels."
    return Finding("cropped", "warning", what, remedy)


def colours(folder: Folder) -> Finding | None:
    """Name the lesser kind where some images are grey and others have colour."""
    grey = [look.name for look in folder.looks if not look.coloured]
    rest = [look.name for look in folder.looks if look.coloured]
    if folder.channels == 1 or not grey or not rest:
        return None
    names, word = (grey, "grey among coloured ones") if len(grey) <= len(rest) else (rest, "coloured among grey ones")
    what = f"{counted(len(names), 'image is', 'images are')} {word}"
    remedy = "Leave them out, unless both are wanted; or train without colour, with --channels 1."
    return Finding("mixed-colour", "warning", what, remedy, singly(names))


def transparency(folder: Folder) -> Finding | None:
    """Name the lesser kind where some images are transparent and others are not."""
    clear = [look.name for look in folder.looks if look.transparent]
    rest = [look.name for look in folder.looks if not look.transparent]
    if not clear or (not rest and folder.channels == 4):
        return None
    if folder.channels == 4:
        what = f"{counted(len(rest), 'image is', 'images are')} opaque among transparent ones"
        return Finding(
            "mixed-transparency", "warning", what, "Cut them out like the others, or leave them out.", singly(rest)
        )
    what = f"{counted(len(clear), 'image has', 'images have')} something transparent, which is put on white"
    remedy = "Put them on a background like that of the others, or leave them out; --channels 4 keeps transparency."
    return Finding("mixed-transparency", "warning", what, remedy, singly(clear))


def telling(
    kind: str, one: str, many: str, remedy: str, applies: Callable[[Look], bool]
) -> Callable[[Folder], Finding | None]:
    """Make a rule that notes what is dealt with by itself."""

    def rule(folder: Folder) -> Finding | None:
        cases = tuple(
            Case((look.name,), look.header.mode * (kind == "converted")) for look in folder.looks if applies(look)
        )
        return Finding(kind, "note", counted(len(cases), one, many), remedy, cases) if cases else None

    return rule


animated = telling(
    "animated",
    "file has several frames or pages, of which the first is used",
    "files have several frames or pages, of which the first is used",
    "Save frames as files of their own if they are wanted.",
    lambda look: look.header.several,
)


turned = telling(
    "turned",
    "image is stored turned, and is set upright as its EXIF data says",
    "images are stored turned, and are set upright as their EXIF data says",
    "Nothing to do, unless they are not upright then.",
    lambda look: look.header.turned,
)


converted = telling(
    "converted",
    "image has other values than 8-bit RGB or grey, and is converted",
    "images have other values than 8-bit RGB or grey, and are converted",
    "Nothing to do, unless its colours are wrong then: save it as 8-bit RGB in that case.",
    lambda look: look.header.mode in ("CMYK", "YCbCr", "LAB", "HSV") or look.header.mode.startswith(DEEP),
)


RULES = (
    too_few,
    unreadable,
    unread_formats,
    duplicates,
    small,
    proportions,
    cropped,
    colours,
    transparency,
    no_pictures,
    animated,
    turned,
    converted,
)


def upright(look: Look) -> Shape:
    """Give the height and width of an image."""
    return look.header.size[1], look.header.size[0]


def kept_share(own: Shape, shape: Shape) -> float:
    """Give the share of an image of one shape that a crop to another keeps."""
    left, top, right, bottom = kept((own[1], own[0]), shape, "crop")
    return (right - left) * (bottom - top) / math.prod(own)


def squeezed(look: Look, ratio: float) -> float:
    """Give how far an image must be squeezed along one side, as a share, to have a ratio of width to height."""
    width, height = look.header.size
    return min(width / height / ratio, ratio * height / width)


def sides(look: Look) -> str:
    """Write the width and height of an image."""
    return " x ".join(map(str, look.header.size))


def size(shape: Shape) -> str:
    """Write the width and height of what is trained at."""
    return f"{shape[1]} x {shape[0]} px"
