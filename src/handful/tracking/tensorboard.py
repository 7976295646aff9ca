"""TensorBoard: events in ``tensorboard/`` of the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
from PIL import Image

from handful.config.train import TrainConfig
from handful.records.layout import TENSORBOARD


@final
class Events:
    """Events of one run. TensorBoard hides those of steps that a resumed run takes again."""

    def __init__(self, config: TrainConfig, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(config.folder / TENSORBOARD), purge_step=step + 1)

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers, at once."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the picture, at once."""
        self.writer.add_image("samples", np.asarray(picture), step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


open_tracker = Events
