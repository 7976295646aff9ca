"""Trackio: a dashboard on this machine, or in a Space of the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import final
from uuid import uuid4

from PIL import Image

from handful.config.train import TrainConfig
from handful.progress import note
from handful.tracking.identity import read_identity, write_identity
from handful.tracking.tracker import PROJECT, facts


@final
class TrackioRun:
    """One run of trackio, which knows runs by their names, so that each name ends with a few letters of its own.

    Steps that a resumed run takes again are there twice, with the same numbers.
    """

    def __init__(self, config: TrainConfig, step: int) -> None:
        import trackio

        self.trackio = trackio
        name = read_identity(config.folder, "trackio")
        if name is None:
            name = f"{config.folder.resolve().name}-{uuid4().hex[:6]}"
            write_identity(config.folder, "trackio", name)
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        options = facts(config)
        self.run = trackio.init(
            project, name, config=options, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
        note(f"trackio: {name}; trackio show --project {project} shows it")

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers."""
        self.run.log(dict(numbers), step=step)

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the picture."""
        self.run.log({"samples": self.trackio.Image(picture)}, step=step)

    def close(self) -> None:
        """End the run; waits until all is written."""
        self.trackio.finish()


open_tracker = TrackioRun
