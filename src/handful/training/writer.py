"""Write the files of a run folder. ``records.layout`` lists them; ``records.run_folder`` reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, final

from filelock import FileLock, Timeout

from handful.config import budget
from handful.config.train import TrainConfig
from handful.errors import StorageError, TrainingError, UsageError
from handful.files import printable, replacing, require_folder, sweep, write_json
from handful.images.grid import grid, write_png
from handful.progress import note, show_entry
from handful.records import layout
from handful.records.holder import write_holder
from handful.records.journal import Journal
from handful.records.scores import Score, best, read_best, read_history, to_json
from handful.sampling.model import Model
from handful.tracking.tracker import Tracking
from handful.training import checkpoint
from handful.training.state import State


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a run folder if it is missing, and lock it, so that no other process trains there.

    Raises:
        UsageError: Another process does, or the folder cannot be written to.
    """
    require_folder(folder, "--run")
    try:
        with FileLock(folder / layout.LOCK, timeout=0):
            with suppress(OSError):  # a full disk is told of where it matters
                write_holder(folder)
            for place, names in layout.WRITTEN.items():
                sweep(folder / place, names)
            yield
    except Timeout:
        raise UsageError(f"--run {folder}: another process is training in this folder") from None


@final
class RunWriter:
    """Writes log, sample grids, checkpoints and models of a run."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.folder = config, config.folder
        self.checkpoints, self.best = config.folder / layout.CHECKPOINTS, config.folder / layout.BEST
        self.settings = (config.folder / layout.CONFIG).read_bytes()
        self.kept: Score | None = None
        """The score of the model in ``best/``."""
        self.unwritten: list[dict[str, Any]] = []
        """Entries that the log has not taken yet."""
        self.journal = Journal(config.folder / layout.LOG)
        self.tracking = Tracking(config, 0)
        self.saved_step = 0
        self.saved_at = time.monotonic()

    def resume(self, state: State) -> bool:
        """Load the newest checkpoint, and cut the log after its step. Return whether there is a checkpoint.

        Raises:
            UsageError: There are checkpoints, and all are damaged.
            StorageError: The log cannot be written.
        """
        resumed = checkpoint.restore_newest(state, self.checkpoints)
        if damaged := self.journal.cut(state.step):
            name = self.folder / layout.DAMAGED_LOG
            note(f"{printable(self.journal.path)}: lines that cannot be read: {damaged}; kept in {printable(name)}")
        self.unwritten.clear()
        self.close()
        self.tracking = Tracking(self.config, state.step)
        self.saved_step, self.saved_at = state.step, time.monotonic()
        return resumed

    def read_history(self, step: int) -> list[Score]:
        """Return the scores up to a step, oldest first: those in the log, and those kept in ``best/``.

        Remembers the score of a better model of a later step, so that no worse one replaces it.
        """
        try:
            self.kept, history = read_best(self.best / layout.SCORE)
        except UsageError as error:
            note(f"{error.on_command_line}; the run writes it again with its next best score")
            self.kept, history = None, []
        # The log has rounded numbers.
        scores = [*read_history(self.journal.read()), *history, *([] if self.kept is None else [self.kept])]
        by_step = {score.step: score for score in scores if score.step <= step}
        return [by_step[step] for step in sorted(by_step)]

    @property
    def newest_checkpoint(self) -> Path | None:
        """The folder of the newest checkpoint; None before the first."""
        return next(reversed(checkpoint.every(self.checkpoints)), None)

    @property
    def safe(self) -> str:
        """What is safe on the disk, as an error says it."""
        newest = self.newest_checkpoint
        return f"the last good checkpoint is {printable(newest)}" if newest else "there is no checkpoint yet"

    @property
    def minutes_since_save(self) -> float:
        """Minutes since the last checkpoint, or since the run was opened."""
        return (time.monotonic() - self.saved_at) / 60

    def write_entry(self, entry: dict[str, Any]) -> None:
        """Append an entry to the log. What cannot be written now is written with the next one."""
        self.unwritten.append(entry)
        with told("it is written later"):
            while self.unwritten:
                self.journal.write(self.unwritten[0])
                del self.unwritten[0]

    def read_entry(self, step: int) -> dict[str, Any] | None:
        """Return the log's entry of a step, if there is one."""
        return next((entry for entry in self.journal.read() if entry["step"] == step), None)

    def amend_entry(self, entry: dict[str, Any]) -> None:
        """Put an entry in the place of the log's newest one."""
        with told("it lacks a score"):
            self.journal.amend(entry)

    def show(self, entry: dict[str, Any]) -> None:
        """Show an entry, once it is complete."""
        self.tracking.write_entry(entry)
        show_entry(entry)

    def write_samples(self, model: Model, step: int) -> None:
        """Write a grid of images, of the same seeds at every step."""
        picture = grid(list(model.sample(budget.current.grid_seeds)))
        with told("the run continues without it"):
            write_png(self.folder / layout.SAMPLES / f"{layout.step_name(step)}.png", picture)
        self.tracking.write_samples(step, picture)

    def write_checkpoint(self, model: Model, state: State) -> None:
        """Write the model, then a checkpoint; a run that dies in between writes the model again.

        Raises:
            TrainingError: The system does not allow it; the message says what is safe and how to resume.
        """
        try:
            self.write_all(model, state)
        except OSError as error:
            reason = error.on_command_line if isinstance(error, StorageError) else str(error)
            raise TrainingError(
                f"step {state.step:,}: {reason}; {self.safe}. Make room, then run the same command again to resume"
            ) from error
        self.saved_step, self.saved_at = state.step, time.monotonic()

    def write_all(self, model: Model, state: State) -> None:
        """Write the model and a checkpoint."""
        if not (self.folder / layout.CONFIG).exists():
            note(f"{printable(self.folder)}: was moved or deleted; the run continues in a new folder of that name")
            with replacing(self.folder / layout.CONFIG) as temporary:
                temporary.write_bytes(self.settings)
        model.save(self.folder / layout.MODEL)
        checkpoint.save(state, self.checkpoints, self.config.keep)

    def write_score(self, model: Model, history: Sequence[Score]) -> None:
        """Keep the newest score, and its model if that is the best one.

        A score never lies beside the model of another step: it is written last and removed first.
        """
        path, newest = self.best / layout.SCORE, history[-1]
        later = [self.kept] if self.kept is not None and self.kept.step > newest.step else []
        with told("the best model of before stays"):
            if best([*history, *later]) is newest:
                model.save(self.best, before=partial(path.unlink, missing_ok=True))
                self.kept = newest
            if self.kept is not None:
                write_json(path, to_json(self.kept) | {"history": [to_json(score) for score in history]})

    def close(self) -> None:
        """Close the tracker, if there is one."""
        self.tracking.close()


@contextmanager
def told(remedy: str) -> Iterator[None]:
    """Tell the user of a file that cannot be written, where a run can do without it."""
    try:
        yield
    except OSError as error:
        reason = error.on_command_line if isinstance(error, StorageError) else str(error)
        note(f"{reason}; {remedy}")
