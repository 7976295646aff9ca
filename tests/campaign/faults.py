"""Faults at file operations: the n-th operation below a folder kills the process, or fails as the system would."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KILLED = 137
"""Exit code of a killed process."""

WRITES = 2
"""Writes to a file that count as operations."""

OPERATIONS = ("replace", "rename", "unlink", "mkdir", "rmdir", "fsync", "truncate", "listdir", "scandir")
"""Functions of ``os`` that can fail."""


@dataclass
class Fault:
    """What happens at one file operation below a folder.

    ``number`` None only counts. ``error`` is an errno; None kills. A disk stays full: with ``lasting`` all later
    operations fail too.
    """

    folder: Path
    number: int | None = None
    error: int | None = None
    lasting: bool = False
    count: int = 0
    names: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def meet(self, operation: str, path: object) -> None:
        """Count an operation, and let it fail if it is the one."""
        if not isinstance(path, str | os.PathLike) or not str(path).startswith(str(self.folder)):
            return
        # A file of weights is written in hundreds of pieces, of which two tell all.
        name = f"{operation} {path}"
        self.seen[name] = self.seen.get(name, 0) + 1
        if operation == "write" and self.seen[name] > WRITES:
            return
        self.count += 1
        self.names.append(f"{operation} {Path(path).relative_to(self.folder)}")
        due = self.number is not None and (self.count == self.number or (self.lasting and self.count > self.number))
        if due and self.error is None:
            os._exit(KILLED)
        if due:
            raise OSError(self.error, os.strerror(self.error), str(path))

    def install(self) -> None:
        """Watch this process's file operations from now on. There is no way back, so call it in a child process."""
        for name in OPERATIONS:
            setattr(os, name, self.watched(name, getattr(os, name)))
        for module in (builtins, io):
            module.open = self.watched_open(module.open)

    def watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of ``os`` that may fail."""

        def operation(path: object = ".", *arguments: object, **options: object) -> object:
            if name == "fsync":  # of a descriptor; flushing itself would only cost time here
                self.meet(name, Path(f"/proc/self/fd/{path}").readlink())
                return None
            self.meet(name, path)
            return real(path, *arguments, **options)

        return operation

    def watched_open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return an ``open`` that may fail, and whose files may fail to be written."""

        def opened(path: object, mode: str = "r", *arguments: object, **options: object) -> object:
            self.meet(f"open {mode}", path)
            file = real(path, mode, *arguments, **options)
            return Watched(file, path, self) if set(mode) & set("wax+") else file

        return opened


class Watched:
    """A file whose writes are operations too."""

    def __init__(self, file: Any, path: object, fault: Fault) -> None:
        self.file, self.path, self.fault = file, path, fault

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *details: object) -> None:
        self.file.close()

    def write(self, data: Any) -> int:
        """Write half of the data, then all of it, so that a kill or an error leaves a part."""
        half = len(data) // 2
        self.file.write(data[:half])
        self.file.flush()
        self.fault.meet("write", self.path)
        self.file.write(data[half:])
        return len(data)
