"""Who trains in a run folder. Imports no torch."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from handful.files import parse_json
from handful.records.layout import HOLDER, LOCK


@dataclass(frozen=True)
class Holder:
    """A process that trains."""

    pid: int
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended."""
        if not self.is_here or os.name == "nt":  # on Windows os.kill would end it
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


def write_holder(folder: Path) -> None:
    """Note that this process trains in a folder, whose lock it holds."""
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
    (folder / HOLDER).write_text(text + "\n", encoding="utf-8")


def read_holder(folder: Path) -> Holder | None:
    """Return the process that trained in a folder last; None if that is not known."""
    try:
        value = parse_json((folder / HOLDER).read_bytes())
        pid, host = value["pid"], value["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Holder(pid, host) if type(pid) is int and pid > 0 and isinstance(host, str) else None


def is_training(folder: Path) -> bool:
    """Return whether a process trains in a folder.

    Only the lock tells for certain. It is not touched where its holder is known to be gone, so that a run that begins
    finds it free.
    """
    holder = read_holder(folder)
    if not (folder / LOCK).exists() or (holder is not None and holder.is_gone):
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that cannot be written to
        return False
