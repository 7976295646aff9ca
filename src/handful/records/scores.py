"""Scores of a run: the best checkpoint, a plateau."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MORE_COPIES = 0.05
"""Share of copies, above that among the training images, from which a checkpoint is refused."""


LEAST_SPREAD = 0.35
"""Spread below which a checkpoint is refused."""


BY_HEART = 0.25
"""How much more often the discriminator is right on images it trains on than on others when it knows them by heart."""


PATIENCE = 10
"""Scores without a better one before a run can have stopped to improve."""


@dataclass(frozen=True)
class Score:
    """How good a checkpoint is, on the same 256 seeds at each step, against the images that are trained on."""

    step: int
    kid: float
    kid_error: float
    copies: float
    """Share of the pictures, 0 to 1, that are copies of training images."""
    copies_among_training: float
    novelty: float
    spread: float
    """How much the pictures differ from each other, over how much the training images do."""
    accuracy_seen: float | None
    """Share of patches of images it trains on that the discriminator takes for real; None without unseen ones."""
    accuracy_unseen: float | None
    """The same for images that were held back."""
    score_seconds: float


def read_history(lines: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Take the scores from the lines of a log."""
    names = [field.name for field in dataclasses.fields(Score)]
    return [Score(**{name: line[name] for name in names}) for line in lines if "kid" in line]


def refusal(score: Score) -> str | None:
    """Say why a checkpoint cannot be the best, whatever its KID; None if it can.

    KID falls when a generator copies its training images, so it must not be asked alone. Copies count only beyond what
    training images show among themselves, since a folder can hold near-duplicates.
    """
    if score.copies > max(score.copies_among_training + MORE_COPIES, 2 * score.copies_among_training):
        return f"{score.copies:.0%} of its pictures are copies"
    if score.spread < LEAST_SPREAD:
        return f"its pictures differ only {score.spread:.2f} times as much as the training images"
    return None


def lowest(history: Sequence[Score]) -> Score | None:
    """Give the accepted score of the lowest KID."""
    return min((score for score in history if refusal(score) is None), key=lambda score: score.kid, default=None)


def best(history: Sequence[Score]) -> Score | None:
    """Give the newest accepted score whose KID is less than a standard error above the lowest.

    Among checkpoints that the score cannot tell apart the one that trained longest is taken: detail goes on to grow
    when KID at a hundred images no longer sees it, and copying, which grows with it, has been refused.

    Source: the one-standard-error rule (Breiman et al. 1984, section 3.4.3), there for the simplest model.
    """
    bottom = lowest(history)
    if bottom is None:
        return None
    accepted = (score for score in history if refusal(score) is None)
    return max((score for score in accepted if alike(score, bottom)), key=lambda score: score.step)


def alike(one: Score, other: Score) -> bool:
    """Say whether two KIDs are nearer to each other than the standard error of their difference."""
    return abs(one.kid - other.kid) <= math.hypot(one.kid_error, other.kid_error)


def plateau(history: Sequence[Score]) -> bool:
    """Say whether nothing improves any more: for ten scores, and as many steps again as it took to get there."""
    if not history:
        return False
    bottom = lowest(history)
    reached = 0 if bottom is None else bottom.step
    since = sum(score.step > reached for score in history)
    return since >= PATIENCE and history[-1].step >= 2 * reached


def by_heart(history: Sequence[Score]) -> tuple[float, float] | None:
    """Give the discriminator's accuracy on seen and on unseen images if they are far apart, mean of three scores."""
    recent = [score for score in history[-3:] if score.accuracy_seen is not None and score.accuracy_unseen is not None]
    if len(recent) < 3:
        return None
    seen = sum(score.accuracy_seen or 0.0 for score in recent) / len(recent)
    unseen = sum(score.accuracy_unseen or 0.0 for score in recent) / len(recent)
    return (seen, unseen) if seen - unseen > BY_HEART else None
