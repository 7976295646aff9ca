"""Line charts as SVG. The page's style sheet gives them their colours."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from handful.records.rounding import rounded
from handful.reporting.axes import BOTTOM, HEIGHT, RIGHT, WIDTH, Axes, Number, log_ticks, short, ticks, whole

ROW = 17
"""Height of a row of the legend."""

LETTER = 6.2
"""Approximate width of a letter. Fonts differ, so layout leaves some room."""

FEWEST_FOR_LINE = 3
"""Points from which a series is drawn as a line. Fewer are dots: a line between two claims a course that is unknown."""

MOST_DOTS = 12
"""Points up to which each gets a dot. Of a longer line the end does, and what stands alone between gaps."""

COLOURS = 4
"""Series before colours repeat."""


@final
@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    points: Sequence[tuple[Number, Number | None]]
    """Step and value, in order of step. None, or a value that is not finite, is a gap."""
    errors: Sequence[Number | None] | None = None
    """Half the height of the band around each point."""


@final
@dataclass(frozen=True)
class Curve:
    """The contents of a chart over the steps of training."""

    title: str
    unit: str
    explanation: str
    series: Sequence[Series]
    reference: tuple[str, Number] | None = None
    """Name and value of a level to compare with."""
    log: bool = False
    """Use a logarithmic axis. Values that are not positive are then gaps."""
    folded: bool = False
    """Whether the chart is shown only on demand."""


@final
@dataclass(frozen=True)
class Point:
    """A finite value, with its standard error if it has one."""

    step: float
    value: float
    error: float | None

    @property
    def band(self) -> tuple[float, float] | None:
        """The ends of the error bar or band."""
        return None if self.error is None else (self.value - self.error, self.value + self.error)

    @property
    def text(self) -> str:
        """The value with the digits that its error allows, or three."""
        return rounded(self.value, self.error).replace("-", "\N{MINUS SIGN}") if self.error else short(self.value)


Line = list[Point | None]
"""The points of a series; None is a gap."""


def chart(curve: Curve, best_step: Number | None = None, until: Number | None = None) -> Markup:
    """Return a chart as an SVG element, with a description for screen readers.

    Args:
        curve: What to draw.
        best_step: The step to mark as the best, if the chart reaches that far.
        until: Last step of the axis, so charts side by side can share it. Default: the last step with a value.
    """
    lines = [usable(series, curve.log) for series in curve.series]
    steps = [point.step for line in lines for point in line if point]
    span = min([0.0, *steps]), float(max([*steps, until or 0])) or 1.0
    names = _legend_rows([series.name for series in curve.series])
    marked = best_step is not None and span[0] <= best_step <= span[1]
    marks = _marks(lines, curve)
    left = 8 + LETTER * max(len(short(mark)) for mark in marks)
    axes = Axes(span, marks, curve.log, left, 8 + ROW * len(names) + 12 * marked)
    parts = [*_grid(axes), *_legend(names, lines)]
    for index, line in enumerate(lines):
        parts += _bands(axes, line, _colour(index))
    if marked and best_step is not None:
        parts += _best(axes, best_step)
    if curve.reference:
        parts += _reference(axes, lines, *curve.reference)
    for index, line in enumerate(lines):
        parts += _line(axes, line, _colour(index))
    if not steps:
        parts.append(_text("tick", (left + RIGHT) / 2, (axes.top + BOTTOM) / 2, "nothing measured", "middle"))
    cursor = Markup('<line class="cursor" y1="{}" y2="{}" visibility="hidden"/>').format(_round(axes.top), BOTTOM)
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, HEIGHT, summary(curve, lines), Markup("").join(parts), cursor
    )


def usable(series: Series, log: bool) -> Line:
    """Return the points of a series, with gaps for values that cannot be drawn."""
    line: Line = []
    errors = series.errors if series.errors is not None else [None] * len(series.points)
    for (step, value), error in zip(series.points, errors, strict=True):
        if value is None or not math.isfinite(value) or (log and value <= 0):
            line.append(None)
        else:
            known = error is not None and math.isfinite(error)
            line.append(Point(float(step), float(value), float(error) if known and error is not None else None))
    return line


def summary(curve: Curve, lines: Sequence[Line]) -> str:
    """Describe a chart in words."""
    told = [f"Line chart: {curve.title}, {curve.unit}." if curve.unit else f"Line chart: {curve.title}."]
    for series, line in zip(curve.series, lines, strict=True):
        points = [point for point in line if point]
        if not points:
            told.append(f"{series.name}: nothing measured.")
            continue
        first, last = points[0], points[-1]
        lowest, highest = (choose(points, key=lambda point: point.value) for choose in (min, max))
        told.append(
            f"{series.name}: {first.text} at step {whole(first.step)}, {last.text} at step {whole(last.step)}, "
            f"lowest {lowest.text}, highest {highest.text}."
        )
    if curve.reference:
        told.append(f"{curve.reference[0]}: {short(curve.reference[1])}.")
    return " ".join(told)


def _marks(lines: Sequence[Line], curve: Curve) -> list[float]:
    points = [point for line in lines for point in line if point]
    seen = [point.value for point in points] + [end for point in points if point.band for end in point.band]
    if curve.reference:
        seen.append(float(curve.reference[1]))
    if curve.log:
        positive = [value for value in seen if value > 0] or [1.0]
        return log_ticks(min(positive), max(positive))
    return ticks(min(seen), max(seen)) if seen else [0.0, 1.0]


def _runs(line: Line) -> Iterator[list[Point]]:
    """Split a line at its gaps."""
    run: list[Point] = []
    for point in [*line, None]:
        if point:
            run.append(point)
        elif run:
            yield run
            run = []


def _grid(axes: Axes) -> Iterator[Markup]:
    for mark in axes.marks:
        y = axes.y(mark)
        kind = "base" if mark == axes.marks[0] else "grid"
        yield Markup('<path class="{}" d="M{} {}H{}"/>').format(kind, _round(axes.left), _round(y), RIGHT)
        yield _text("tick", axes.left - 7, y + 3.5, short(mark), "end")
    for step in ticks(*axes.steps, count=7):
        if axes.steps[0] <= step <= axes.steps[1]:
            yield _text("tick", axes.x(step), BOTTOM + 17, short(step), "middle")


def _legend_rows(names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Break the names of the series into rows, each with its index."""
    rows: list[list[tuple[int, str]]] = []
    room = 0.0
    for index, name in enumerate(names):
        name = name if len(name) <= 36 else f"{name[:35]}\N{HORIZONTAL ELLIPSIS}"
        needed = LETTER * (len(name) + 10)
        if needed > room:
            rows.append([])
            # The first row ends with the step.
            room = WIDTH - (LETTER * 12 if len(rows) == 1 else 0)
        rows[-1].append((index, name))
        room -= needed
    return rows


def _legend(rows: Sequence[Sequence[tuple[int, str]]], lines: Sequence[Line]) -> Iterator[Markup]:
    """Name each line and its last value, which the page's script replaces under the pointer."""
    for row, names in enumerate(rows):
        entries = Markup("")
        for place, (index, name) in enumerate(names):
            last = next((point.text for point in reversed(lines[index]) if point), "\N{EN DASH}")
            entries += Markup(
                '<tspan class="key {}" dx="{}">\N{BLACK CIRCLE}</tspan><tspan dx="5">{}</tspan>'
                '<tspan class="value" dx="5">{}</tspan>'
            ).format(_colour(index), 14 if place else 0, name, last)
        yield Markup('<text class="legend" x="0" y="{}">{}</text>').format(11 + ROW * row, entries)
    ends = [point.step for line in lines for point in line if point]
    if ends:
        yield _text("at", WIDTH, 11, f"step {whole(max(ends))}", "end")


def _bands(axes: Axes, line: Line, colour: str) -> Iterator[Markup]:
    if sum(point is not None for point in line) < FEWEST_FOR_LINE:
        yield from _error_bars(axes, line, colour)
        return
    banded: Line = [point if point and point.band else None for point in line]
    for run in _runs(banded):
        bands = [(axes.x(point.step), *point.band) for point in run if point.band]
        upper = [(x, axes.y(high)) for x, _, high in bands]
        lower = [(x, axes.y(low)) for x, low, _ in reversed(bands)]
        yield Markup('<path class="band {}" d="{}Z"/>').format(colour, _path(upper + lower))


def _error_bars(axes: Axes, line: Line, colour: str) -> Iterator[Markup]:
    for point in line:
        if point and point.band:
            low, high = (_round(axes.y(end)) for end in point.band)
            yield Markup('<path class="error {}" d="M{} {}V{}"/>').format(colour, _round(axes.x(point.step)), low, high)


def _line(axes: Axes, line: Line, colour: str) -> Iterator[Markup]:
    points = [point for point in line if point]
    read = [[whole(point.step), _round(axes.x(point.step)), point.text] for point in points]
    paths = Markup("")
    for run in _runs(line):
        places = [(axes.x(point.step), axes.y(point.value)) for point in run]
        if len(points) >= FEWEST_FOR_LINE:
            paths += Markup('<path d="{}"/>').format(_path(places))
        for point, (x, y) in zip(run, places, strict=True):
            if len(points) <= MOST_DOTS or len(run) == 1 or point is points[-1]:
                paths += Markup('<circle cx="{}" cy="{}" r="2.75"/>').format(_round(x), _round(y))
    values = json.dumps(read, ensure_ascii=False, separators=(",", ":"))
    yield Markup('<g class="line {}" data-values="{}">{}</g>').format(colour, values, paths)


def _reference(axes: Axes, lines: Sequence[Line], name: str, value: Number) -> Iterator[Markup]:
    if axes.log and value <= 0:
        return
    y = axes.y(value)
    yield Markup('<path class="reference" d="M{} {}H{}"/>').format(_round(axes.left), _round(y), RIGHT)
    # The name is placed at the end where the lines are farther away.
    drawn = [[point for point in line if point] for line in lines]
    first = min((abs(axes.y(points[0].value) - y) for points in drawn if points), default=0.0)
    last = min((abs(axes.y(points[-1].value) - y) for points in drawn if points), default=0.0)
    x, anchor = (axes.left + 4, "start") if first > last else (RIGHT, "end")
    below = y - axes.top < 14
    yield _text("note", x, y + 13 if below else y - 5, name, anchor)


def _best(axes: Axes, step: Number) -> Iterator[Markup]:
    x = axes.x(step)
    yield Markup('<path class="best" d="M{} {}V{}"/>').format(_round(x), _round(axes.top - 4), BOTTOM)
    # Clamped to the drawing at both ends.
    yield _text("note", min(max(x, axes.left + 28), RIGHT - 28), axes.top - 8, f"best {whole(step)}", "middle")


def _text(kind: str, x: Number, y: Number, text: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, _round(x), _round(y), anchor, text
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_round(x)} {_round(y)}" for x, y in places)


def _round(place: Number) -> Number:
    """Round to a tenth of a unit, which is finer than a screen shows."""
    return int(place) if place == int(place) else round(place, 1)


def _colour(index: int) -> str:
    return f"s{index % COLOURS + 1}"
