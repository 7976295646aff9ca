"""Find directions and show them as strips of moved pictures: the command ``directions``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from handful.config.choices import DirectionSource
from handful.errors import UsageError
from handful.explore.directions import from_examples, from_maps, from_weights
from handful.files import require_folder
from handful.images.grid import to_image, write_png
from handful.images.sheet import Cell, check_sheet_size, seed_or_name, sheet
from handful.progress import Progress, advance, shown_on
from handful.sampling.directions import Directions, move, parse_number
from handful.sampling.latents import Latents
from handful.sampling.load import load
from handful.sampling.model import Model

LARGEST_SHOWN = 256
"""Pixels along a side of a picture on a sheet, at most."""


def write_directions(
    source: Path | str,
    out: Path | str = "directions",
    by: DirectionSource = "maps",
    count: int = 8,
    *,
    more: str | None = None,
    less: str | None = None,
    scores: Path | str | None = None,
    name: str | None = None,
    seeds: str = "0-3",
    strength: float = 3.0,
    steps: int = 7,
    class_name: str | None = None,
    truncation: float = 1.0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Directions:
    """Find directions, and write a file of them, a sheet of pictures moved along each, and one of all.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        out: Folder for ``NAME.safetensors``, which other commands move pictures along, and for sheets of moved
            pictures.
        by: maps: directions that change low-resolution maps most. weights: those that the first layer stretches
            most; computed without drawing pictures.
        count: Number of directions.
        more: Examples that have much of an attribute, as seeds and latent files such as
            ``3,17,face.safetensors``. They replace ``by``.
        less: Examples that have little of it. A dozen of each is a good start.
        scores: Or a text file: each line has a seed or latent file, a space, and a number that says how much of
            it there is.
        name: Name of the files. Default: maps, weights or examples.
        seeds: Pictures to move on the sheets: seeds, ranges and latent files.
        strength: Distance at both ends, in standard deviations of latents.
        steps: Pictures from one end to the other.
        class_name: Class to draw, for a model trained with labels. Default: all classes in turn, seed by seed.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if an option makes no sense, something cannot be read, or ``out`` cannot be written to.
    """
    out = Path(out)
    check_strip(steps, strength)
    by_example = more is not None or less is not None or scores is not None
    name = name or ("examples" if by_example else by)
    if name != Path(name).name or {*name} & {",", ":"}:
        raise UsageError(f"--name {name}: must be usable as a file name, without slash, comma and colon")
    require_folder(out)
    model = load(source, device)
    shown = model.latents(seeds, class_name)
    height, width = model.config.shape
    check_sheet_size(len(shown), steps, (width, height), LARGEST_SHOWN)
    if by_example:
        directions = from_examples(model, *examples(model, more, less, scores), name)
    else:
        directions = {"maps": from_maps, "weights": from_weights}[by](model, count)
    directions.save(out / f"{name}.safetensors", model)
    strengths = [strength * (2 * step / (steps - 1) - 1) for step in range(steps)]
    with shown_on(progress):
        write_strips(out / name, model, shown, directions, strengths, truncation, single=by_example)
    return directions


def check_strip(steps: int, strength: float) -> None:
    """Check the options of a strip.

    Raises:
        UsageError: if it would have one picture, or no length.
    """
    if steps < 2:
        raise UsageError(f"--steps {steps}: a strip has at least 2 pictures")
    if not 0 < strength < math.inf:
        raise UsageError(f"--strength {strength:g}: must be above 0; strips go that far in both directions")


def write_strips(
    stem: Path,
    model: Model,
    latents: Latents,
    directions: Directions,
    strengths: Sequence[float],
    truncation: float,
    *,
    single: bool,
) -> None:
    """Write a sheet for each direction, ``STEM-NAME.png``, and one of all; for a single direction only ``STEM.png``."""
    height, width = model.config.shape
    overview, total = [], len(directions) * len(latents)
    for index, name in enumerate(directions.names):
        rows = []
        for row in range(len(latents)):
            rows.append(strip(model, latents.pick([row]), directions.pick(index), strengths, truncation))
            advance("drawing strips", index * len(latents) + row + 1, total)
        file = stem.name if single else f"{stem.name}-{name}"
        write_png(stem.with_name(f"{file}.png"), sheet(rows, (width, height), LARGEST_SHOWN))
        overview.append(with_title(rows[0], f"direction {name}"))
    if not single:
        write_png(stem.with_name(f"{stem.name}.png"), sheet(overview, (width, height), LARGEST_SHOWN))


def strip(
    model: Model, latent: Latents, direction: Directions, strengths: Sequence[float], truncation: float
) -> list[Cell]:
    """Draw a latent moved along a direction, from the first strength to the last."""
    cells = []
    for strength in strengths:
        picture = model.sample(move(latent, direction.vectors[0], strength), truncation=truncation)[0]
        cells.append(Cell(to_image(picture), (f"{strength:+.3g}" if strength else "0",)))
    return with_title(cells, seed_or_name(latent.names[0]))


def with_title(cells: Sequence[Cell], title: str) -> list[Cell]:
    """Add a title below the first picture of a row."""
    return [Cell(cells[0].picture, (cells[0].caption[0], title)), *cells[1:]]


def examples(
    model: Model, more: str | None, less: str | None, scores: Path | str | None
) -> tuple[Latents, list[float]]:
    """Load examples and their scores: 1 and -1, or those of a file.

    Raises:
        UsageError: if only one of ``more`` and ``less`` is given, ``scores`` comes with them, or a file is unreadable.
    """
    if scores is not None:
        if more is not None or less is not None:
            raise UsageError("--scores: replaces --more and --less; give one or the other")
        return read_scores(Path(scores), model)
    if more is None or less is None:
        raise UsageError(f"--{'less' if less is None else 'more'}: is missing; a direction has two ends")
    ends = model.latents(more, option="--more"), model.latents(less, option="--less")
    return Latents.join(ends), [1.0] * len(ends[0]) + [-1.0] * len(ends[1])


def read_scores(path: Path, model: Model) -> tuple[Latents, list[float]]:
    """Read lines of seeds or a latent file, a space and their score. ``#`` begins a comment.

    Raises:
        UsageError: if a line cannot be read. The message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--scores {path}: cannot be read ({error}); give a text file") from error
    parts, scores = [], list[float]()
    for row, line in enumerate(lines, 1):
        text, position = line.partition("#")[0].strip(), f"--scores {path}, line {row}:"
        if not text:
            continue
        which, _, score = text.replace("\t", " ").rpartition(" ")
        value = parse_number(score)
        if not which or value is None:
            raise UsageError(f"{position} {text!r} is not a seed, a space and a score, as in 17 0.5")
        latents = model.latents(which.strip(), option=position)
        parts.append(latents)
        scores += [value] * len(latents)
    if not parts:
        raise UsageError(f"--scores {path}: has no scores; write a seed, a space and its score on each line")
    return Latents.join(parts), scores
