"""TensorBoard events of a run (``--track``)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from handful.errors import UsageError
from handful.records.layout import TENSORBOARD

GROUPS = {
    "losses": ("discriminator", "generator", "reconstruction"),
    "scores": ("kid", "kid_error", "copies", "copies_among_training", "novelty", "spread"),
    "accuracy": ("accuracy_real", "accuracy_fake", "accuracy_seen", "accuracy_unseen"),
}
"""Headings in TensorBoard, and the numbers under each. All others are under ``run``."""


def require_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        UsageError: It is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--track: needs TensorBoard; pip install 'handful[track]', or leave --track out")


@final
class Tracker:
    """Writes numbers and sample grids to ``tensorboard/`` in a run folder.

    Args:
        run: The run folder.
        step: The step that the run resumes from. TensorBoard hides events of later steps.
    """

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)

    def write_entry(self, entry: Mapping[str, object]) -> None:
        """Write the numbers of a log entry."""
        step = entry["step"]
        for name, value in entry.items():
            if isinstance(value, float) and name != "seconds_left":
                group = next((group for group, names in GROUPS.items() if name in names), "run")
                self.writer.add_scalar(f"{group}/{name}", value, step)
        self.writer.flush()

    def write_samples(self, step: int, picture: Image.Image) -> None:
        """Write a grid of samples."""
        self.writer.add_image("samples", np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        self.writer.close()
