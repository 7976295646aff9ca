"""The scores: what each is called, how it is written and what it says. JSON, tables and the report read it here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, final

from handful.records.rounding import with_error

Outcome = float | str
"""A score, or the reason why there is none."""

NOT_FINITE = "not finite: the training images do not differ from each other in this respect"


@final
@dataclass(frozen=True)
class ScoreSpec:
    """What is to be known of a score, whatever its value."""

    label: str
    meaning: str
    """What it says, and which value is good."""
    digits: str = ".2f"
    """How it is written, as ``format`` takes it, where it has no error that decides its digits."""


def score(*spec: str) -> Any:  # noqa: ANN401  # like dataclasses.field, of whatever type the field has
    """Return a field for a score that is missing until it is measured; ``spec`` is that of a ``ScoreSpec``."""
    return field(default=None, metadata={"spec": ScoreSpec(*spec)})


@final
@dataclass(frozen=True)
class Scores:
    """The scores of one set of samples; None where ``Evaluation.why`` has the reason."""

    kid: float | None = score("KID", "distance to the training images, unbiased; 0 is best", ".3f")
    kid_error: float | None = None
    """Standard error of ``kid``."""
    squeezenet_kid: float | None = score("KID, SqueezeNet", "the same through a second network", ".3f")
    squeezenet_kid_error: float | None = None
    distance: float | None = score("distance", "distance to the training images; fresh real images have 1, copies less")
    distance_error: float | None = None
    squeezenet_distance: float | None = score("distance, SqueezeNet", "the same through a second network")
    squeezenet_distance_error: float | None = None
    fid: float | None = score("FID", "distance to the training images, biased if they are few; copies reach 0", ".1f")
    precision: float | None = score("precision", "share of samples that look like training images")
    recall: float | None = score("recall", "share of training images that a sample resembles; blur lowers it too")
    density: float | None = score("density", "how densely samples lie among training images; about 1 is best")
    coverage: float | None = score("coverage", "share of training images with a sample next to them")
    variety: float | None = score(
        "variety", "number of different images, as a share of the training images'; 1 is best"
    )
    variety_error: float | None = None
    squeezenet_variety: float | None = score("variety, SqueezeNet", "the same through a second network")
    squeezenet_variety_error: float | None = None
    diversity: float | None = score(
        "diversity (LPIPS)", "how different, relative to the training images; about 1 is best"
    )
    spread: float | None = score(
        "spread", "how different in feature space, relative to the training images; about 1 is best"
    )
    swd: float | None = score("SWD x 1000", "distance of small patches, mean over scales; 0 is best", ".1f")
    periodicity: float | None = score("periodicity, dB", "grids that training images lack; up to 2 means none", ".1f")
    unevenness: float | None = score("unevenness, dB", "dots and checkers that they lack; up to 0.3 means none")
    detail: float | None = score("detail, dB", "power of the finest detail; above 0 is grain, below 0 blur", ".1f")
    path_length: float | None = score("path length", "1 if images change evenly between latents, 8 if they jump", ".1f")
    copies: float | None = score("copies", "share of samples that copy a training image", ".1%")
    novelty: float | None = score("novelty", "distance to the nearest training image; 0 is a copy, about 1 is new")

    def text(self, name: str) -> str:
        """Return a score as tables show it, with its standard error if it has one; a dash if it is missing."""
        value = getattr(self, name)
        return "-" if value is None else with_error(value, getattr(self, f"{name}_error", None), SPECS[name].digits)


SPECS: dict[str, ScoreSpec] = {each.name: each.metadata["spec"] for each in fields(Scores) if each.metadata}
"""The rows of every table, in order, by field of ``Scores`` and key in JSON."""


def scores_and_reasons(outcomes: Mapping[str, Outcome]) -> tuple[Scores, dict[str, str]]:
    """Tell the scores from the reasons of those that are missing. A score that is not finite is missing."""
    why = {name: value for name, value in outcomes.items() if isinstance(value, str)}
    numbers = {name: value for name, value in outcomes.items() if not isinstance(value, str)}
    why |= {name: NOT_FINITE for name, value in numbers.items() if not math.isfinite(value)}
    return Scores(**{name: value for name, value in numbers.items() if math.isfinite(value)}), why
