"""What the studio may read and write: the folder of runs, and folders that it is allowed to look into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from handful.data.passed_over import RUN_FOLDERS
from handful.errors import UsageError
from handful.files import printable
from handful.records.run_folder import RunFolder, is_run

DEPTH = 4
"""Folders below the studio's own in which runs are looked for."""

MAX_FOLDERS = 5_000
"""Folders that are looked into, at most."""


@final
class Places:
    """Turns names that a browser sends into paths, and refuses those that lead out of the allowed folders.

    Links are followed first, so a link out of them is refused as well.

    Args:
        runs: The folder of runs.
        allowed: Folders whose pictures and models may be read.
    """

    def __init__(self, runs: Path, allowed: Sequence[Path] = ()) -> None:
        self.runs = runs.resolve()
        self.roots = [self.runs, *dict.fromkeys(path.resolve() for path in allowed)]

    def allowed(self, path: Path) -> bool:
        """Return whether a path lies, once all links are followed, in an allowed folder."""
        try:
            real = path.resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return any(real.is_relative_to(root) for root in self.roots)

    def path(self, text: str) -> Path:
        """Return the real path of a file or folder that may be read; a relative one lies in the folder of runs.

        Raises:
            UsageError: It lies elsewhere, or does not exist.
        """
        try:
            path = (self.runs / text).resolve()
            exists = path.exists()
        except (OSError, ValueError, RuntimeError):
            exists = False
        if not exists or not self.allowed(path):
            roots = ", ".join(printable(root) for root in self.roots)
            raise UsageError(f"{printable(text)}: is not there, or lies outside of {roots}; --allow adds a folder")
        return path

    def run_path(self, name: str) -> Path:
        """Return the path of a run, or of one to be, by its name below the folder of runs.

        Raises:
            UsageError: The name leads elsewhere.
        """
        try:
            path = (self.runs / name).resolve()
        except (OSError, ValueError, RuntimeError):
            path = Path()
        if not path.is_relative_to(self.runs) or path == self.runs:
            raise UsageError(f"{printable(name)}: is no name of a run")
        return path

    def run(self, name: str) -> RunFolder:
        """Return a run by its name.

        Raises:
            UsageError: There is none of this name.
        """
        path = self.run_path(name)
        if not is_run(path):
            raise UsageError(f"{printable(name)}: there is no such run; it may have been deleted or renamed")
        return RunFolder(path)

    def training_images(self, run: RunFolder) -> Path:
        """Return where the training images of a run lie.

        Raises:
            UsageError: They are gone, or lie outside of the allowed folders.
        """
        return self.path(str(run.config.images.absolute()))

    def name_of(self, run: Path) -> str:
        """Return the name of a run: its path below the folder of runs, with slashes."""
        return run.relative_to(self.runs).as_posix()

    def find_runs(self) -> Iterator[Path]:
        """Go through all runs, those in folders of folders too."""
        pending, looked = [(self.runs, 0)], 0
        while pending and looked < MAX_FOLDERS:
            folder, depth = pending.pop()
            looked += 1
            if depth and is_run(folder):
                yield folder
                continue
            if depth < DEPTH:
                pending += [(child, depth + 1) for child in self.children(folder)]

    def children(self, folder: Path) -> list[Path]:
        """Return the folders in a folder that are neither hidden nor elsewhere; none if it cannot be read."""
        try:
            children = [child for child in folder.iterdir() if child.name[0] != "." and child.name not in RUN_FOLDERS]
            return sorted((child for child in children if child.is_dir() and self.allowed(child)), reverse=True)
        except OSError:
            return []


def inside(folder: Path, file: Path) -> bool:
    """Return whether a file is there and lies, once links are followed, in a folder."""
    try:
        return file.is_file() and file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False
