"""Progress of long work, shown on a terminal, in a notebook, in a log file, or nowhere.

Code that works for long calls ``note``, ``advance``, ``working`` and ``show_entry``. Only public functions choose, with
``shown_on``, where these go; no function in between passes it along.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Protocol, runtime_checkable

from handful.displays import display

SECONDS_PER_TICK = 1.0
"""Between two updates of the time that ``working`` shows."""


@runtime_checkable
class Progress(Protocol):
    """A place where progress is shown. All methods but ``working`` are called from the thread that works."""

    def note(self, text: str) -> None:
        """Show a line that the user should read."""

    def advance(self, task: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` pieces of a task are done. Called often, so it must be quick."""

    def working(self, task: str, seconds: float | None) -> None:
        """Show how long a task without a total has been running; None when it ends. Called from another thread."""

    def report(self, entry: dict[str, Any]) -> None:
        """Show a line of log.jsonl."""

    def close(self) -> None:
        """Leave what is shown as it stands; more may come later."""


class Quiet:
    """Progress that shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def advance(self, task: str, done: int, total: int) -> None:
        """Show nothing."""

    def working(self, task: str, seconds: float | None) -> None:
        """Show nothing."""

    def report(self, entry: dict[str, Any]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


_shown: ContextVar[Progress | None] = ContextVar("shown", default=None)


@contextmanager
def shown_on(progress: Progress | None = None) -> Iterator[None]:
    """Show the progress of this block on ``progress``, and close that at the end.

    None: where the caller's progress is shown, which then stays open. If there is no such place, in the notebook or on
    the terminal.
    """
    current = _shown.get()
    progress = progress or current or display()
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


@contextmanager
def working(task: str) -> Iterator[None]:
    """Show how long this block has been running, also while it is busy in C++ code and calls nothing here."""
    progress = _shown.get()
    if progress is None:
        yield
        return
    began, over = monotonic(), threading.Event()

    def tick() -> None:
        while not over.wait(SECONDS_PER_TICK):
            progress.working(task, monotonic() - began)

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
        progress.working(task, None)
