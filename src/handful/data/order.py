"""Which images a step sees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from handful.seeds import Purpose, fold


def picks(seed: int, step: int, batch: int, classes: Sequence[Sequence[int]]) -> list[int]:
    """Say which images a step sees, where ``classes`` lists those of each class.

    Each class has its turn as often, in random order; of its images, all have theirs once in random order, then all
    again, and so on.
    """
    chosen = []
    for position in range(step * batch, (step + 1) * batch):
        turn, place = divmod(position, len(classes))
        number = int(order(Purpose.CLASS, seed, turn, len(classes))[place])
        images = classes[number]
        epoch, place = divmod(turn, len(images))
        chosen.append(images[order(Purpose.ORDER, seed, epoch * len(classes) + number, len(images))[place]])
    return chosen


@lru_cache(maxsize=256)
def order(purpose: Purpose, seed: int, number: int, count: int) -> Int64[np.ndarray, " n"]:
    """Shuffle the numbers below ``count``."""
    return np.random.default_rng(fold(purpose, seed, number)).permutation(count)
