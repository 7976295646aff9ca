"""What a tracker is, and how a run writes to one without depending on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from typing import Any, Protocol, final

from PIL import Image

from handful.config.choices import TrackerName
from handful.config.train import PATHS, TrainConfig
from handful.errors import UsageError
from handful.files import parse_json, shortened
from handful.progress import note
from handful.records import layout

PROJECT = "handful"
"""What runs are filed under, unless the tracker's own settings say otherwise."""

GROUPS = {
    "losses": ("discriminator", "generator", "reconstruction", "projected"),
    "accuracy": ("accuracy_real", "accuracy_fake", "accuracy_seen", "accuracy_unseen"),
    "run": ("seconds", "images_per_second", "peak_memory_mb", "score_seconds"),
}
"""Headings, and the numbers of the log under each. All others are under ``scores``."""

UNTRACKED = ("seconds_left",)


class Tracker(Protocol):
    """One run in a tracker. A method may raise anything; the run continues without the tracker."""

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write numbers of a step by ``group/name``."""

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the sample grid of a step."""

    def close(self) -> None:
        """Write what is held back, and end."""


def require_tracker(name: TrackerName) -> None:
    """Check that a tracker's package is installed, without importing it.

    Raises:
        UsageError: It is not.
    """
    if name != "none" and find_spec(name) is None:
        raise UsageError(f"--track {name}: is not installed; pip install 'handful[{name}]', or leave --track out")


@final
class Tracking:
    """Writes a run to the tracker that its options name, and drops the tracker at its first fault.

    The tracker is opened when there is something to write.

    Args:
        config: The options of the run, whose folder has its ``config.json``.
        step: The step that the run resumes from.
    """

    def __init__(self, config: TrainConfig, step: int) -> None:
        self.config, self.step = config, step
        self.tracker: Tracker | None = None
        self.failed = config.track == "none"

    def write_entry(self, entry: Mapping[str, object]) -> None:
        """Write the numbers of a line of the log."""
        step = entry["step"]
        assert isinstance(step, int)
        numbers = {
            f"{heading(name)}/{name}": value
            for name, value in entry.items()
            if isinstance(value, float) and math.isfinite(value) and name not in UNTRACKED
        }
        self.attempt(lambda tracker: tracker.write_numbers(step, numbers))

    def write_samples(self, step: int, picture: Image.Image) -> None:
        """Write a grid of samples."""
        self.attempt(lambda tracker: tracker.write_picture(step, picture))

    def close(self) -> None:
        """Close the tracker, if it was opened."""
        if self.tracker is not None:
            self.attempt(lambda tracker: tracker.close())
            self.tracker = None

    def attempt(self, write: Callable[[Tracker], None]) -> None:
        """Call a function with the tracker. Whatever it raises is told once, and the run is no longer tracked."""
        if self.failed:
            return
        try:
            # Trackers greet on standard output, which belongs to the command's answer.
            with redirect_stdout(StringIO()):
                if self.tracker is None:
                    self.tracker = import_module(f"handful.tracking.{self.config.track}").open_tracker(
                        self.config, self.step
                    )
                write(self.tracker)
        except Exception as error:
            self.failed = True
            reason = shortened(next(iter(str(error).splitlines()), "") or type(error).__name__)
            note(f"--track {self.config.track}: {reason}; the run continues without it")


def heading(name: str) -> str:
    """Return the heading that a number of the log is shown under."""
    return next((group for group, names in GROUPS.items() if name in names), "scores")


def facts(config: TrainConfig) -> dict[str, Any]:
    """Return what names a run: its options but for paths, the version, and the fingerprint of its images."""
    saved = parse_json((config.folder / layout.CONFIG).read_bytes())
    options = {name: value for name, value in config.to_json().items() if name not in PATHS}
    return {name: saved[name] for name in ("handful", "fingerprint")} | options
