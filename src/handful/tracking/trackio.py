"""Trackio: a dashboard on this machine, or in a Space of the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import final
from uuid import uuid4

from PIL import Image

from handful.config.train import TrainConfig
from handful.progress import note
from handful.tracking.identity import read_identity, write_identity
from handful.tracking.logged import LoggedRun
from handful.tracking.tracker import PROJECT, facts

STEP = "trackio step"
"""Name under which the run folder keeps the newest step that trackio has."""


@final
class TrackioRun:
    """One run of trackio.

    Trackio keeps every point it gets, so steps that a resumed run takes again are left out: they have the same numbers.

    Args:
        run: Takes the new steps.
        folder: The run folder.
    """

    def __init__(self, run: LoggedRun, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.known = int(read_identity(folder, STEP) or -1)

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of a new step."""
        if step > self.known:
            self.run.write_numbers(step, numbers)
            write_identity(self.folder, STEP, str(step))

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the picture of a new step."""
        if step > self.known:
            self.run.write_picture(step, picture)

    def close(self) -> None:
        """End the run."""
        self.run.close()


def open_tracker(config: TrainConfig, step: int) -> TrackioRun:
    """Begin or resume the run of trackio, which knows runs by names, so each name ends with letters of its own."""
    import trackio

    name = read_identity(config.folder, "trackio")
    if name is None:
        name = f"{config.folder.resolve().name}-{uuid4().hex[:6]}"
        write_identity(config.folder, "trackio", name)
    project = os.environ.get("TRACKIO_PROJECT", PROJECT)
    run = trackio.init(
        project, name, config=facts(config), resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
    )
    note(f"trackio: {name}; trackio show --project {project} shows it")
    return TrackioRun(LoggedRun(run, trackio.Image, trackio.finish), config.folder)
