"""The words of the report: what was done, on what, with which options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handful.config import budget
from handful.config.sizes import spelled
from handful.config.text import option, title
from handful.config.train import TrainConfig, size_in_words
from handful.data.dataset import Dataset
from handful.displays import duration
from handful.files import expanded, printable
from handful.images.channels import CHANNEL_NAMES
from handful.metrics.results import Evaluation
from handful.metrics.scores import SPECS
from handful.records.scores import Score
from handful.records.settings import Settings
from handful.reporting.page import ScoreRow
from handful.sampling.model import Model

MAIN_SCORES = (
    *("distance", "squeezenet_distance", "variety", "squeezenet_variety", "copies"),
    *("kid", "squeezenet_kid", "precision", "recall", "coverage"),
)
"""Scores that are not folded away."""


def heading(settings: Settings) -> str:
    """Name a run by its images."""
    config = settings.config
    name = printable(title(config.images) or config.folder.resolve().name)
    return f"{name}: {settings.images:,}\N{NO-BREAK SPACE}images, {spelled(config.shape)}\N{NO-BREAK SPACE}px"


def facts(settings: Settings, log: Sequence[Mapping[str, Any]], model: Model) -> list[tuple[str, str]]:
    """Say in a few words what was done, for how long, and on what."""
    config = settings.config
    newest: Mapping[str, Any] = log[-1] if log else {}
    step, seconds = newest.get("step", 0), newest.get("seconds", 0.0)
    parameters = sum(tensor.numel() for tensor in model.network.parameters())
    rows = [
        ("images", f"{settings.images:,}"),
        ("size", f"{size_in_words(config)}, {CHANNEL_NAMES[config.generator.channels]}"),
        ("steps", f"{step:,} of {config.steps:,}"),
        ("images seen", f"{step * config.whole_batch:,}"),
        ("time", duration(seconds)),
        ("speed", f"{newest.get('images_per_second', 0.0):.3g} images/s"),
        ("memory", f"{newest.get('peak_memory_mb', 0.0) / 1024:.2g} GiB"),
        ("trained on", settings.hardware or config.device),
        ("generator", f"{parameters / 1e6:.3g} M parameters"),
        ("preset", config.preset),
    ]
    scoring = sum(line.get("score_seconds", 0.0) for line in log)
    if scoring and seconds:
        rows.append(("time for scores", f"{scoring / seconds:.1%}"))
    return rows


def data_notes(settings: Settings, dataset: Dataset | None) -> list[str]:
    """Say what is to be known about the training images."""
    config = settings.config
    mirrored = ", also mirrored" if config.mirror else ""
    notes = [f"{settings.images:,} images, brought to these proportions with --fit {config.fit}{mirrored}."]
    if dataset is None:
        return notes
    if dataset.left_out:
        notes.append(f"This page uses {len(dataset.images):,} of them, evenly spaced.")
    elif dataset.fingerprint != settings.fingerprint:
        notes.append("The folder has changed since the run. The images shown are those that it holds now.")
    if dataset.small:
        notes.append(f"{len(dataset.small)} of them are smaller than {size_in_words(config)} and were enlarged.")
    return notes + [f"Skipped: {problem}" for problem in dataset.skipped[:10]]


def options(config: TrainConfig) -> list[tuple[str, str]]:
    """Return all options of a run, as the command line spells them."""
    return [(option(name), value_in_words(value)) for name, value in config.to_json().items()]


def value_in_words(value: object) -> str:
    """Return the value of an option as a person would write it."""
    match value:
        case None:
            return "not set"
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return " ".join(map(value_in_words, value))
    return str(value)


def score_rows(evaluation: Evaluation, short: Redactor) -> list[ScoreRow]:
    """Return the table of scores; ``short`` shortens the paths in it."""
    why = {name: short(reason) for name, reason in evaluation.why.items()}
    return [
        ScoreRow(spec.label, evaluation.text(name), spec.meaning, why.get(name), name not in MAIN_SCORES)
        for name, spec in SPECS.items()
    ]


def pairs_caption(evaluation: Evaluation) -> str:
    """Say how many samples are copies, and how many training images would pass for copies of each other."""
    among = evaluation.copying.copies_among_training
    return f"{evaluation.verdict.copied.sentence} Among the training images, {among:.1%} are as close to another one."


def curves_caption(history: Sequence[Score], evaluation: Evaluation | None) -> str:
    """Say of how many images the scores in the charts are, which differs from the figures above."""
    if not history:
        return ""
    caption = f"Scores here are of {len(budget.current.scored_seeds):,} images at each step"
    return f"{caption}, those above of {evaluation.setup.samples:,}." if evaluation is not None else f"{caption}."


class Redactor:
    """Shortens the paths in a text: a report is shared, and says nothing about its author's folders."""

    def __init__(self, folders: Iterable[Path | None]) -> None:
        """Shorten these folders to their last part, and the home folder to ``~``."""
        names = {folder: title(folder) for folder in folders if folder is not None} | {expanded(Path("~")): "~"}
        self.names: dict[str, str] = {}
        for folder, name in names.items():
            for path in (folder, folder.absolute(), folder.resolve()):
                if path.is_absolute() and len(path.parts) > 1:
                    self.names |= {str(path): name, printable(path): printable(name)}

    def __call__(self, text: str) -> str:
        """Return a text with short paths."""
        for path in sorted(self.names, key=len, reverse=True):
            text = re.sub(re.escape(path) + r"(?![\w-])", lambda match: self.names[match[0]], text)
        return text
