"""Check a folder of pictures, for ``handful check`` and, in brief, at the start of every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Literal

from handful.compute.device import choose_device
from handful.config.checks import checked
from handful.config.choices import Channels, Fit
from handful.config.geometry import Geometry
from handful.config.sizes import spelled
from handful.config.train import TrainConfig
from handful.data.checkup import file_rules, size_rules
from handful.data.checkup.findings import SEVERITIES, Finding, counted
from handful.data.checkup.inspection import (
    DETAIL_PIXELS,
    Folder,
    InspectedFile,
    Preview,
    inspect_file,
    preview_of,
)
from handful.data.checkup.pixel_rules import check_pixels
from handful.data.dataset import Dataset, map_in_threads
from handful.data.grey_bits import bits_of_set
from handful.data.order import evenly_spaced, natural_key
from handful.data.photos import Photos, SkippedFile
from handful.data.sources import open_photos
from handful.data.survey import read_shapes, resolve_geometry
from handful.files import printable
from handful.images.channels import CHANNEL_NAMES
from handful.images.colours import FULL_BITS
from handful.images.grid import to_image
from handful.progress import Progress, shown_on

QUICK_CHECK_IMAGES = 1_000
"""Images that a run examines before it begins, evenly spaced over the set."""

FOLDER_RULES = (
    file_rules.check_count,
    file_rules.check_readable,
    file_rules.check_formats,
    file_rules.check_copies,
    size_rules.check_enlargement,
    size_rules.check_proportions,
    size_rules.check_crop,
    file_rules.check_colours,
    file_rules.check_transparency,
    file_rules.check_other_files,
    file_rules.check_frames,
    file_rules.check_rotation,
    file_rules.check_modes,
    file_rules.check_grey_bits,
    file_rules.check_passed_over,
)


@dataclass(frozen=True, repr=False)
class Checkup:
    """The result of checking a folder."""

    path: Path
    photos: Photos
    folder: Folder
    findings: tuple[Finding, ...]
    """The most severe first."""

    def __repr__(self) -> str:
        counts = Counter(finding.severity for finding in self.findings)
        found = ", ".join(counted(counts[severity], severity) for severity in SEVERITIES if counts[severity])
        return f"Checkup({printable(self.path)}, {counted(len(self.folder.files), 'image')}, {found or 'clean'})"

    def _repr_html_(self) -> str:
        """Show verdict and findings in a notebook."""
        items = [
            f"<li><b>{finding.severity}</b>: {escape(finding.what)}. {escape(finding.remedy)}</li>"
            for finding in self.findings
        ]
        count = counted(len(self.folder.files), "image")
        head = f"<p><b>{escape(printable(self.path))}</b>, {count}: {escape(self.verdict)}</p>"
        return head + (f"<ul>{''.join(items)}</ul>" if items else "")

    @property
    def trainable(self) -> bool:
        """Whether training would start."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether there is nothing worse than a note."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """Summarise the findings in a sentence."""
        if not self.trainable:
            return "Cannot be trained on: fix the errors first."
        if not self.clean:
            count = sum(finding.severity == "warning" for finding in self.findings)
            return f"Can be trained on, with {counted(count, 'warning')} to look at."
        return "Clean: nothing found that would hurt training."

    @property
    def kept_shares(self) -> list[tuple[str, float]]:
        """Return the names of all images with the share of each that is kept, the smallest share first."""
        shares = ((file.name, self.folder.kept_share(file)) for file in self.folder.files)
        return sorted(shares, key=lambda pair: pair[1])

    def facts(self) -> dict[str, str]:
        """Return what the folder holds and how it would be trained on, for people to read."""
        files, geometry = self.folder.files, self.folder.geometry
        formats = Counter(file.header.format for file in files)
        modes = Counter(file.header.mode for file in files)
        return {
            "images": f"{len(files):,}",
            "sizes": size_range(files),
            "formats": ", ".join(f"{count:,} {name}" for name, count in formats.most_common()),
            "pixels": ", ".join(f"{count:,} {name}" for name, count in modes.most_common()),
            "trained at": f"{size_rules.size_text(geometry.shape)}, {CHANNEL_NAMES[geometry.channels]}, {geometry.fit}",
        }

    def to_json(self) -> dict[str, Any]:
        """Return the checkup as JSON values, with all files."""
        geometry = self.folder.geometry
        return {
            "folder": printable(self.path),
            "verdict": self.verdict,
            "trainable": self.trainable,
            "clean": self.clean,
            "images": len(self.folder.files),
            "facts": self.facts(),
            "size": spelled(geometry.shape),
            "channels": geometry.channels,
            "fit": geometry.fit,
            "findings": [finding.to_json() for finding in self.findings],
        }


@checked
def check(
    images: Path | str,
    size: int | str = 256,
    fit: Fit = "crop",
    channels: Literal["auto"] | Channels = "auto",
    progress: Progress | None = None,
) -> Checkup:
    """Check a folder of pictures for what would hurt training. Writes nothing.

    Takes about as long as reading the files; large JPEGs are decoded at a fraction of their size.

    Args:
        images: A folder of images, a zip archive, or a dataset of the Hub.
        size: Size to train at, in pixels: a number for squares, width x height as in 768x512, or auto.
        fit: How images get these proportions: crop or squash.
        channels: 1: grey, 3: RGB, 4: RGBA, or auto, as training chooses.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: The folder does not exist, or the size is not possible.
    """
    path = Path(images)
    with shown_on(progress):
        photos = open_photos(path)
        config = resolve_geometry(TrainConfig(path, size=size, fit=fit, channels=channels), choose_device("auto"))
        folder = inspect_folder(photos, config.geometry)
    return Checkup(path, photos, folder, tuple(find_faults(folder)))


def inspect_folder(photos: Photos, geometry: Geometry) -> Folder:
    """Inspect all files; 16-bit grey of fewer bits twice, since only the whole set tells how many it has."""
    results = map_in_threads(partial(inspect_file, photos, geometry=geometry), photos.files, "examining images")
    files = dict(zip(photos.files, results, strict=True))
    deep = [file for file, result in files.items() if isinstance(result, InspectedFile) and result.largest is not None]
    bits = bits_of_set(result.largest for result in results if isinstance(result, InspectedFile))
    if bits < FULL_BITS:
        again = map_in_threads(partial(inspect_file, photos, geometry=geometry, bits=bits), deep, "examining images")
        files |= zip(deep, again, strict=True)
    in_order = sorted(files.values(), key=lambda file: natural_key(file.name))
    inspected = [file for file in in_order if isinstance(file, InspectedFile)]
    skipped = photos.skipped + [file for file in in_order if isinstance(file, SkippedFile)]
    skipped.sort(key=lambda file: natural_key(file.path.as_posix()))
    others = sorted(photos.others, key=lambda file: natural_key(file.as_posix()))
    return Folder(inspected, skipped, others, geometry, bits, photos.passed_over)


def find_faults(folder: Folder) -> list[Finding]:
    """Apply all rules to a folder, and return the findings, the most severe first."""
    findings = [finding for rule in FOLDER_RULES if (finding := rule(folder)) is not None]
    # Exact copies are a finding of their own, so only the first file of each is examined further.
    firsts = {file.digest: file for file in reversed(folder.files)}.values()
    findings += check_pixels([file.preview for file in reversed(firsts)])
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def quick_check(dataset: Dataset, config: TrainConfig) -> list[Finding]:
    """Check images that a run has loaded already. Takes seconds, however many there are."""
    # Every few pixels suffice, in a tenth of the time that averaging large images takes.
    stride = max(1, min(config.shape) // DETAIL_PIXELS)

    def preview(index: int) -> Preview:
        return preview_of(dataset.names[index], to_image(dataset.images[index, :, ::stride, ::stride]))

    previews = map_in_threads(preview, evenly_spaced(range(len(dataset.images)), QUICK_CHECK_IMAGES))
    previews.sort(key=lambda preview: natural_key(preview.name))
    crop = size_rules.better_size(read_shapes(config.images), config.shape) if config.fit == "crop" else None
    findings = [file_rules.few_images(len(dataset.images)), crop, *check_pixels(previews)]
    return [finding for finding in findings if finding is not None]


def size_range(files: Sequence[InspectedFile]) -> str:
    """Return the smallest, largest and median size of images, for people to read."""
    if not files:
        return "none"
    sizes = {file.size_text for file in files}
    if len(sizes) == 1:
        return f"all {next(iter(sizes))} px"
    ordered = sorted(files, key=lambda file: file.header.size[0] * file.header.size[1])
    smallest, median, largest = (ordered[index].size_text for index in (0, len(ordered) // 2, -1))
    return f"{smallest} to {largest} px, median {median}"
