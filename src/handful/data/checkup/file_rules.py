"""Rules that judge the files of a folder: how many there are, their formats, copies, colours and transparency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from handful.data.checkup.findings import Case, Finding, case_per_file, counted
from handful.data.checkup.inspection import Folder, InspectedFile
from handful.images.colours import FULL_BITS

MIN_IMAGES, FEW_IMAGES = 2, 20
"""Images without which training is refused, and below which a generator mostly repeats them."""

DEEP_MODES = ("I", "F")
"""Initials of Pillow's names for modes with more than 8 bits."""

COLOUR_SPACES = ("CMYK", "YCbCr", "LAB", "HSV")

UNSUPPORTED_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *("heic", "heif", "jxl", "jp2", "psd", "svg", "pdf", "eps", "tga", "ppm", "pgm"),
        *("dng", "raw", "cr2", "cr3", "nef", "arw", "orf", "rw2"),
    )
)
"""Pictures in formats that are not read."""

NAMED_ENDINGS = 4


def check_count(folder: Folder) -> Finding | None:
    """Report a folder with too few images."""
    return few_images(len(folder.files))


def few_images(count: int) -> Finding | None:
    """Report a number of images that is too small."""
    if count >= FEW_IMAGES:
        return None
    if count < MIN_IMAGES:
        what = f"{counted(count, 'usable image')}: training needs at least {MIN_IMAGES}"
        return Finding("few", "error", what, "Add images, or repair those listed below.")
    remedy = f"Add images of the same kind, at least {FEW_IMAGES} and better 100. With fewer, expect copies of them."
    return Finding("few", "warning", f"only {counted(count, 'image')} to learn from", remedy)


def check_readable(folder: Folder) -> Finding | None:
    """Report files that cannot be used."""
    cases = tuple(Case((file.path.as_posix(),), file.why) for file in folder.skipped)
    if not cases:
        return None
    what = f"{counted(len(cases), 'file')} cannot be used and will be skipped"
    remedy = "Do what stands beside them. Repair the others, download them again, or delete them."
    return Finding("unreadable", "warning", what, remedy, cases)


def check_grey_bits(folder: Folder) -> Finding | None:
    """Report 16-bit grey of fewer bits, which is scaled."""
    names = [file.name for file in folder.files if file.largest is not None]
    if folder.grey_bits == FULL_BITS or not names:
        return None
    what = f"{counted(len(names), 'image holds', 'images hold')} {folder.grey_bits}-bit grey in 16 bits"
    remedy = f"Nothing to do: all are scaled alike, from 0-{2**folder.grey_bits - 1:,} to the full range."
    return Finding("grey-bits", "note", what, remedy, case_per_file(names))


def check_formats(folder: Folder) -> Finding | None:
    """Report pictures in unsupported formats."""
    names = [file.as_posix() for file in folder.others if file.suffix.lower() in UNSUPPORTED_ENDINGS]
    if not names:
        return None
    what = f"{counted(len(names), 'picture has', 'pictures have')} an unsupported format and will be skipped"
    return Finding("unread-formats", "warning", what, "Convert them to PNG or JPEG.", case_per_file(names))


def check_other_files(folder: Folder) -> Finding | None:
    """Report files that are not pictures."""
    names = [file.as_posix() for file in folder.others if file.suffix.lower() not in UNSUPPORTED_ENDINGS]
    if not names:
        return None
    endings = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in names)
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(NAMED_ENDINGS))
    what = f"{counted(len(names), 'file is no picture', 'files are no pictures')} and will be ignored: {listed}"
    return Finding("not-pictures", "note", what, "Nothing to do.", case_per_file(names))


def check_passed_over(folder: Folder) -> Finding | None:
    """Report folders that hold no training images."""
    cases = tuple(Case((passed.name,), passed.reason) for passed in folder.passed_over)
    if not cases:
        return None
    what = f"{counted(len(cases), 'folder is', 'folders are')} passed over"
    return Finding("passed-over", "note", what, "Nothing to do, unless they hold training images: rename them.", cases)


def check_copies(folder: Folder) -> Finding | None:
    """Report files with the same bytes."""
    groups: dict[bytes, list[str]] = {}
    for file in folder.files:
        groups.setdefault(file.digest, []).append(file.name)
    cases = [
        Case(tuple(names), "in different folders" * (len({PurePosixPath(name).parent for name in names}) > 1))
        for names in groups.values()
        if len(names) > 1
    ]
    if not cases:
        return None
    spare = sum(len(case.files) - 1 for case in cases)
    what = f"{counted(spare, 'file is an exact copy', 'files are exact copies')} of another"
    remedy = "Delete all but one of each. Copies are seen more often and memorised first."
    return Finding("duplicates", "warning", what, remedy, tuple(cases))


def check_colours(folder: Folder) -> Finding | None:
    """Report the minority if some images are grey and others coloured."""
    grey = [file.name for file in folder.files if not file.is_coloured]
    coloured = [file.name for file in folder.files if file.is_coloured]
    if folder.geometry.channels == 1 or not grey or not coloured:
        return None
    if len(grey) <= len(coloured):
        names, description = grey, "grey among coloured ones"
    else:
        names, description = coloured, "coloured among grey ones"
    what = f"{counted(len(names), 'image is', 'images are')} {description}"
    remedy = "Remove them unless you want both, or train in grey with --channels 1."
    return Finding("mixed-colour", "warning", what, remedy, case_per_file(names))


def check_transparency(folder: Folder) -> Finding | None:
    """Report the images whose transparency does not suit the others, or the channels."""
    transparent = [file.name for file in folder.files if file.is_transparent]
    opaque = [file.name for file in folder.files if not file.is_transparent]
    has_alpha = folder.geometry.channels == 4
    if not transparent or (not opaque and has_alpha):
        return None
    if has_alpha:
        what = f"{counted(len(opaque), 'image is', 'images are')} opaque among transparent ones"
        remedy = "Cut them out like the others, or remove them."
        return Finding("mixed-transparency", "warning", what, remedy, case_per_file(opaque))
    what = f"{counted(len(transparent), 'image is', 'images are')} partly transparent and will be placed on white"
    remedy = "Place them on a background like the others', remove them, or keep transparency with --channels 4."
    return Finding("mixed-transparency", "warning", what, remedy, case_per_file(transparent))


def noting(
    kind: str, one: str, many: str, remedy: str, applies: Callable[[InspectedFile], bool]
) -> Callable[[Folder], Finding | None]:
    """Return a rule that notes what training handles by itself."""

    def rule(folder: Folder) -> Finding | None:
        files = [file for file in folder.files if applies(file)]
        cases = tuple(Case((file.name,), file.header.mode * (kind == "converted")) for file in files)
        return Finding(kind, "note", counted(len(cases), one, many), remedy, cases) if cases else None

    return rule


check_frames = noting(
    "animated",
    "file has several frames or pages, of which the first is used",
    "files have several frames or pages, of which the first is used",
    "To use other frames, save them as separate files.",
    lambda file: file.header.has_frames,
)

check_rotation = noting(
    "turned",
    "image is stored rotated and will be turned upright according to its EXIF data",
    "images are stored rotated and will be turned upright according to their EXIF data",
    "Nothing to do, unless they come out wrong.",
    lambda file: file.header.is_rotated,
)

check_modes = noting(
    "converted",
    "image is not 8-bit RGB or grey and will be converted",
    "images are not 8-bit RGB or grey and will be converted",
    "Nothing to do, unless the colours come out wrong; in that case save them as 8-bit RGB.",
    lambda file: file.header.mode in COLOUR_SPACES or file.header.mode.startswith(DEEP_MODES),
)
