"""Examine a folder of pictures: ``handful check``, and the few lines that a run begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from handful.compute.device import choose_device
from handful.config import sizes as shapes
from handful.config.choices import Channels, Fit
from handful.config.train import TrainConfig
from handful.data.checkup.findings import ORDER, Finding, counted
from handful.data.checkup.look import DETAIL, Look, Sight, look, sight
from handful.data.checkup.pixels import in_pixels
from handful.data.checkup.rules import Folder, better_shape, few, from_files, sides, size
from handful.data.dataset import Dataset, at_once
from handful.data.photos import Photos, Problem, spread
from handful.data.sources import open_photos
from handful.data.survey import fitted, sizes_of
from handful.files import readable
from handful.images.channels import KINDS
from handful.images.grid import to_image
from handful.progress import Progress, advance, shown_on

BRIEFLY = 1_000
"""Images that a run looks at before it begins, evenly spread over the set."""


@dataclass(frozen=True)
class Checkup:
    """What was found in a folder."""

    path: Path
    photos: Photos
    folder: Folder
    findings: tuple[Finding, ...]
    """The gravest first."""

    @property
    def trainable(self) -> bool:
        """Whether training would begin."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether nothing was found that is worse than a note."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """Say in a sentence how the folder is."""
        if not self.trainable:
            return "Cannot be trained on."
        if not self.clean:
            count = sum(finding.severity == "warning" for finding in self.findings)
            return f"Can be trained on; {counted(count, 'thing')} to put right first."
        return "Clean: nothing found that would hurt training."

    @property
    def by_loss(self) -> list[tuple[str, float]]:
        """Give all images with the share of each that is kept, the smallest first."""
        return sorted(((each.name, self.folder.kept(each)) for each in self.folder.looks), key=lambda pair: pair[1])

    def facts(self) -> dict[str, str]:
        """Say what there is and how it would be trained on."""
        folder = self.folder
        formats = Counter(each.header.format for each in folder.looks)
        modes = Counter(each.header.mode for each in folder.looks)
        return {
            "images": f"{len(folder.looks):,}",
            "sizes": spans(folder.looks),
            "formats": ", ".join(f"{count:,} {name}" for name, count in formats.most_common()),
            "pixels": ", ".join(f"{count:,} {name}" for name, count in modes.most_common()),
            "trained at": f"{size(folder.shape)}, {KINDS[folder.channels]}, {folder.fit}",
        }

    def to_json(self) -> dict[str, Any]:
        """Give all of it, for programs."""
        return {
            "folder": readable(self.path),
            "verdict": self.verdict,
            "trainable": self.trainable,
            "clean": self.clean,
            "images": len(self.folder.looks),
            "facts": self.facts(),
            "size": shapes.spelled(self.folder.shape),
            "channels": self.folder.channels,
            "fit": self.folder.fit,
            "findings": [finding.to_json() for finding in self.findings],
        }


def check(
    images: Path | str,
    size: int | str = 256,
    fit: Fit = "crop",
    channels: Literal["auto"] | Channels = "auto",
    progress: Progress | None = None,
) -> Checkup:
    """Examine a folder of pictures for what would hurt training. Writes nothing.

    Takes about as long as reading the files; large JPEGs are decoded at an eighth of their size.

    Args:
        images: The folder, searched as training does; or an archive, or a dataset of the Hub.
        size: As training has it: pixels, width x height, or auto.
        fit: As training has it.
        channels: As training has it.
        progress: Is told how it goes; the terminal by default.

    Raises:
        UsageError: if there is no such folder or size.
    """
    path = Path(images)
    photos = open_photos(path)
    config = fitted(TrainConfig(path, size=size, fit=fit, channels=channels), choose_device("auto"))
    examine = partial(look, photos, shape=config.shape, fit=fit)
    with shown_on(progress):
        results = at_once(examine, photos.files, partial(advance, "looking at images"))
    problems = photos.problems + [result for result in results if isinstance(result, Problem)]
    problems.sort(key=lambda problem: problem.path.as_posix())
    looks = [result for result in results if isinstance(result, Look)]
    folder = Folder(looks, problems, photos.others, config.shape, fit, config.generator.channels)
    # Files with the same bytes are a finding of their own: of each the first is looked at further.
    firsts = {look.digest: look for look in reversed(looks)}.values()
    findings = from_files(folder) + in_pixels([look.sight for look in reversed(firsts)])
    findings.sort(key=lambda finding: ORDER.index(finding.severity))
    return Checkup(path, photos, folder, tuple(findings))


def in_brief(dataset: Dataset, config: TrainConfig) -> list[Finding]:
    """Look at images that are in memory already, as a run has them; takes seconds, however many there are."""
    # Every so many pixels will do: it takes a tenth of the time that averaging large images takes.
    step = max(1, min(config.shape) // DETAIL)

    def seen(place: int) -> Sight:
        return sight(dataset.names[place], to_image(dataset.images[place, :, ::step, ::step]))

    sights = at_once(seen, spread(range(len(dataset.images)), BRIEFLY), None)
    shaped = better_shape(sizes_of(config.images), config.shape) if config.fit == "crop" else None
    found = [few(len(dataset.images)), shaped, *in_pixels(sights)]
    return [finding for finding in found if finding is not None]


def spans(looks: Sequence[Look]) -> str:
    """Write the sizes that there are."""
    if not looks:
        return "none"
    sizes = Counter(sides(each) for each in looks)
    if len(sizes) == 1:
        return f"all {next(iter(sizes))} px"
    ordered = sorted(looks, key=lambda each: each.header.size[0] * each.header.size[1])
    smallest, usual, largest = (sides(ordered[place]) for place in (0, len(ordered) // 2, -1))
    return f"{smallest} to {largest} px, usually about {usual}"
