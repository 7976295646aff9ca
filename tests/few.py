"""A small budget: in runs as short as those of the tests, most of the time would go into pictures beside the steps."""

import dataclasses

from handful.config import budget
from handful.metrics.protocol import PROTOCOLS

SMALL = budget.Budget(calibration_images=16, grid_seeds=range(2), scored_seeds=range(12), walk_steps=2)
QUICK = dataclasses.replace(PROTOCOLS["quick"], samples=24, pairs=20, paths=2, features="random")
"""Protocol quick for tests; a trained network takes 50 ms an image."""


def spend_little() -> None:
    """Use the small budget in all of this process, which is not that of the tests."""
    budget.current = SMALL
