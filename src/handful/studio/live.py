"""What the page of a run shows: how far, how good, what went wrong, what it draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful.data.dataset import decode_files
from handful.data.photos import SkippedFile
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.files import printable
from handful.images.grid import over_checkerboard, to_image
from handful.records import layout
from handful.records.outlook import outlook, warnings
from handful.records.run_folder import RunFolder
from handful.reporting.charts import chart
from handful.reporting.curves import curves
from handful.reporting.facts import options
from handful.studio.library import Library
from handful.studio.places import Places, inside
from handful.studio.processes import read_output
from handful.studio.samples import png

PAIRS = 24
"""Pairs of a generated picture and its nearest training image."""


def describe(library: Library, run: RunFolder) -> dict[str, Any]:
    """Return everything on the page but its pictures."""
    log, history, config = run.log, run.scores, run.config
    newest: dict[str, Any] = log[-1] if log else {}
    drawn = curves(log, history, config.score_features)
    last = max([0, *(step for curve in drawn for series in curve.series for step, _ in series.points)])
    best = run.best
    return library.card(run) | {
        "folder": printable(run.folder),
        "pictures": printable(config.images),
        "seconds": newest.get("seconds", 0.0),
        "rate": newest.get("images_per_second"),
        "memory": newest.get("peak_memory_mb"),
        "samples": [step for step, path in run.samples.items() if inside(run.folder, path)],
        "warnings": list(warnings(history).values()),
        "outlook": outlook(history) if history else [],
        "charts": [
            {
                "title": curve.title,
                "unit": curve.unit,
                "explanation": curve.explanation,
                "folded": curve.folded,
                "svg": str(chart(curve, best.step if best is not None else None, last)),
            }
            for curve in drawn
        ],
        "report": run.report is not None and inside(run.folder, run.report),
        "options": options(config),
        "output": read_output(run.folder),
    }


def pairs(run: RunFolder) -> list[dict[str, Any]]:
    """Return the pairs of the report: seeds with the names of their nearest training images, nearest first.

    There are none if the report is of another model than the one that draws.
    """
    evaluation = run.evaluation or {}
    found = evaluation.get("closest", []) if evaluation.get("step") == run.best_step else []
    pairs = []
    for match in found if isinstance(found, list) else []:
        digits = "".join(filter(str.isdigit, str(match.get("sample", ""))))
        if digits and isinstance(match.get("novelty"), int | float):
            pair = {"seed": int(digits), "training": match.get("training"), "ratio": match["novelty"]}
            pairs.append(pair | {name: match.get(name) for name in ("class", "mirrored", "copy", "sharing")})
    return sorted(pairs, key=lambda pair: float(pair["ratio"]))[:PAIRS]


def training_image(places: Places, run: RunFolder, name: str, mirrored: bool = False) -> bytes:
    """Return a training image as the run saw it, as PNG.

    Raises:
        UsageError: It is gone, or lies outside of the allowed folders.
    """
    source = places.training_images(run)
    if source.is_dir():
        places.path(str(source / name))
    photos = open_photos(source)
    if Path(name) not in photos.files:
        raise UsageError(f"{printable(name)}: is no longer among the training images")
    images, results = decode_files(photos, [Path(name)], run.config.geometry)
    if isinstance(results[0], SkippedFile):
        raise UsageError(f"{results[0]}")
    return png(over_checkerboard(to_image(images[0].flip(-1) if mirrored else images[0])))


def report(run: RunFolder) -> bytes:
    """Return the page of the report.

    Raises:
        UsageError: There is none yet.
    """
    path = run.folder / layout.REPORT
    if not inside(run.folder, path):
        raise UsageError(f"{printable(run.folder)}: has no {layout.REPORT} yet")
    return path.read_bytes()
