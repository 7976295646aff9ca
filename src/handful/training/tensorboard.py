"""TensorBoard events of a run, by the extra ``track``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from handful.errors import UsageError
from handful.records.layout import TENSORBOARD


def require() -> None:
    """Refuse to go on without TensorBoard.

    Raises:
        UsageError: if it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--track: needs TensorBoard; pip install 'handful[track]', or leave --track out")


@final
class Tracker:
    """Writes numbers and sample grids to ``tensorboard/`` in a run folder."""

    def __init__(self, run: Path, step: int) -> None:
        """Go on from a step: what was written for later ones is no longer shown."""
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)

    def numbers(self, entry: Mapping[str, object]) -> None:
        """Write the numbers of a line of the log, under names grouped as losses, scores and the rest."""
        step = entry["step"]
        for name, value in entry.items():
            if isinstance(value, float) and name != "seconds_left":
                self.writer.add_scalar(f"{group(name)}/{name}", value, step)
        self.writer.flush()

    def picture(self, step: int, picture: Image.Image) -> None:
        """Write a grid of samples."""
        self.writer.add_image("samples", np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still on its way."""
        self.writer.close()


def group(name: str) -> str:
    """Say under which heading a number stands."""
    if name in ("discriminator", "generator", "reconstruction"):
        return "losses"
    if name in ("kid", "kid_error", "copies", "copies_among_training", "novelty", "spread"):
        return "scores"
    return "accuracy" if name.startswith("accuracy") else "run"
