"""Make the page of a run from its folder: the log, the sample grids, the models, and the images it was trained on."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from handful.compute.memory import most_compared
from handful.config import budget
from handful.config.text import option
from handful.config.train import size_in_words
from handful.data.dataset import Dataset, load_folder
from handful.displays import duration
from handful.errors import UsageError, WeightsError
from handful.files import printable, replacing
from handful.images.channels import CHANNEL_NAMES
from handful.images.grid import grid, to_image
from handful.metrics.evaluation import Evaluation, evaluate
from handful.metrics.latents import walk
from handful.metrics.table import OF_CLASSES, ROWS, class_value, protocol, value
from handful.progress import Progress, advance, shown_on
from handful.records import layout
from handful.records.journal import Journal
from handful.records.scores import Score, read_history
from handful.records.settings import Settings, read_settings
from handful.records.verdict import verdict, warnings
from handful.reporting import page as words
from handful.reporting.charts import Curve, Series
from handful.reporting.page import Moment, Page, Pair, render
from handful.sampling.load import load
from handful.sampling.model import Model

OF_CLASS = range(8)
"""Seeds of the pictures of a class."""


CLASSES = 40
"""Classes shown, at most."""


TOLD = ("images", "of_class", "kid", "recall", "copies")
"""Scores of a class that are shown."""


WALKS = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11))
"""Seeds that each of the walks goes round."""


MOMENTS = 12


PARTS = (
    (
        "What holds the discriminator back",
        "Unless scheduled, up while the discriminator is sure of the images it trains on, and down while it is not.",
        ("augment_probability",),
    ),
    ("Penalties", "How far generated images are from the training images, in dB.", ("spectrum", "lattice")),
)
"""Curves of what only some runs have: title, text, names in the log."""


CONTACTS = 120
"""Training images on the contact sheet, at most."""


CONTACT_SIDE = 96
"""Pixels."""


Part = TypeVar("Part")


def report(run: Path | str, device: str = "auto", progress: Progress | None = None) -> Path:
    """Write ``report.html`` into a run folder, and give its path.

    What cannot be shown, since the images are gone or a score cannot be had, is named on the page with the reason.

    Args:
        run: A run folder; the run may still be training.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if this is no run folder, or it has no model yet.
    """
    run = Path(run)
    settings = read_settings(run)
    if settings is None:
        raise UsageError(f"{run}: is not a run folder (it has no config.json); give the --run of handful train")
    with shown_on(progress):
        html = render(compose(run, settings, device))
    with replacing(run / layout.REPORT) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return run / layout.REPORT


def compose(run: Path, settings: Settings, device: str) -> Page:
    """Gather all that the page shows."""
    config = settings.config
    lines = Journal(run / layout.LOG).read()
    history = read_history(lines)
    top = kept_best(run)
    model = load(run, device)
    which = f"step {top:,}, the best one" if top is not None else "the newest step"
    tone, sentences = verdict(history)
    missing: list[str] = []
    dataset = attempt(
        "the training images",
        missing,
        lambda: load_folder(config.images, config.geometry, most=most_compared(config.geometry.bytes_per_image)),
    )
    scores = None
    if dataset is not None:
        judge = partial(evaluate, run, config.images, fit=config.fit, weights=config.weights, device=device)
        scores = attempt("the scores and the memorisation sheet", missing, judge)
    shown = budget.current.grid_seeds
    return Page(
        title=printable(run.resolve().name),
        verdict=sentences,
        tone=tone,
        made=f"{datetime.datetime.now().astimezone():%d %B %Y, %H:%M}, handful {version('handful')}",
        facts=facts(settings, lines, model),
        warnings=[f"At step {history[-1].step:,}: {each}" for each in warnings(history).values()],
        data_sheet=contact_sheet(dataset) if dataset is not None else None,
        data_notes=data_notes(settings, dataset),
        samples=grid(list(model.sample(shown))),
        samples_caption=f"Seeds {shown[0]} to {shown[-1]}, none picked out, drawn by the generator of {which}.",
        classes=[kind(name, model, scores) for name in model.config.classes[:CLASSES]],
        walk=frames(model),
        pairs=pairs(model, dataset, scores) if dataset is not None and scores is not None else [],
        pairs_caption=pairs_caption(scores) if scores is not None else "",
        scores=rows(scores) if scores is not None else [],
        protocol=protocol(scores) if scores is not None else "",
        curves=curves(lines, history),
        best_step=top,
        moments=moments(run / layout.SAMPLES),
        options=[(option(name), str(each)) for name, each in config.to_json().items()],
        missing=missing,
    )


def kept_best(run: Path) -> int | None:
    """Read which step the model in ``best/`` is of."""
    path = run / layout.BEST / layout.SCORE
    if not path.exists():
        return None
    step: int = json.loads(path.read_text(encoding="utf-8"))["step"]
    return step


def attempt(what: str, missing: list[str], make: Callable[[], Part]) -> Part | None:
    """Make a part of the page, or note why it cannot be made."""
    try:
        return make()
    except (UsageError, WeightsError, OSError) as error:
        missing.append(f"{what}: {error}")
        return None


def facts(settings: Settings, lines: Sequence[dict[str, Any]], model: Model) -> list[tuple[str, str]]:
    """Say in a few words what was done, for how long, and on what."""
    config = settings.config
    newest: dict[str, Any] = lines[-1] if lines else {}
    parameters = sum(each.numel() for each in model.network.parameters())
    found = [
        ("images", f"{settings.images:,}"),
        ("size", f"{size_in_words(config)}, {CHANNEL_NAMES[config.generator.channels]}"),
        ("steps", f"{newest.get('step', 0):,} of {config.steps:,}"),
        ("pictures seen", f"{newest.get('step', 0) * config.whole_batch:,}"),
        ("time", duration(newest.get("seconds", 0.0))),
        ("speed", f"{newest.get('images_per_second', 0.0):.3g} images/s"),
        ("memory", f"{newest.get('peak_memory_mb', 0.0) / 1024:.2g} GiB"),
        ("trained on", settings.hardware or config.device),
        ("generator", f"{parameters / 1e6:.3g} M parameters"),
        ("preset", config.preset),
    ]
    spent = sum(line.get("score_seconds", 0.0) for line in lines)
    if spent and newest.get("seconds"):
        found.append(("time for scores", f"{spent / newest['seconds']:.1%}"))
    return found


def data_notes(settings: Settings, dataset: Dataset | None) -> list[str]:
    """Say what is to be known about the images."""
    config = settings.config
    notes = [
        f"{settings.images:,} images, brought to these proportions by {config.fit}"
        + (", mirrored too" if config.mirror else "")
    ]
    if dataset is None:
        return notes
    if dataset.left_out:
        notes.append(f"Of these, {len(dataset.images):,} are looked at on this page, evenly spread.")
    elif dataset.fingerprint != settings.fingerprint:
        notes.append("The folder has changed since the run: the images shown are those that it holds now.")
    if dataset.small:
        notes.append(f"{len(dataset.small)} were smaller than {size_in_words(config)} and had to be enlarged.")
    notes += [f"skipped: {problem}" for problem in dataset.skipped[:10]]
    return notes


def contact_sheet(dataset: Dataset) -> Image.Image:
    """Show the training images, evenly chosen if there are many."""
    count = len(dataset.images)
    shown = range(count) if count <= CONTACTS else [place * count // CONTACTS for place in range(CONTACTS)]
    sheet = grid([shrunk(dataset.images[place]) for place in shown], columns=12)
    return sheet


def shrunk(image: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "c _ _"]:
    """Make a large image small enough for the contact sheet."""
    longest = max(image.shape[1:])
    if longest <= CONTACT_SIDE:
        return image
    height, width = (round(side * CONTACT_SIDE / longest) for side in image.shape[1:])
    small = torch.nn.functional.adaptive_avg_pool2d(image.float(), (height, width))
    return small.round().to(torch.uint8)


def frames(model: Model) -> list[Image.Image]:
    """Walk through the latent space, from seed to seed and back to the first: a loop of four pictures side by side."""
    columns = []
    for place, seeds in enumerate(WALKS):
        column: list[Tensor] = []
        for start, end in zip(seeds, (*seeds[1:], seeds[0]), strict=True):
            column += list(walk(model, (start, end), budget.current.walk_steps, noise_of=seeds[0], class_of=place))[:-1]
        columns.append(column)
        advance("walking through the latent space", place + 1, len(WALKS))
    return [grid([picture[0] for picture in row], columns=len(WALKS)) for row in zip(*columns, strict=True)]


def kind(name: str, model: Model, scores: Evaluation | None) -> words.Kind:
    """Show a class: a row of pictures, and its scores in words."""
    sheet = grid(list(model.sample(OF_CLASS, class_name=name)), columns=len(OF_CLASS))
    score = scores.classes.get(name) if scores is not None else None
    text = (
        ""
        if score is None
        else ", ".join(f"{OF_CLASSES[key]} {class_value(score, key)}" for key in TOLD if key in score)
    )
    return words.Kind(printable(name), sheet, text)


def pairs(model: Model, dataset: Dataset, scores: Evaluation) -> list[Pair]:
    """Put the samples nearest to a training image beside it, nearest first."""
    found = []
    for each in scores.closest:
        if each["training"] not in dataset.names:
            continue  # of a large set, fewer may have fitted into memory at the second look
        seed = int(re.findall(r"\d+", each["sample"])[0])
        nearest = dataset.images[dataset.names.index(each["training"])]
        found.append(
            Pair(
                sample=to_image(model.sample([seed], class_name=each["class"])[0]),
                nearest=to_image(nearest.flip(-1) if each["mirrored"] else nearest),
                ratio=each["novelty"],
                label=printable(each["training"]),
                mirrored=each["mirrored"],
                copy=each["copy"],
            )
        )
    return found


def pairs_caption(scores: Evaluation) -> str:
    """Say how many pictures are copies, and how many training images would pass for copies of each other."""
    return (
        f"{scores.copies:.1%} of {scores.samples:,} pictures are copies. Among the training images themselves, "
        f"{scores.copies_among_training:.1%} are that near to another one."
    )


def rows(scores: Evaluation) -> list[words.Score]:
    """Write the scores in words."""
    return [words.Score(name, value(scores, key), meaning, scores.why.get(key)) for key, name, meaning in ROWS]


def curves(lines: Sequence[dict[str, Any]], history: Sequence[Score]) -> list[Curve]:
    """Draw what the log holds."""

    def logged(*names: str) -> list[Series]:
        return [Series(name.replace("_", " "), [(line["step"], line[name]) for line in lines]) for name in names]

    def scored(label: str, name: str, errors: list[float] | None = None) -> Series:
        points = [(score.step, getattr(score, name)) for score in history if getattr(score, name) is not None]
        return Series(label, [(float(step), float(value)) for step, value in points], errors)

    drawn = []
    if history:
        among = history[-1].copies_among_training
        drawn += [
            Curve(
                "KID",
                "",
                "Distance to the training images; lower is better. The band is one standard error.",
                [scored("KID", "kid", [score.kid_error for score in history])],
            ),
            Curve(
                "Copies",
                "share",
                "Pictures that are copies of a training image.",
                [scored("copies", "copies")],
                ("among training images", among),
            ),
            Curve(
                "Novelty",
                "",
                "How far pictures are from the nearest training image: 0 a copy, 1 as far as another.",
                [scored("novelty", "novelty")],
            ),
            Curve(
                "Spread",
                "",
                "How much pictures differ from each other; 1 as much as the training images.",
                [scored("spread", "spread")],
                ("training images", 1.0),
            ),
        ]
        if history[-1].accuracy_unseen is not None:
            text = (
                "How often the discriminator takes real images for real: where the lines part, it knows them by heart."
            )
            parts = [scored("images it trains on", "accuracy_seen"), scored("held-back images", "accuracy_unseen")]
            drawn.append(Curve("Discriminator", "share right", text, parts))
    if lines:
        drawn += [
            Curve(
                "Losses",
                "",
                "They say little about quality, but should not run away.",
                logged("discriminator", "generator", "reconstruction"),
            ),
            Curve(
                "Discriminator in training",
                "share right",
                "Near 1 both: it tells real from generated everywhere.",
                logged("accuracy_real", "accuracy_fake"),
            ),
        ]
        for title, text, names in PARTS:
            present = [name for name in names if name in lines[0]]
            if present:
                drawn.append(Curve(title, "", text, logged(*present)))
    return drawn


def moments(folder: Path) -> list[Moment]:
    """Take sample grids of a dozen steps, evenly spread, the first and the last among them."""
    files = [*layout.by_step(folder, ".png").items()]
    if len(files) > MOMENTS:
        files = [files[round(place * (len(files) - 1) / (MOMENTS - 1))] for place in range(MOMENTS)]
    found = []
    for step, file in files:
        with Image.open(file) as picture:
            found.append(Moment(step, picture.convert("RGB")))
    return found
