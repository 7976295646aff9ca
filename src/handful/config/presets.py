"""Default, paper and tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful.config.train import PUBLISHED, TrainConfig

TINY: dict[str, Any] = {"preset": "tiny", "size": 64, "width": 8, "steps": 10_000, "perceptual": "none"}


PAPER: dict[str, Any] = {"preset": "paper", "hold_back": 0.0} | PUBLISHED


def default(images: Path | str, **options: Any) -> TrainConfig:
    """Give the paper's recipe with what we found to be better than ``PUBLISHED``, at any size.

    What augmentation does depends on the images, and so on their number, through how sure the discriminator grows of
    them. ``docs/results.md`` has the experiments, and where it is no better.
    """
    return TrainConfig(Path(images), **options)


def paper(images: Path | str, **options: Any) -> TrainConfig:
    """Give the released network and recipe, with the departures that ``docs/method.md`` lists.

    Source: FastGAN (Liu et al. 2021), sections 3 and 4, and the released code for what the paper leaves open.
    """
    return TrainConfig(Path(images), **PAPER | options)


def tiny(images: Path | str, **options: Any) -> TrainConfig:
    """Give small networks at 64 px that learn a simple folder in minutes on a CPU."""
    return TrainConfig(Path(images), **TINY | options)


PRESETS = {"default": default, "paper": paper, "tiny": tiny}
