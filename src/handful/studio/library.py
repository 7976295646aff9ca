"""The runs of the studio's folder, each as a card: what it is, how far it is, how good it is."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Literal, final

from handful.config.text import title
from handful.config.train import size_in_words
from handful.errors import HandfulError, UsageError
from handful.files import printable
from handful.records import layout
from handful.records.run_folder import RunFolder, is_run
from handful.studio.places import Places, inside
from handful.studio.processes import Processes, read_output
from handful.training.schedule import end_reason

State = Literal["preparing", "training", "stopping", "finished", "stopped", "interrupted", "failed"]
"""preparing: the process runs, and no step is done. interrupted: it ended without saving, as after a crash. failed: it
ended before its first step."""


@final
class Library:
    """Reads the folder of runs anew each time: runs begin and end without the studio."""

    def __init__(self, places: Places, processes: Processes) -> None:
        self.places, self.processes = places, processes

    def cards(self) -> list[dict[str, Any]]:
        """Return all runs, the newest first. A run that cannot be read is told of on its card."""
        cards = []
        for folder in self.places.find_runs():
            name = self.places.name_of(folder)
            try:
                cards.append(self.card(RunFolder(folder)))
            except (HandfulError, OSError) as error:
                cards.append({"name": name, "error": str(error), "age": age(folder / layout.CONFIG)})
        for folder in self.processes.started:
            if (folder / layout.OUTPUT).is_file() and not is_run(folder):
                cards.append(self.starting(self.places.name_of(folder)) | {"age": age(folder / layout.OUTPUT)})
        return sorted(cards, key=lambda card: card["age"])

    def card(self, run: RunFolder) -> dict[str, Any]:
        """Return what the home page shows of a run."""
        settings, log, verdict = run.settings, run.log, run.verdict
        config, newest = settings.config, (log[-1] if log else {})
        samples = [step for step, path in run.samples.items() if inside(run.folder, path)]
        return {
            "name": self.places.name_of(run.folder),
            "title": printable(self.title(run)),
            "state": self.state(run, log),
            "step": newest.get("step", 0),
            "steps": config.steps,
            "seconds_left": newest.get("seconds_left"),
            "size": size_in_words(config) if config.size != "auto" else "",
            "images": settings.images,
            "age": age(run.folder / layout.LOG, run.folder / layout.CONFIG),
            "sample": samples[-1] if samples else None,
            "best": run.best.step if run.best is not None else None,
            "verdict": verdict.to_json() if verdict.scored else None,
            "model": any((run.folder / place / layout.WEIGHTS).is_file() for place in (layout.BEST, layout.MODEL)),
        }

    def title(self, run: RunFolder) -> str:
        """Return what a run is called: by its folder, or by its images where it lies deeper, as in experiments."""
        name = run.folder.name
        return name if run.folder.parent == self.places.runs else title(run.config.images) or name

    def state(self, run: RunFolder, log: list[dict[str, Any]]) -> State:
        """Return what a run does, from its folder alone."""
        newest = log[-1] if log else {}
        step = newest.get("step", 0)
        if self.processes.is_alive(run.folder):
            if self.processes.is_stopping(run.folder):
                return "stopping"
            return "training" if log else "preparing"
        if end_reason(run.config, step, newest.get("seconds", 0.0) / 60, run.scores) is not None:
            return "finished"
        saved = max(run.checkpoints, default=0)
        return "stopped" if saved and saved >= step else "interrupted" if step else "failed"

    def starting(self, name: str) -> dict[str, Any]:
        """Return what is known of a run that was started here and has not written its settings.

        Raises:
            UsageError: There is no such run.
        """
        folder = self.places.run_path(name)
        if not (folder / layout.OUTPUT).is_file():
            raise UsageError(f"{printable(name)}: there is no such run; it may have been deleted or renamed")
        state: State = "preparing" if self.processes.is_alive(folder) else "failed"
        return {"name": name, "title": printable(folder.name), "state": state, "output": read_output(folder)}

    def delete(self, name: str) -> None:
        """Delete a run with everything in it.

        Raises:
            UsageError: It is training, or there is no such run.
        """
        folder = self.places.run_path(name)
        if not is_run(folder) and not (folder / layout.OUTPUT).is_file():
            raise UsageError(f"{printable(name)}: there is no such run; it may have been deleted already")
        if self.processes.is_alive(folder):
            raise UsageError(f"{printable(name)}: is training; stop it first")
        shutil.rmtree(folder)


def age(*paths: Path) -> float:
    """Return the seconds since the first of some files that is there was written."""
    for path in paths:
        try:
            return max(0.0, time.time() - path.stat().st_mtime)
        except OSError:
            continue
    return 0.0
