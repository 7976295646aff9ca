"""Scores of a run: the best checkpoint, a plateau."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful.errors import UsageError
from handful.files import parse_json, printable

MORE_COPIES = 0.05
"""Share of copies, beyond that among the training images, above which a checkpoint is refused."""

MIN_SPREAD = 0.35
"""Spread below which a checkpoint is refused, in logs without variety."""

MIN_VARIETY = 0.1
"""Variety below which a checkpoint is refused, if all networks agree."""

MEMORISED_GAP = 0.25
"""The discriminator memorises if its accuracy on training images is this much higher than on held-out images."""

PLATEAU_SCORES = 10
"""Scores without improvement that make a plateau."""


@dataclass(frozen=True)
class Score:
    """How good a checkpoint is: the same 256 seeds at each step, compared with the training images."""

    step: int
    kid: float
    kid_error: float
    copies: float
    """Share of the images, 0 to 1, that copy a training image."""
    copies_among_training: float
    novelty: float
    spread: float
    """How much the images differ from each other, relative to the training images."""
    accuracy_seen: float | None
    """Share of patches of training images that the discriminator calls real; None without held-out images."""
    accuracy_unseen: float | None
    """The same for held-out images."""
    score_seconds: float
    distance: float | None = None
    """Distance of the features to those of the training images; 1 for fresh real images. None in older logs."""
    distance_error: float | None = None
    squeezenet_distance: float | None = None
    """The same through SqueezeNet; None where it is missing."""
    squeezenet_distance_error: float | None = None
    squeezenet_kid: float | None = None
    squeezenet_kid_error: float | None = None
    variety: float | None = None
    """Vendi score as a share of the training images' own; 1 is as varied as they are. None in older logs."""
    variety_error: float | None = None
    squeezenet_variety: float | None = None
    squeezenet_variety_error: float | None = None


SCORE_NUMBERS = tuple(entry.name for entry in dataclasses.fields(Score))

REQUIRED = tuple(entry.name for entry in dataclasses.fields(Score) if entry.type in ("int", "float"))

UNBOUNDED = ("novelty", "spread")
"""Infinite where all training images are alike; JSON has null for that."""


def read_history(lines: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Return the scores among the lines of a log, one for each step; those that lack a number are passed over."""
    scores = [score for line in lines if "kid" in line and (score := read_score(line)) is not None]
    return [*{score.step: score for score in scores}.values()]


def read_score(values: Mapping[str, Any]) -> Score | None:
    """Return the score that JSON holds; None if it holds none."""
    read = {name: values[name] for name in SCORE_NUMBERS if name in values}
    read |= {name: math.inf for name in UNBOUNDED if name in read and read[name] is None}
    numbers = [value for value in read.values() if value is not None]
    sound = all(type(value) in (int, float) and not math.isnan(value) for value in numbers)
    complete = all(read.get(name) is not None for name in REQUIRED) and type(read["step"]) is int
    if not (sound and complete):
        return None
    floats: dict[str, Any] = {
        name: value if value is None or name == "step" else float(value) for name, value in read.items()
    }
    return Score(**{"accuracy_seen": None, "accuracy_unseen": None} | floats)


def to_json(score: Score) -> dict[str, Any]:
    """Return a score as JSON has it."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in vars(score).items()}


def read_best(path: Path) -> tuple[Score | None, list[Score]]:
    """Return the score in a ``score.json``, and all scores up to the time it was written; none if there is no file.

    Raises:
        UsageError: if the file is damaged.
    """
    try:
        values = parse_json(path.read_bytes())
        score, history = read_score(values), read_history(values.get("history", []))
    except (FileNotFoundError, NotADirectoryError):
        return None, []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{printable(path)}: cannot be read ({printable(str(error))})") from error
    if score is None:
        raise UsageError(f"{printable(path)}: holds no score")
    return score, history


def refusal(score: Score) -> str | None:
    """Return why a checkpoint cannot be the best, however close it is; None if it can.

    Closeness alone does not suffice: it grows when a generator copies its training images.
    """
    if copies_too_much(score):
        return f"{score.copies:.0%} of its images are copies"
    varieties = [value for value in (score.variety, score.squeezenet_variety) if value is not None]
    if varieties and max(varieties) < MIN_VARIETY:
        return f"its images have only {max(varieties):.0%} of the variety of the training images"
    if not varieties and score.spread < MIN_SPREAD:
        return f"its images differ only {score.spread:.2f} times as much as the training images"
    return None


def copies_too_much(score: Score) -> bool:
    """Return whether there are more copies than near-duplicates among the training images explain."""
    return score.copies > max(score.copies_among_training + MORE_COPIES, 2 * score.copies_among_training)


def lowest(history: Sequence[Score]) -> Score | None:
    """Return the accepted score that is closest to the training images.

    Closest is the lowest product of the distances through both networks. Each has fresh real images at 1, so both count
    alike. If a score lacks one of them, it is the lowest KID.
    """
    accepted = [score for score in history if refusal(score) is None]
    products = {score.step: seen_by_both(score) for score in accepted}
    if None in products.values():
        return min(accepted, key=lambda score: score.kid, default=None)
    return min(accepted, key=lambda score: products[score.step] or 0.0, default=None)


def seen_by_both(score: Score) -> float | None:
    """Return the product of the distances through both networks; None if one is missing."""
    if score.distance is None or score.squeezenet_distance is None:
        return None
    return score.distance * score.squeezenet_distance


def best(history: Sequence[Score]) -> Score | None:
    """Return the newest accepted score whose KIDs are less than a standard error above those of the closest.

    KID cannot tell these checkpoints apart, but detail still improves after KID at a hundred images has stopped seeing
    it. Both networks must agree: each has a taste of its own. Copying, which grows too, has been refused.

    Source: the one-standard-error rule (Breiman et al. 1984, section 3.4.3), there for the simplest model.
    """
    bottom = lowest(history)
    if bottom is None:
        return None
    accepted = (score for score in history if refusal(score) is None)
    return max((score for score in accepted if as_close(score, bottom)), key=lambda score: score.step)


def as_close(score: Score, bottom: Score) -> bool:
    """Return whether no network's KID is above the other score's by more than the standard error of the difference."""
    pairs = [(score.kid - bottom.kid, score.kid_error, bottom.kid_error)]
    if score.squeezenet_kid is not None and bottom.squeezenet_kid is not None:
        errors = score.squeezenet_kid_error or 0.0, bottom.squeezenet_kid_error or 0.0
        pairs.append((score.squeezenet_kid - bottom.squeezenet_kid, *errors))
    return all(excess <= math.hypot(error, other) for excess, error, other in pairs)


def plateau(history: Sequence[Score]) -> bool:
    """Return whether training has stopped improving: for ten scores, and for as many steps as the best one took."""
    if not history:
        return False
    bottom = lowest(history)
    reached = 0 if bottom is None else bottom.step
    since = sum(score.step > reached for score in history)
    return since >= PLATEAU_SCORES and history[-1].step >= 2 * reached


def memorised(history: Sequence[Score]) -> tuple[float, float] | None:
    """Return the discriminator's mean accuracy on seen and unseen images over three scores; None if they are close."""
    recent = [score for score in history[-3:] if score.accuracy_seen is not None and score.accuracy_unseen is not None]
    if len(recent) < 3:
        return None
    seen = sum(score.accuracy_seen or 0.0 for score in recent) / len(recent)
    unseen = sum(score.accuracy_unseen or 0.0 for score in recent) / len(recent)
    return (seen, unseen) if seen - unseen > MEMORISED_GAP else None
