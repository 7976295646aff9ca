"""The verdict on a generator: how close, how varied, how much is copied. Imports no torch.

The terminal, the report, JSON and notebooks show what ``judge`` returns. docs/metrics.md explains the thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, final

from handful.records.rounding import rounded, with_error
from handful.records.scores import MORE_COPIES

Tone = Literal["good", "unknown", "caution", "bad"]

TONES: tuple[Tone, ...] = ("good", "unknown", "caution", "bad")
"""Best first. The verdict has the worst tone of its findings."""

HEADLINES: dict[Tone, str] = {
    "good": "good",
    "unknown": "not fully measured",
    "caution": "look closely",
    "bad": "not good yet",
}


class Grade(NamedTuple):
    """What a value up to a limit is called."""

    limit: float
    word: str
    tone: Tone


CLOSE = (
    Grade(1.5, "very close", "good"),
    Grade(3, "close", "good"),
    Grade(6, "recognisable", "caution"),
    Grade(12, "rough", "caution"),
    Grade(math.inf, "far", "bad"),
)
"""By distance to the training images, where fresh real images have 1."""

VARIED = (
    Grade(0.1, "nearly all alike", "bad"),
    Grade(0.35, "much less varied", "bad"),
    Grade(0.8, "less varied", "caution"),
    Grade(1.25, "as varied", "good"),
    Grade(math.inf, "more varied", "caution"),
)
"""By variety as a share of the training images' own."""

OTHERWISE = Grade(math.inf, "varied in other ways", "caution")
"""As varied by that share, but no training image has a generated one like it."""

UNMEASURED = Grade(math.inf, "not measured", "unknown")

NO_COPIES, CHANCE, FEW, MANY = "no copies found", "no copies beyond chance", "a few copies", "many copies"

MISSING = "The scores that tell are missing."

CERTAIN = 2
"""Standard errors above the share among fresh images from which copies are more than chance."""

ZERO = 0.005
"""A share below this is written as 0.00."""

MEANINGS = {
    "close": "Distance of generated to training images, over that of one half of the training images to the other.",
    "varied": "Number of different images that the generated ones amount to, over that of as many training images.",
    "copied": "Share of generated images much nearer to one training image than to all others.",
}
"""How each figure is measured, for a curious reader."""


@final
@dataclass(frozen=True)
class Figures:
    """What a verdict is based on; None where it was not measured. Named like the scores."""

    samples: int
    """Number of generated images."""
    features: str = "features"
    """The network of ``distance`` and ``variety``."""
    distance: float | None = None
    distance_error: float | None = None
    squeezenet_distance: float | None = None
    squeezenet_distance_error: float | None = None
    variety: float | None = None
    variety_error: float | None = None
    squeezenet_variety: float | None = None
    squeezenet_variety_error: float | None = None
    precision: float | None = None
    recall: float | None = None
    density: float | None = None
    coverage: float | None = None
    copies: float | None = None
    copies_among_training: float | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Figures:
        """Take the figures among the keys of an evaluation, or of a score with ``samples`` and ``features``."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def through(self, name: str) -> dict[str, tuple[float, float | None]]:
        """Return a figure and its error by network, of those through which it was measured."""
        keys = (self.features, name), ("squeezenet", f"squeezenet_{name}")
        values = [(network, getattr(self, key), getattr(self, f"{key}_error")) for network, key in keys]
        return {network: (value, error) for network, value, error in values if value is not None}

    def zero(self, *names: str) -> list[str]:
        """Return which of these scores are 0, in words."""
        values = {name: getattr(self, name) for name in names}
        return [f"{name} 0.00" for name, value in values.items() if value is not None and value < ZERO]


@final
@dataclass(frozen=True)
class Finding:
    """One of the three answers."""

    question: str
    """As in a heading: how close."""
    word: str
    """The answer in a word or two."""
    tone: Tone
    sentence: str
    """The answer without jargon."""
    value: float | None = None
    error: float | None = None
    """Standard error of ``value``."""
    figure: str = ""
    """``value`` with its error, with the digits that this allows; empty if it was not measured."""
    based_on: str = ""
    """What was compared, and through which networks."""

    @property
    def answer(self) -> str:
        """The word with its figure."""
        return f"{self.word} ({self.figure})" if self.figure else self.word


@final
@dataclass(frozen=True)
class Verdict:
    """Three findings, and the worst of their tones."""

    tone: Tone
    close: Finding
    varied: Finding
    copied: Finding

    @property
    def findings(self) -> dict[str, Finding]:
        """The findings by key of JSON, in order of reading."""
        return {"close": self.close, "varied": self.varied, "copied": self.copied}

    @property
    def scored(self) -> bool:
        """Whether anything was measured."""
        return any(finding.value is not None for finding in self.findings.values())

    @property
    def headline(self) -> str:
        """The tone in words."""
        return HEADLINES[self.tone] if self.scored else "not scored"

    @property
    def summary(self) -> str:
        """The three words."""
        return ", ".join(finding.word for finding in self.findings.values()) if self.scored else "not scored"

    def lines(self) -> list[str]:
        """Return a line for each finding: the question, the answer, the sentence."""
        return [f"{finding.question}: {finding.answer}. {finding.sentence}" for finding in self.findings.values()]

    def to_json(self) -> dict[str, Any]:
        """Return everything as one object, the value of the key ``verdict``."""
        findings = {name: dict(vars(finding)) for name, finding in self.findings.items()}
        return {"tone": self.tone, "headline": self.headline, "summary": self.summary} | findings


def judge(figures: Figures | None) -> Verdict:
    """Return the verdict on figures; on None, that nothing was scored."""
    figures = figures or Figures(0)
    findings = close(figures), varied(figures), copied(figures)
    return Verdict(worst(*(finding.tone for finding in findings)), *findings)


def close(figures: Figures) -> Finding:
    """Say how close generated images are to the training images; of two networks the larger distance counts."""
    grade, value, error, sentence, based_on = UNMEASURED, None, None, MISSING, ""
    if measured := figures.through("distance"):
        network = max(measured, key=lambda name: measured[name][0])
        value, error = measured[network]
        grade, based_on = grade_of(value, CLOSE), basis(figures, measured, network)
        sentence = f"Their distance to the training images is {rounded(value, error)} times that of fresh real images."
        if value - CERTAIN * (error or 0.0) <= 1:
            sentence = "They are as close to the training images as fresh real images are."
        if network == "random":
            grade = grade._replace(tone=worst(grade.tone, "caution"))
            sentence += " The network is untrained and has never seen an object, so look at the images."
    if zero := figures.zero("precision", "density"):
        grade = capped(grade, CLOSE[2] if len(zero) == 1 else CLOSE[-1])
        sentence += f" Almost none of them looks like a training image ({', '.join(zero)})."
    figure = "" if value is None else with_error(value, error)
    return Finding("how close", grade.word, grade.tone, sentence, value, error, figure, based_on)


def varied(figures: Figures) -> Finding:
    """Say how varied generated images are; of two networks the smaller variety counts."""
    grade, value, error, sentence, based_on = UNMEASURED, None, None, MISSING, ""
    if measured := figures.through("variety"):
        network = min(measured, key=lambda name: measured[name][0])
        value, error = measured[network]
        grade, based_on = grade_of(value, VARIED), basis(figures, measured, network)
        sentence = f"They have {rounded(value, error, '.0%')} of the variety of the training images."
        if grade == VARIED[-1]:
            sentence += " Look for noise and broken images, which count as variety."
    if zero := figures.zero("recall", "coverage"):
        grade = capped(grade, OTHERWISE)
        sentence += f" Almost no training image has a generated one like it ({', '.join(zero)})."
    figure = "" if value is None else with_error(value, error)
    return Finding("how varied", grade.word, grade.tone, sentence, value, error, figure, based_on)


def copied(figures: Figures) -> Finding:
    """Say how many generated images copy a training image, compared with what fresh real images show."""
    question, share, count = "how much is copied", figures.copies, figures.samples
    if share is None:
        return Finding(question, UNMEASURED.word, UNMEASURED.tone, MISSING)
    error, expected = standard_error(share, count), figures.copies_among_training or 0.0
    word, tone = grade_of_copies(share, error, expected)
    figure = with_error(share, error, ".1%") if share else f"0.0%, at most {rounded(upper_bound(count), digits='.1%')}"
    sentence = f"Among {count:,} images, no copy of a training image was found."
    if share:
        copies, usual = rounded(share, error, ".1%"), rounded(expected, digits=".1%")
        sentence = f"{copies} of them copy a training image; {usual} of the training images would copy another one."
    based_on = f"{count:,} images, each laid over training images: mirrored, zoomed, moved, recoloured, in quarters"
    return Finding(question, word, tone, sentence, share, error, figure, based_on)


def grade_of_copies(share: float, error: float, expected: float) -> tuple[str, Tone]:
    """Return what a share of copies is called; a run's checkpoint with many is never kept as the best."""
    if share == 0:
        return NO_COPIES, "good"
    if share > max(expected + MORE_COPIES, 2 * expected):
        return MANY, "bad"
    return (FEW, "caution") if share - CERTAIN * error > expected else (CHANCE, "good")


def grade_of(value: float, grades: Sequence[Grade]) -> Grade:
    """Return the grade of a value."""
    return next(grade for grade in grades if value <= grade.limit)


def capped(grade: Grade, limit: Grade) -> Grade:
    """Return a grade, or a limit with a worse tone; what was not measured takes a bad word only."""
    if worst(grade.tone, limit.tone) == grade.tone:
        return grade
    return grade._replace(tone=limit.tone) if grade is UNMEASURED and limit.tone != "bad" else limit


def worst(*tones: Tone) -> Tone:
    """Return the worst of some tones."""
    return max(tones, key=TONES.index)


def basis(figures: Figures, measured: dict[str, tuple[float, float | None]], counted: str) -> str:
    """Say of how many images and through which networks a figure is, and which of two counts."""
    networks = " and ".join(measured)
    return f"{figures.samples:,} images, through {networks}" + (f"; {counted} counts" if len(measured) > 1 else "")


def standard_error(share: float, count: int) -> float:
    """Return the standard error of a share of ``count`` images."""
    return math.sqrt(share * (1 - share) / count) if count else 0.0


def upper_bound(count: int) -> float:
    """Return the share of copies up to which 95 % certainly none would be found among ``count`` images.

    Source: the score interval (Wilson 1927) at a share of 0.
    """
    return 1.96**2 / (count + 1.96**2)
