"""Weights & Biases. Without a login the run is written offline, in ``wandb/`` of the run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import final
from uuid import uuid4

from PIL import Image

from handful.config.train import TrainConfig
from handful.files import printable
from handful.progress import note
from handful.records.layout import WANDB
from handful.tracking.identity import read_identity, write_identity
from handful.tracking.tracker import PROJECT, facts


@final
class WandbRun:
    """One run of wandb. Steps that a resumed run takes again are there already, with the same numbers."""

    def __init__(self, config: TrainConfig, step: int) -> None:
        import wandb

        self.wandb = wandb
        identity = read_identity(config.folder, "wandb")
        offline = "WANDB_MODE" not in os.environ and not wandb.login(prompt=False)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=config.folder.resolve().name,
            id=identity or uuid4().hex[:8],
            resume="allow",
            dir=str(config.folder),
            config=facts(config),
            mode="offline" if offline else None,
            settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
        )
        if identity is None:
            write_identity(config.folder, "wandb", self.run.id)
        place = f"offline, in {printable(config.folder / WANDB)}; wandb sync sends it"
        note(f"wandb: {place if self.run.offline else self.run.url}")

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers."""
        self.run.log(dict(numbers), step=step)

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the picture."""
        self.run.log({"samples": self.wandb.Image(picture)}, step=step)

    def close(self) -> None:
        """End the run; waits until all is sent."""
        self.run.finish()


open_tracker = WandbRun
