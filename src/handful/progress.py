"""How long work shows what it does: on the terminal, in a notebook, or nowhere.

Code that works for long calls ``note``, ``advance`` and ``show_entry``. Only public functions decide, by ``shown_on``,
where that goes, so no function in between carries it along.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


@runtime_checkable
class Progress(Protocol):
    """Shows how work goes. Its methods are called from the thread that works."""

    def note(self, text: str) -> None:
        """Take one line that the user should read."""

    def advance(self, task: str, done: int, total: int) -> None:
        """Learn that ``done`` of ``total`` pieces of a task are done; called often, so it must be quick."""

    def report(self, entry: dict[str, Any]) -> None:
        """Take a line of log.jsonl as it is written."""

    def close(self) -> None:
        """Leave what is shown as it stands; more may come later."""


class Quiet:
    """Progress that shows nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def advance(self, task: str, done: int, total: int) -> None:
        """Show nothing."""

    def report(self, entry: dict[str, Any]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave nothing behind."""


class Console:
    """Progress on the terminal: a live bar with rate, time left and losses, or plain lines where output is a file.

    Writes to the error stream, so that a command's answer on standard output stays alone.
    """

    def __init__(self, terminal: Terminal | None = None) -> None:
        self.terminal = terminal or Terminal(stderr=True)
        self.bars: Bars | None = None
        self.tasks: dict[str, TaskID] = {}
        self.shown: str | None = None

    def note(self, text: str) -> None:
        """Print a line, above the bars if there are any."""
        self.terminal.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self, task: str, done: int, total: int) -> None:
        """Move a bar."""
        if not self.terminal.is_terminal:
            return
        if self.bars is None:
            left = TimeRemainingColumn(compact=True)
            columns = (TextColumn("{task.description}"), BarColumn(12), MofNCompleteColumn(), left)
            self.bars = Bars(*columns, TextColumn("{task.fields[state]}"), console=self.terminal)
            self.bars.start()
        if task not in self.tasks:
            self.tasks[task] = self.bars.add_task(task, total=total, completed=done, state="")
        if task != self.shown:
            for name, each in self.tasks.items():
                self.bars.update(each, visible=name == task)
            self.shown = task
        self.bars.update(self.tasks[task], completed=done)

    def report(self, entry: dict[str, Any]) -> None:
        """Show rate and losses behind the bar, or in a line that also has the time left; scores in their own line."""
        if "kid" in entry:
            self.note(
                f"score at step {entry['step']:,}: KID {entry['kid']:.3f} ± {entry['kid_error']:.3f}, "
                f"{entry['copies']:.0%} copies, novelty {entry['novelty']:.2f}, spread {entry['spread']:.2f}"
            )
        rate = f"{entry['images_per_second']:.1f} images/s"
        names = ("discriminator", "generator", "reconstruction")
        if self.bars is not None:
            # One letter each, so that all stays in 80 columns: D, G, R.
            losses = " ".join(f"{name[0].upper()} {entry[name]:.2f}" for name in names)
            self.bars.update(self.tasks["training"], state=f"{rate} {losses}")
        else:
            losses = "  ".join(f"{name} {entry[name]:.3f}" for name in names)
            left = duration(entry["seconds_left"])
            self.note(f"step {entry['step']:,.0f} of {entry['steps']:,.0f}  {left} left  {rate}  {losses}")

    def close(self) -> None:
        """Leave the bars as they stand."""
        if self.bars is not None:
            self.bars.stop()
        self.bars, self.tasks, self.shown = None, {}, None


_shown: ContextVar[Progress | None] = ContextVar("shown", default=None)


@contextmanager
def shown_on(progress: Progress | None = None) -> Iterator[None]:
    """Show on ``progress`` how the work of this block goes, and close it at the end.

    None: where it is shown already, which then stays open; on the terminal if that is nowhere.
    """
    current = _shown.get()
    progress = progress or current or Console()
    if progress is current:
        yield
        return
    token = _shown.set(progress)
    try:
        yield
    finally:
        _shown.reset(token)
        progress.close()


def note(text: str) -> None:
    """Show a line that the user should read."""
    if (progress := _shown.get()) is not None:
        progress.note(text)


def advance(task: str, done: int, total: int) -> None:
    """Show that ``done`` of ``total`` pieces of a task are done."""
    if (progress := _shown.get()) is not None:
        progress.advance(task, done, total)


def show_entry(entry: dict[str, Any]) -> None:
    """Show a line of log.jsonl."""
    if (progress := _shown.get()) is not None:
        progress.report(entry)


def duration(seconds: float) -> str:
    """Say a length of time in its two largest units: ``2 h 05 min``, ``3 min 20 s``, ``45 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
