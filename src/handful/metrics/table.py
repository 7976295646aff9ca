"""Scores side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from handful.files import printable
from handful.metrics.results import Evaluation
from handful.metrics.scores import SPECS

CLASS_COLUMNS = {
    "images": ("images", ".0f"),
    "of_class": ("of class", ".1%"),
    "kid": ("KID", ".3f"),
    "recall": ("recall", ".3f"),
    "coverage": ("coverage", ".3f"),
    "copies": ("copies", ".1%"),
    "novelty": ("novelty", ".3f"),
}
"""Heading and format of each score of a class. ``of class``: the nearest training image is of the class too."""

RANDOM_FEATURES = "features random: an untrained network, so compare models of one folder only, and look at images"


def table(evaluations: Sequence[Evaluation]) -> Iterator[Table | Text]:
    """Lay out the verdicts, the scores, one column for each evaluation, and everything that they depend on."""
    for evaluation in evaluations:
        yield from verdict_parts(evaluation)
    yield score_table(evaluations)
    for evaluation in evaluations:
        if evaluation.classes:
            yield class_table(evaluation)
    for evaluation in evaluations:
        yield from notes(evaluation)
    if evaluations[0].setup.features == "random":
        yield Text(RANDOM_FEATURES, style="dim")
    missing: dict[str, list[str]] = {}
    for evaluation in evaluations:
        for name, reason in evaluation.why.items():
            if name in SPECS and name not in missing.setdefault(reason, []):
                missing[reason].append(name)
    for reason, names in missing.items():
        yield Text(f"\nno {', '.join(sorted(names))}: {reason}")


def verdict_parts(evaluation: Evaluation) -> Iterator[Table | Text]:
    """Say how close, how varied and how much copied the samples are: three rows, and below them what they mean."""
    verdict = evaluation.verdict
    yield Text(f"{evaluation.setup.source}: {verdict.headline}", style="bold")
    rows = Table(box=None, pad_edge=False, show_header=False)
    for finding in verdict.findings.values():
        rows.add_row(finding.question, Text(finding.word, style="bold"), finding.figure)
    yield rows
    yield Text(" ".join(finding.sentence for finding in verdict.findings.values()) + "\n", style="dim")


def score_table(evaluations: Sequence[Evaluation]) -> Table:
    """Lay out the scores, one row for each that some evaluation has."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("")
    for evaluation in evaluations:
        rows.add_column(Text(evaluation.setup.source), justify="right", overflow="fold")
    rows.add_column("")
    for name, spec in SPECS.items():
        if any(name not in evaluation.why for evaluation in evaluations):
            values = (evaluation.text(name) for evaluation in evaluations)
            rows.add_row(spec.label, *values, Text(spec.meaning, style="dim"))
    return rows


def class_table(evaluation: Evaluation) -> Table:
    """Lay out the scores of each class, one row for each class."""
    title = Text(f"\n{evaluation.setup.source}, by class")
    rows = Table(box=None, pad_edge=False, header_style="bold", title=title, title_style="dim")
    present = [key for key in CLASS_COLUMNS if any(key in scores for scores in evaluation.classes.values())]
    rows.add_column("")
    for key in present:
        rows.add_column(CLASS_COLUMNS[key][0], justify="right")
    for name, scores in evaluation.classes.items():
        rows.add_row(Text(printable(name)), *(class_value(scores, key) for key in present))
    return rows


def class_value(scores: dict[str, float], key: str) -> str:
    """Return a score of a class as tables show it."""
    return format(scores[key], CLASS_COLUMNS[key][1])


def notes(evaluation: Evaluation) -> Iterator[Text]:
    """Say below the table what the scores depend on and what they are to be compared with."""
    setup, copying = evaluation.setup, evaluation.copying
    yield Text(f"\n{setup.source}: {setup}", style="dim")
    yield Text(
        f"training images among themselves: {copying.copies_among_training:.1%} copies, "
        f"novelty {copying.novelty_among_training:.2f}; a copy is below {copying.copy_limit:.2f}",
        style="dim",
    )
    if evaluation.holdout is not None:
        yield Text(str(evaluation.holdout), style="dim")
