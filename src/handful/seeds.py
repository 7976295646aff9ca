"""Named random streams: every random number is drawn from a purpose and a few numbers, such as seed and step."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a random stream is used for. Streams of two purposes are independent even for equal seeds."""

    PICTURE = 1
    WEIGHTS = 2
    STEP = 3
    ORDER = 4
    HOLD_BACK = 5
    SCORE = 6
    CLASS = 8
    WALK = 9
    INVERSION = 10


def fold(purpose: Purpose, *numbers: int) -> int:
    """Return a 64-bit seed for a purpose and some numbers; similar numbers give independent seeds."""
    return int(np.random.SeedSequence((int(purpose), *numbers)).generate_state(1, np.uint64)[0])
