"""What shows progress: a bar on a terminal, a bar in a notebook, or lines in a log file. See ``progress``."""

from __future__ import annotations

import sys
import threading
from base64 import b64encode
from contextlib import suppress
from html import escape
from importlib import import_module
from time import monotonic
from typing import Any, TextIO, cast, final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from handful.errors import escaped

TRAINING = "training"
"""The task whose bar carries the rate and the losses of a log entry."""

LOSSES = ("discriminator", "generator", "reconstruction")

SECONDS_PER_LINE = 30.0
"""Between two lines about the same task, where output is not a terminal."""

SECONDS_PER_REDRAW = 0.2
"""Between two redraws of a notebook's bar."""


@final
class LastingStream:
    """A stream that may go away: what can no longer be written is dropped, since progress must not end the work."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - or None, in a program without a terminal
        self.stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        if self.stream is not None:
            with suppress(OSError, ValueError):  # ValueError: the stream is closed
                self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if it is still there."""
        if self.stream is not None:
            with suppress(OSError, ValueError):
                self.stream.flush()

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return self.stream is not None and not self.stream.closed and self.stream.isatty()


class OfTotal(ProgressColumn):
    """A column that is left empty for tasks without a total."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self.column = column

    def render(self, task: Task) -> Any:  # noqa: ANN401
        """Render the column."""
        return Text() if task.total is None else self.column(task)


@final
class Bars:
    """Progress on a terminal: one live bar with time left, rate and losses. Notes are printed above it."""

    def __init__(self, terminal: Console) -> None:
        self.terminal = terminal
        self.bars: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.done: dict[str, int] = {}
        self.lock = threading.RLock()

    def note(self, text: str) -> None:
        """Print a line."""
        print_line(self.terminal, text)

    def advance(self, task: str, done: int, total: int) -> None:
        """Move the bar of a task, and hide the others."""
        with self.lock:
            bars, bar = self.shown(task, total)
            if done < self.done.get(task, 0):  # the same work for the second time
                bars.reset(bar)
            self.done[task] = done
            bars.update(bar, completed=done, total=total)

    def working(self, task: str, seconds: float | None) -> None:
        """Show a moving bar and the time, or remove them."""
        with self.lock:
            bars, bar = self.shown(task, None)
            bars.update(bar, state="" if seconds is None else duration(seconds), visible=seconds is not None)

    def report(self, entry: dict[str, Any]) -> None:
        """Show rate and losses behind the bar of training, and scores in a line of their own."""
        if "kid" in entry:
            self.note(score_line(entry))
        with self.lock:
            if self.bars is not None and TRAINING in self.tasks:
                self.bars.update(self.tasks[TRAINING], state=short_line(entry))

    def shown(self, task: str, total: int | None) -> tuple[Progress, TaskID]:
        """Return the live display and the task's bar in it, which becomes the only visible one."""
        if self.bars is None:
            counts = OfTotal(MofNCompleteColumn()), OfTotal(TimeRemainingColumn(compact=True))
            columns = (TextColumn("{task.description}"), BarColumn(12), *counts, TextColumn("{task.fields[state]}"))
            self.bars = Progress(*columns, console=self.terminal)
            self.bars.start()
        if task not in self.tasks:
            self.tasks[task] = self.bars.add_task(task, total=total, state="")
        for name, bar in self.tasks.items():
            self.bars.update(bar, visible=name == task)
        return self.bars, self.tasks[task]

    def close(self) -> None:
        """Stop the live display and leave its last state."""
        with self.lock:
            if self.bars is not None:
                self.bars.stop()
            self.bars, self.tasks, self.done = None, {}, {}


@final
class Lines:
    """Progress in a log file or a pipe: a line every 30 seconds."""

    def __init__(self, terminal: Console) -> None:
        self.terminal = terminal
        self.began: dict[str, tuple[float, int]] = {}
        """When each task was first heard of, and how much of it was done."""
        self.printed: dict[str, float] = {}
        """When the last line about each task was printed."""
        self.waiting: dict[str, Any] | None = None
        """The newest log entry, while it has not been printed."""

    def note(self, text: str) -> None:
        """Print a line."""
        print_line(self.terminal, text)

    def advance(self, task: str, done: int, total: int) -> None:
        """Print a line if the last one about this task is old enough; short tasks print none."""
        now = monotonic()
        began, first = self.began.setdefault(task, (now, done))
        if done < first or done >= total:
            del self.began[task]  # the next call begins it again
        elif now - max(began, self.printed.get(task, began)) >= SECONDS_PER_LINE:
            if task == TRAINING and self.waiting is not None:
                self.print_entry(self.waiting)
                return
            left = f", {duration((now - began) / (done - first) * (total - done))} left" if done > first else ""
            self.note(f"{task}: {done:,} of {total:,}{left}")
            self.printed[task] = now

    def working(self, task: str, seconds: float | None) -> None:
        """Print the time that a task has taken so far."""
        if seconds is None:
            self.printed.pop(task, None)
        elif seconds - self.printed.get(task, 0.0) >= SECONDS_PER_LINE:
            self.note(f"{task}: {duration(seconds)}")
            self.printed[task] = seconds

    def report(self, entry: dict[str, Any]) -> None:
        """Print the first entry, the last one, one every 30 seconds in between, and each score."""
        if "kid" in entry:
            self.note(score_line(entry))
        last = self.printed.get(TRAINING)
        if last is None or entry["step"] >= entry["steps"] or monotonic() - last >= SECONDS_PER_LINE:
            self.print_entry(entry)
        else:
            self.waiting = entry

    def print_entry(self, entry: dict[str, Any]) -> None:
        """Print step, time left, rate and losses."""
        self.waiting, self.printed[TRAINING] = None, monotonic()
        self.note(long_line(entry))

    def close(self) -> None:
        """Print the last entry, if it has not been."""
        if self.waiting is not None:
            self.print_entry(self.waiting)
        self.began, self.printed = {}, {}


@final
class Notebook:
    """Progress in a notebook: one bar, redrawn in place. Notes are printed below it."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.html, self.losses = "", ""
        self.drawn = 0.0

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def advance(self, task: str, done: int, total: int) -> None:
        """Move the bar."""
        words = f"{task} {done:,} of {total:,} {self.losses if task == TRAINING else ''}"
        self.draw(f'<progress value="{done}" max="{total}"></progress> {escape(words)}', done == total)

    def working(self, task: str, seconds: float | None) -> None:
        """Show a moving bar and the time."""
        self.draw(f"<progress></progress> {escape(task)} {duration(seconds or 0.0)}" if seconds else "", True)

    def report(self, entry: dict[str, Any]) -> None:
        """Show rate and losses behind the bar, and scores in a line of their own."""
        if "kid" in entry:
            self.note(score_line(entry))
        self.losses = short_line(entry)

    def draw(self, html: str, at_once: bool) -> None:
        """Show HTML in the place of what was shown before, unless that was a moment ago."""
        self.html = html
        if self.handle is None:
            self.handle = import_module("IPython.display").display(self, display_id=True)
        elif at_once or monotonic() - self.drawn >= SECONDS_PER_REDRAW:
            self.handle.update(self)
        else:
            return
        self.drawn = monotonic()

    def _repr_html_(self) -> str:
        return self.html

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.handle is not None:
            self.handle.update(self)
        self.handle, self.losses = None, ""


def display(terminal: Console | None = None) -> Bars | Lines | Notebook:
    """Choose how to show progress here: in a notebook, on a terminal, or in lines.

    Writes to the error stream by default, so that standard output holds a command's answer alone.
    """
    terminal = terminal or Console(file=cast(TextIO, LastingStream(sys.stderr)))
    if terminal.is_jupyter:
        return Notebook()
    return Bars(terminal) if terminal.is_terminal else Lines(terminal)


def print_line(terminal: Console, text: str) -> None:
    """Print text without markup or broken lines. Characters that the terminal lacks, or would obey, are escaped."""
    shown = escaped(text, kept="\n").encode(terminal.encoding, "backslashreplace").decode(terminal.encoding)
    terminal.print(shown, markup=False, highlight=False, soft_wrap=True)


def score_line(entry: dict[str, Any]) -> str:
    """Describe the score of a log entry."""
    return (
        f"score at step {entry['step']:,}: KID {entry['kid']:.3f} ± {entry['kid_error']:.3f}, "
        f"{entry['copies']:.0%} copies, novelty {entry['novelty']:.2f}, spread {entry['spread']:.2f}"
    )


def short_line(entry: dict[str, Any]) -> str:
    """Describe rate and losses; D, G and R stand for the losses, so that a bar fits into 80 columns."""
    losses = " ".join(f"{name[0].upper()} {entry[name]:.2f}" for name in LOSSES)
    return f"{entry['images_per_second']:.1f} images/s {losses}"


def long_line(entry: dict[str, Any]) -> str:
    """Describe step, time left, rate and losses."""
    losses = "  ".join(f"{name} {entry[name]:.3f}" for name in LOSSES)
    step = f"step {entry['step']:,.0f} of {entry['steps']:,.0f}  {duration(entry['seconds_left'])} left"
    return f"{step}  {entry['images_per_second']:.1f} images/s  {losses}"


def duration(seconds: float) -> str:
    """Write a length of time in its two largest units: ``2 h 05 min``, ``3 min 20 s``, ``45 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def as_html(text: str, png: bytes | None = None) -> str:
    """Return text with a picture below it, as a notebook shows an object."""
    picture = f'<br><img src="data:image/png;base64,{b64encode(png).decode()}">' if png else ""
    return f"<div>{escape(text)}{picture}</div>"
