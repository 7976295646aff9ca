"""Training in the background: each run is a ``handful train`` process of its own, which outlives the studio."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

from handful.config.text import option
from handful.config.train import TrainConfig
from handful.errors import UsageError, escaped
from handful.files import printable, require_folder, storage_error
from handful.records.holder import is_training, read_holder
from handful.records.layout import OUTPUT
from handful.studio.places import inside

COMMAND = (sys.executable, "-m", "handful")
"""What starts this program once more."""

NICENESS = 10
"""Of training, so that the studio answers while a run keeps all cores busy."""

MAX_TRAINING = 4
"""Runs that a studio lets train at once: they share the machine, and each is slower for it."""

SHOWN_BYTES = 20_000
"""Of a run's output, at its end."""


@final
class Processes:
    """Starts and stops runs. Knows only for how long their processes live; everything else stands in their folders."""

    def __init__(self) -> None:
        self.started: dict[Path, subprocess.Popen[bytes]] = {}
        self.stopping: dict[Path, int] = {}
        """Processes that were asked to stop, by folder."""

    def train(self, images: Path, folder: Path, options: Sequence[str] = ()) -> None:
        """Start or resume a run.

        Raises:
            UsageError: Another process trains there, or too many runs train already.
            StorageError: The folder cannot be written to.
        """
        if self.is_alive(folder):
            raise UsageError(f"{printable(folder)}: is training already; stop it first")
        if sum(process.poll() is None for process in self.started.values()) >= MAX_TRAINING:
            raise UsageError(f"{MAX_TRAINING} runs train already; start this one when one of them has ended")
        require_folder(folder, "--run")
        self.stopping.pop(folder, None)
        command = [*COMMAND, "train", str(images), "--run", str(folder), *options]
        try:
            with (folder / OUTPUT).open("wb") as output:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
        except OSError as error:
            raise storage_error(folder / OUTPUT, error) from error
        lower_priority(process.pid)
        self.started[folder] = process

    def stop(self, folder: Path) -> None:
        """Ask a run to save and stop.

        Raises:
            UsageError: No process trains there, or none that can be reached.
        """
        holder = read_holder(folder)
        if not is_training(folder):
            process = self.started.get(folder)
            if process is None or process.poll() is not None:
                raise UsageError(f"{printable(folder)}: is not training")
            process.terminate()  # it has not come as far as its first step
            return
        if holder is None or not holder.is_here:
            where = "where it was started" if holder is None else f"on {printable(holder.host)}"
            raise UsageError(f"{printable(folder)}: its process cannot be reached from here; press Ctrl-C {where}")
        self.stopping[folder] = holder.pid
        os.kill(holder.pid, signal.SIGTERM)

    def is_alive(self, folder: Path) -> bool:
        """Return whether a run trains, or a process of ours is about to. Its lock is left alone while it takes it."""
        process = self.started.get(folder)
        return (process is not None and process.poll() is None) or is_training(folder)

    def is_stopping(self, folder: Path) -> bool:
        """Return whether a run that trains was asked to stop."""
        holder = read_holder(folder)
        return holder is not None and self.stopping.get(folder) == holder.pid


def lower_priority(pid: int) -> None:
    """Lower the priority of a process that leads a session, where the system lets us.

    Linux schedules sessions as groups, and niceness counts within a group only. So the group's is set too.
    """
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), encoding="utf-8")


def read_output(folder: Path) -> str:
    """Return the end of what a run printed that was started here; empty for others."""
    path = folder / OUTPUT
    if not inside(folder, path):
        return ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SHOWN_BYTES))
        text = file.read().decode("utf-8", "replace")
    return escaped(text if size <= SHOWN_BYTES else text.partition("\n")[2], kept="\n")


def spelled(options: dict[str, object]) -> list[str]:
    """Spell options as the command line takes them.

    Raises:
        UsageError: There is no such option, or a value is neither text, number nor flag.
    """
    words: list[str] = []
    known = vars(TrainConfig(Path("-")))
    for name, value in options.items():
        if name not in known or name in ("images", "run"):
            raise UsageError(f"{printable(name)}: is no option")
        if isinstance(value, bool):
            words.append(option(name if value else f"no_{name}"))
        elif isinstance(value, str | int | float):
            words += [option(name), str(value)]
        elif value is not None:
            raise UsageError(f"{option(name)}: must be a text, a number or a flag")
    return words
