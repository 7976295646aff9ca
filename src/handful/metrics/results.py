"""What an evaluation gives: the scores, all that they depend on, and what they are to be compared with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, final

from markupsafe import Markup

from handful.config.choices import Fit
from handful.metrics.scores import SPECS, Scores
from handful.records.verdict import Figures, Verdict, judge


@final
@dataclass(frozen=True)
class Setup:
    """Everything that a score depends on besides the samples."""

    source: str
    """What was scored, as the user named it."""
    samples: int
    """Number of samples."""
    reference: str
    """The training images, in words."""
    protocol: str
    features: str
    """The network whose features were compared, with the way images were resized for it."""
    size: int | str
    """Pixels at which images were compared: the side of a square, or width and height as in 768x512."""
    fit: Fit
    """How images were brought to these proportions."""
    seeds: str | None
    """None for a folder of images."""
    truncation: float | None
    """None for a folder of images."""

    def __str__(self) -> str:
        """Return one line for below a table."""
        seeds = f", seeds {self.seeds}" if self.seeds else ""
        seeds += f", truncation {self.truncation:g}" if self.truncation not in (None, 1.0) else ""
        return (
            f"protocol {self.protocol}: {self.samples:,} samples{seeds}, against {self.reference}, "
            f"at {self.size} px ({self.fit}), features {self.features}"
        )


@final
@dataclass(frozen=True)
class Copying:
    """Which samples are nearest to training images, and how near training images are to each other."""

    copies_among_training: float
    """Share of training images that would pass for copies of other training images."""
    novelty_among_training: float
    copy_limit: float
    """Novelty below which a sample is a copy."""
    copy_limit_of_parts: float
    """The same for its four quarters together."""
    closest: list[dict[str, Any]]
    """Training images with their nearest sample, nearest first; ``sharing`` counts the samples nearest to each."""


@final
@dataclass(frozen=True)
class HeldOut:
    """How images that were not trained on score: what a perfect generator could reach."""

    images: int
    copies: float
    novelty: float
    kid: float | None = None
    """Of the samples, against these images."""
    kid_error: float | None = None
    kid_to_training: float | None = None
    """Of these images, against the training images."""
    kid_to_training_error: float | None = None

    def __str__(self) -> str:
        """Return one line for below a table."""
        text = f"{self.images} held-out images: {self.copies:.1%} copies, novelty {self.novelty:.2f}"
        if self.kid is not None:
            text += f", KID to the training images {self.kid_to_training:.5f} ± {self.kid_to_training_error:.5f}"
            text += f"; KID of the samples to them {self.kid:.5f} ± {self.kid_error:.5f}"
        return text


@final
@dataclass(frozen=True, repr=False)
class Evaluation:
    """The scores of one set of samples, and all that was chosen to get them."""

    setup: Setup
    scores: Scores
    copying: Copying
    swd_levels: dict[int, float]
    """``Scores.swd`` of each scale, by the shorter side of the image in pixels."""
    holdout: HeldOut | None = None
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    """The scores of each class by itself, where there are classes; see ``scores_by_class``."""
    why: dict[str, str] = field(default_factory=dict)
    """The reason for each score that is missing."""
    seconds: float = 0.0

    def text(self, name: str) -> str:
        """Return a score as tables show it; copies as the verdict has them."""
        return self.verdict.copied.figure if name == "copies" else self.scores.text(name)

    @property
    def verdict(self) -> Verdict:
        """How close, how varied, how much is copied."""
        return judge(Figures.read(self._flat()))

    def to_json(self) -> dict[str, Any]:
        """Return everything as one flat object, as ``handful evaluate --json`` prints it."""
        return {"verdict": self.verdict.to_json()} | self._flat()

    def _flat(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        groups = [values.pop(name) for name in ("setup", "scores", "copying")]
        flat: dict[str, Any] = {name: value for group in (*groups, values) for name, value in group.items()}
        if self.holdout is not None:
            flat["holdout"] = {name: value for name, value in flat["holdout"].items() if value is not None}
        return flat

    def __repr__(self) -> str:
        setup, verdict = self.setup, self.verdict
        answers = ", ".join(finding.answer for finding in verdict.findings.values())
        return f"Evaluation({setup.source}: {verdict.headline}: {answers}; {setup.samples:,} samples, {setup.features})"

    def _repr_html_(self) -> str:
        """Return two tables for a notebook: the verdict, and every score."""
        row = Markup("<tr><th style='text-align:left'>{}</th><td>{}</td><td style='text-align:left'>{}</td></tr>")
        verdict = self.verdict
        findings = [
            row.format(finding.question, finding.answer, finding.sentence) for finding in verdict.findings.values()
        ]
        rows = [
            row.format(spec.label, self.text(name), self.why.get(name, spec.meaning)) for name, spec in SPECS.items()
        ]
        table = Markup("<table><caption>{}</caption>{}</table>")
        tables = (f"{self.setup.source}: {verdict.headline}", findings), (self.setup, rows)
        return "".join(table.format(caption, Markup("").join(body)) for caption, body in tables)
