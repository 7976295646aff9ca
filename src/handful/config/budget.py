"""How many pictures are drawn beside the training steps: for grids, scores, statistics and the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Pictures drawn beside the steps. One object, so that tests of a few steps can make do with fewer."""

    calibration_images: int = 256
    """Images that the averaged generator's BatchNorm statistics are measured on at each save."""
    grid_seeds: range = range(36)
    """Seeds of the sample grids and of the report's pictures."""
    scored_seeds: range = range(256)
    """Seeds of the pictures that a score judges."""
    walk_steps: int = 14
    """Pictures from one point of the report's walk to the next."""


current = Budget()
"""The budget in force; always read as ``budget.current``."""
