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
    """Label, by name in the log; ``FEATURES`` stands for the network of the scores."""
    folded: bool = True
    """Whether the chart is shown only on demand."""


FEATURES = "features"

SCORES = (
    Plan(
        "Distance",
        "",
        "Distance to the training images; fresh real images have 1. The band is one standard error.",
        {"distance": FEATURES, "squeezenet_distance": "squeezenet"},
        folded=False,
    ),
    Plan(
        "Variety",
        "share",
        "How many different images the generated ones amount to; 1 is as many as the training images.",
        {"variety": FEATURES, "squeezenet_variety": "squeezenet"},
        folded=False,
    ),
    Plan("Copies", "share", "Generated images that copy a training image.", {"copies": "copies"}, folded=False),
    Plan(
        "KID",
        "",
        "Distance to the training images; lower is better, 0 is best. The band is one standard error.",
        {"kid": FEATURES, "squeezenet_kid": "squeezenet"},
        folded=False,
    ),
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
        {name: name for name in ("discriminator", "projected", "generator", "reconstruction")},
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


def curves(log: Sequence[Mapping[str, Any]], history: Sequence[Score], features: str) -> list[Curve]:
    """Return a chart for everything that the log holds; ``features`` names the network of the scores."""
    scores = [vars(score) for score in history]
    return [*drawn(SCORES, scores, levels(history), features), *drawn(LOSSES, log, {}, features)]


def levels(history: Sequence[Score]) -> dict[str, tuple[str, float]]:
    """Return what scores are to be compared with, by title of the chart."""
    if not history:
        return {}
    newest, real = history[-1], ("training images", 1.0)
    copies = ("among training images", newest.copies_among_training)
    return {"Distance": ("fresh real images", 1.0), "Variety": real, "Spread": real, "Copies": copies}


def drawn(
    plans: Sequence[Plan],
    log: Sequence[Mapping[str, Any]],
    levels: Mapping[str, tuple[str, float]],
    features: str,
) -> Iterator[Curve]:
    """Go through the charts of which the log holds a line."""
    for plan in plans:
        series = [
            Series(features if label == FEATURES else label, points, errors(log, name))
            for name, label in plan.lines.items()
            if (points := [(line["step"], line[name]) for line in log if line.get(name) is not None])
        ]
        if series:
            yield Curve(plan.title, plan.unit, plan.explanation, series, levels.get(plan.title), folded=plan.folded)


def errors(log: Sequence[Mapping[str, Any]], name: str) -> list[float | None] | None:
    """Return the standard errors of a value in the log, if it has any."""
    found = [line.get(f"{name}_error") for line in log if line.get(name) is not None]
    return found if any(error is not None for error in found) else None
