"""Seeds."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a random stream is for; streams of two purposes are unrelated whatever the seeds."""

    PICTURE = 1
    WEIGHTS = 2
    STEP = 3
    ORDER = 4
    HOLD_BACK = 5
    SCORE = 6
    PROJECTION = 7
    CLASS = 8
    WALK = 9
    INVERSION = 10


def fold(purpose: Purpose, *numbers: int) -> int:
    """Make one 64-bit seed out of a purpose and numbers; close numbers give unrelated seeds."""
    return int(np.random.SeedSequence((int(purpose), *numbers)).generate_state(1, np.uint64)[0])
