"""The charts of a run, from its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from handful.records.scores import Score
from handful.reporting.charts import Curve, Series


class Plan(NamedTuple):
    """What a chart is to show: its title, unit, explanation, and a name in the log for each of its lines."""

    title: str
    unit: str
    explanation: str
    lines: Mapping[str, str]
    """Label, by name in the log."""


SCORES = (
    Plan(
        "KID",
        "",
        "Distance to the training images; lower is better. The band is one standard error.",
        {"kid": "KID"},
    ),
    Plan("Copies", "share", "Generated images that copy a training image.", {"copies": "copies"}),
    Plan(
        "Novelty",
        "",
        "Distance to the nearest training image: 0 is a copy, 1 as far as other training images.",
        {"novelty": "novelty"},
    ),
    Plan("Spread", "", "How varied the images are; 1 is as varied as the training images.", {"spread": "spread"}),
    Plan(
        "Memorisation",
        "share right",
        "How often the discriminator calls real images real. Where the lines part, it memorises the training images.",
        {"accuracy_seen": "training images", "accuracy_unseen": "held-out images"},
    ),
)

LOSSES = (
    Plan(
        "Losses",
        "",
        "They say little about quality, but they should stay bounded.",
        {"discriminator": "discriminator", "generator": "generator", "reconstruction": "reconstruction"},
    ),
    Plan(
        "Discriminator in training",
        "share right",
        "If both are near 1, the discriminator always tells real images from generated ones.",
        {"accuracy_real": "accuracy real", "accuracy_fake": "accuracy fake"},
    ),
    Plan(
        "Augmentation",
        "probability",
        "How often the discriminator sees augmented images.",
        {"augment_probability": "augment probability"},
    ),
    Plan(
        "Penalties",
        "dB",
        "How far frequencies, and detail by pixel position, are off from the training images.",
        {"spectrum": "spectrum", "lattice": "lattice"},
    ),
)


def curves(log: Sequence[Mapping[str, Any]], history: Sequence[Score]) -> list[Curve]:
    """Return a chart for everything that the log holds."""
    scores = [vars(score) for score in history]
    return [*drawn(SCORES, scores, levels(history)), *drawn(LOSSES, log, {})]


def levels(history: Sequence[Score]) -> dict[str, tuple[str, float]]:
    """Return what scores are to be compared with, by title of the chart."""
    if not history:
        return {}
    return {"Copies": ("among training images", history[-1].copies_among_training), "Spread": ("training images", 1.0)}


def drawn(
    plans: Sequence[Plan], log: Sequence[Mapping[str, Any]], levels: Mapping[str, tuple[str, float]]
) -> Iterator[Curve]:
    """Go through the charts of which the log holds a line."""
    for plan in plans:
        series = [
            Series(label, points, errors(log, name))
            for name, label in plan.lines.items()
            if (points := [(line["step"], line[name]) for line in log if line.get(name) is not None])
        ]
        if series:
            yield Curve(plan.title, plan.unit, plan.explanation, series, levels.get(plan.title))


def errors(log: Sequence[Mapping[str, Any]], name: str) -> list[float] | None:
    """Return the standard errors of a value in the log, if it has any."""
    key = f"{name}_error"
    return [line[key] for line in log if line.get(name) is not None] if log and key in log[0] else None
