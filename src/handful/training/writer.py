"""Write the files of a run folder. ``records.layout`` lists them; ``records.run_folder`` reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from filelock import FileLock, Timeout

from handful.config import budget
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.files import require_folder, sweep, write_json
from handful.images.grid import grid, write_png
from handful.progress import show_entry
from handful.records import layout
from handful.records.journal import Journal
from handful.records.scores import Score, read_history
from handful.sampling.model import Model
from handful.training import checkpoint
from handful.training.state import State
from handful.training.tensorboard import Tracker


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a run folder if it is missing, and lock it, so that no other process trains there.

    Raises:
        UsageError: Another process does, or the folder cannot be written to.
    """
    require_folder(folder, "--run")
    try:
        with FileLock(folder / layout.LOCK, timeout=0):
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
        self.checkpoints = config.folder / layout.CHECKPOINTS
        self.journal = Journal(config.folder / layout.LOG)
        self.tracker: Tracker | None = None
        self.saved_step = 0
        self.saved_at = time.monotonic()

    def resume(self, state: State) -> bool:
        """Load the newest checkpoint, and cut the log after its step. Return whether there is a checkpoint.

        Raises:
            UsageError: There are checkpoints, and all are damaged.
        """
        resumed = checkpoint.restore_newest(state, self.checkpoints)
        self.journal.cut(state.step)
        self.close()
        if self.config.track:
            self.tracker = Tracker(self.folder, state.step)
        self.saved_step, self.saved_at = state.step, time.monotonic()
        return resumed

    def read_history(self) -> list[Score]:
        """Return the scores in the log, oldest first."""
        return read_history(self.journal.read())

    @property
    def newest_checkpoint(self) -> Path | None:
        """The folder of the newest checkpoint; None before the first."""
        return next(reversed(checkpoint.every(self.checkpoints)), None)

    @property
    def minutes_since_save(self) -> float:
        """Minutes since the last checkpoint, or since the run was opened."""
        return (time.monotonic() - self.saved_at) / 60

    def write_entry(self, entry: dict[str, Any]) -> None:
        """Append an entry to the log, and show it."""
        self.journal.write(entry)
        if self.tracker is not None:
            self.tracker.write_entry(entry)
        show_entry(entry)

    def write_samples(self, model: Model, step: int) -> None:
        """Write a grid of images, of the same seeds at every step."""
        picture = grid(list(model.sample(budget.current.grid_seeds)))
        write_png(self.folder / layout.SAMPLES / f"{layout.step_name(step)}.png", picture)
        if self.tracker is not None:
            self.tracker.write_samples(step, picture)

    def write_checkpoint(self, model: Model, state: State) -> None:
        """Write the model, then a checkpoint; a run that dies in between writes the model again."""
        model.save(self.folder / layout.MODEL)
        checkpoint.save(state, self.checkpoints, self.config.keep)
        self.saved_step, self.saved_at = state.step, time.monotonic()

    def write_best(self, model: Model, score: Score) -> None:
        """Write the best model and its score. A score never lies beside the model of another checkpoint."""
        folder = self.folder / layout.BEST
        (folder / layout.SCORE).unlink(missing_ok=True)
        model.save(folder)
        write_json(folder / layout.SCORE, vars(score))

    def close(self) -> None:
        """Close the TensorBoard file, if there is one."""
        if self.tracker is not None:
            self.tracker.close()
            self.tracker = None
