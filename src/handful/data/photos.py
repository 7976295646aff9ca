"""A list of pictures, wherever they come from: their names in order, and how to read one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

from handful.files import printable

ENDINGS = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif"])
"""File names that count as pictures, in lower case. The format itself is recognised by content."""


@dataclass(frozen=True)
class SkippedFile:
    """A file or directory that could not be used."""

    path: Path
    """Relative to the source."""
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


@dataclass
class Photos:
    """The pictures of a folder, an archive or a dataset of the Hub, by name and in order. None has been decoded."""

    label: str
    """The source, as messages name it."""
    open: Callable[[Path], BufferedIOBase]
    """Open one of ``files``, from any thread. Raises any exception if the file is damaged."""
    version_of: Callable[[Path], str]
    """Return a text that changes when the bytes of one of ``files`` do, such as size and date, without reading it."""
    files: list[Path] = field(default_factory=list)
    """Relative to the source."""
    skipped: list[SkippedFile] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Files that are not pictures, judging by their endings."""

    @property
    def ignored(self) -> Counter[str]:
        """Count the other files by ending: lower case, with its dot; empty for a name without one."""
        return Counter(file.suffix.lower() for file in self.others)

    def add(self, file: Path, *, is_regular: bool) -> None:
        """Sort a file into ``files``, ``others`` or ``skipped``. Opens nothing."""
        is_picture = file.suffix.lower() in ENDINGS
        if is_regular:
            (self.files if is_picture else self.others).append(file)
        elif is_picture:
            # Opening a pipe would block for ever.
            self.skipped.append(SkippedFile(file, "not a regular file"))

    def read(self, file: Path) -> bytes:
        """Return the bytes of one picture."""
        with self.open(file) as opened:
            return opened.read()

    def stamp(self) -> str:
        """Return a hash (hex) that changes when a picture is added, removed or changed. Reads no picture.

        Raises:
            OSError: A picture has disappeared since the source was opened.
        """
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.as_posix()}\0{self.version_of(file)}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
