"""Write the report of a run from its folder: the log, the sample grids, the models, and the training images."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from handful.compute.memory import max_compared_images
from handful.config import budget
from handful.config.train import TrainConfig
from handful.data.dataset import Dataset, load_folder
from handful.errors import UsageError, WeightsError
from handful.files import replacing, write_json
from handful.metrics.evaluation import evaluate
from handful.progress import Progress, advance, shown_on
from handful.records import layout
from handful.records.outlook import outlook, warnings
from handful.records.run_folder import RunFolder
from handful.records.settings import Settings, read_settings
from handful.reporting import pictures
from handful.reporting.curves import curves
from handful.reporting.facts import (
    Redactor,
    curves_caption,
    data_notes,
    facts,
    heading,
    options,
    pairs_caption,
    score_rows,
)
from handful.reporting.page import Explorer, Page, render
from handful.sampling.load import load

Part = TypeVar("Part")


def write_report(
    run: Path, device: str = "auto", progress: Progress | None = None, explorer: Explorer | None = None
) -> Path:
    """Write ``report.html`` and ``evaluation.json`` into a run folder, and return the path of the page.

    Args:
        run: A run folder; the run may still be training.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.
        explorer: What draws new pictures on the page.

    Raises:
        UsageError: if this is no run folder, or it has no model yet.
    """
    settings = read_settings(run)
    if settings is None:
        raise UsageError(f"{run}: is not a run folder (no {layout.CONFIG} in it); give the --run of handful train")
    with shown_on(progress):
        page = dataclasses.replace(compose(run, settings, device), explorer=explorer)
        advance("writing the page", 0, 1)
        html = render(page)
        with replacing(run / layout.REPORT) as temporary:
            temporary.write_text(html, encoding="utf-8")
        advance("writing the page", 1, 1)
    return run / layout.REPORT


def compose(run: Path, settings: Settings, device: str) -> Page:
    """Gather everything that the page shows."""
    config, folder = settings.config, RunFolder(run)
    log, history, step = folder.log, folder.scores, folder.best_step
    best = folder.best.step if folder.best is not None else None
    model = load(run, device)
    short = Redactor((config.images, config.folder, run, config.weights, config.from_))
    missing: list[str] = []
    dataset = attempt("training images", missing, partial(training_images, config))
    evaluation = None
    if dataset is not None:
        score = partial(evaluate, run, config.images, fit=config.fit, weights=config.weights, device=device)
        evaluation = attempt("scores and nearest training images", missing, score)
    if evaluation is not None:
        write_json(run / layout.EVALUATION, {"step": step} | evaluation.to_json())
    generator = f"step {step:,}, {'the best one' if best is not None else 'the newest one'}"
    seeds = budget.current.grid_seeds
    return Page(
        title=heading(settings),
        verdict=folder.verdict,
        outlook=outlook(history),
        made=f"{datetime.datetime.now().astimezone():%d %B %Y, %H:%M}, handful {version('handful')}",
        facts=facts(settings, log, model),
        warnings=[f"At step {history[-1].step:,}: {text}" for text in warnings(history).values()],
        data_sheet=pictures.contact_sheet(dataset) if dataset is not None else None,
        data_notes=data_notes(settings, dataset),
        samples=pictures.samples(model),
        samples_caption=f"Seeds {seeds[0]} to {seeds[-1]}, not cherry-picked, drawn by the generator of {generator}.",
        classes=pictures.classes(model, evaluation),
        walk=pictures.frames(model),
        pairs=pictures.pairs(model, dataset, evaluation) if dataset is not None and evaluation is not None else [],
        pairs_caption=pairs_caption(evaluation) if evaluation is not None else "",
        scores=score_rows(evaluation, short) if evaluation is not None else [],
        protocol=short(str(evaluation.setup)) if evaluation is not None else "",
        curves=curves(log, history, config.score_features),
        curves_caption=curves_caption(history, evaluation),
        best_step=best,
        moments=pictures.moments(run),
        options=[(name, short(value)) for name, value in options(config)],
        missing=[short(reason) for reason in missing],
    )


def training_images(config: TrainConfig) -> Dataset:
    """Load as many training images as scores compare with."""
    most = max_compared_images(config.geometry.bytes_per_image)
    return load_folder(config.images, config.geometry, "reading the training images", most)


def attempt(part: str, missing: list[str], make: Callable[[], Part]) -> Part | None:
    """Make a part of the page, or note why it cannot be made."""
    try:
        return make()
    except (UsageError, WeightsError, OSError) as error:
        missing.append(f"{part}: {error}")
        return None
