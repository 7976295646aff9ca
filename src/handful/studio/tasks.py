"""Work that takes seconds or minutes: one piece at a time, a few that wait, and the progress of each."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from filelock import FileLock, Timeout

from handful.errors import HandfulError, UsageError
from handful.progress import Quiet, shown_on

MAX_WAITING = 8

MAX_KEPT = 64
"""Finished pieces of work whose results are kept."""

PREFIX, LOCK = "handful-studio-", ".lock"
"""Of the temporary folder of a studio, and the file in it that is locked for as long as the studio lives."""

FRESH = 60.0
"""Seconds in which a studio has surely locked its folder."""


@final
@dataclass
class Task(Quiet):
    """A piece of work, which is also where its progress is shown."""

    name: str
    what: str
    """In words: what the user waits for."""
    done: int = 0
    total: int = 0
    result: Any = None
    error: str | None = None
    is_over: bool = False

    def advance(self, task: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` pieces are done."""
        self.what, self.done, self.total = task, done, total

    def working(self, task: str, seconds: float | None) -> None:
        """Show what goes on; for how long it will is not known."""
        if seconds is not None:
            self.what, self.done, self.total = task, 0, 0

    def to_json(self) -> dict[str, Any]:
        """Return what the page shows; a result that is a file is asked for separately."""
        shown = {name: getattr(self, name) for name in ("name", "what", "done", "total", "error", "is_over")}
        return shown | {"result": self.result if not isinstance(self.result, File) else {"file": self.result.name}}


@final
@dataclass(frozen=True)
class File:
    """A result that the user downloads."""

    path: Path

    @property
    def name(self) -> str:
        """The name that it is saved under."""
        return self.path.name


@final
class Tasks:
    """Does one piece of work after the other, beside drawing. Files that are made lie in a temporary folder."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="work")
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.life = FileLock(self.folder / LOCK)
        self.life.acquire()
        self.tasks: OrderedDict[str, Task] = OrderedDict()
        self.lock = threading.Lock()

    def add(self, what: str, work: Callable[[], Any]) -> Task:
        """Take on a piece of work.

        Raises:
            UsageError: Too many wait already.
        """
        with self.lock:
            waiting = [task for task in self.tasks.values() if not task.is_over]
            if len(waiting) >= MAX_WAITING:
                raise UsageError(f"{len(waiting)} pieces of work wait already; try again when one is done")
            task = Task(secrets.token_urlsafe(12), what)
            self.tasks[task.name] = task
            over = [name for name, other in self.tasks.items() if other.is_over]
            for name in over[: max(0, len(self.tasks) - MAX_KEPT)]:
                self.forget(self.tasks.pop(name))
        self.thread.submit(self.do, task, work)
        return task

    def add_file(self, what: str, name: str, write: Callable[[Path], object]) -> Task:
        """Take on work that writes a file of a given name, for the user to download.

        Raises:
            UsageError: as ``add``.
        """

        def work() -> File:
            path = Path(tempfile.mkdtemp(dir=self.folder)) / name
            write(path)
            return File(path)

        return self.add(what, work)

    def forget(self, task: Task) -> None:
        """Delete the file that a piece of work has made."""
        if isinstance(task.result, File):
            shutil.rmtree(task.result.path.parent, ignore_errors=True)

    def close(self) -> None:
        """Drop work that waits, and delete all files."""
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.life.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def do(self, task: Task, work: Callable[[], Any]) -> None:
        """Do a piece of work, and keep its result or error."""
        try:
            with shown_on(task):
                task.result = work()
        except (HandfulError, OSError) as error:
            task.error = error.on_command_line if isinstance(error, HandfulError) else str(error)
        except Exception as error:
            task.error = f"{type(error).__name__}: {error}. This is a bug; the terminal has the details."
            traceback.print_exc()
        finally:
            task.is_over = True

    def get(self, name: str) -> Task:
        """Return a piece of work by its name.

        Raises:
            UsageError: It is not known (any more).
        """
        with self.lock:
            if name not in self.tasks:
                raise UsageError("this work is no longer known, because the studio was restarted; start it again")
            return self.tasks[name]


def remove_left_over() -> None:
    """Delete the temporary folders of studios that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            if (folder / LOCK).is_file() and time.time() - (folder / LOCK).stat().st_mtime > FRESH:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
