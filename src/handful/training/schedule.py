"""When a run is scored, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from handful.config.train import TrainConfig
from handful.records.scores import Score, plateau

SCORE_EVERY = 500
"""Minimum number of steps between two scores, where ``--score-every`` is not given."""

SCORE_SHARE = 0.05
"""Maximum share of the time spent on scores, where ``--score-every`` is not given."""


def end_reason(config: TrainConfig, step: int, minutes: float, history: Sequence[Score]) -> str | None:
    """Return why a run ends after a step, as a message; None if it continues.

    Args:
        config: The run's options.
        step: Steps done.
        minutes: Training time so far, over all sittings.
        history: Scores so far, oldest first.
    """
    if step >= config.steps:
        return f"{config.folder}: trained for {step:,} steps; raise --steps to continue"
    if config.minutes is not None and minutes >= config.minutes:
        return f"stopped at step {step:,} after --minutes {config.minutes:g}; raise it to continue"
    if config.stop_when == "plateau" and plateau(history):
        return f"stopped at step {step:,}: scores no longer improve; use --stop-when never to continue"
    return None


def steps_to_come(config: TrainConfig, step: int, seconds: float, seconds_per_step: float) -> int:
    """Return how many steps a run will still take: fewer than ``--steps`` says where ``--minutes`` ends it first.

    Args:
        config: The run's options.
        step: Steps done.
        seconds: Training time so far, over all sittings.
        seconds_per_step: How long a step takes.
    """
    left = max(0, config.steps - step)
    if config.minutes is None:
        return left
    return min(left, math.ceil(max(0.0, 60 * config.minutes - seconds) / seconds_per_step))


def score_is_due(config: TrainConfig, step: int, minutes: float, history: Sequence[Score], *, last: bool) -> bool:
    """Return whether to score a step: every ``--score-every`` steps and the last one; by default, while it is cheap.

    Args:
        config: The run's options.
        step: Steps done.
        minutes: Training time so far, over all sittings.
        history: Scores so far, oldest first.
        last: Whether the run ends after this step.
    """
    if config.score_every is not None:
        return config.score_every > 0 and (last or step % config.score_every == 0)
    if step < SCORE_EVERY:
        return False
    if last:
        return True  # at any cost: the score decides which model the user is left with
    if step % SCORE_EVERY:
        return False
    spent = [score.score_seconds for score in history]
    next_score = spent[-1] if spent else 0.0
    # The last step's score will be taken at any cost, so there must be time for one more.
    return sum(spent) + 2 * next_score <= SCORE_SHARE * 60 * minutes
