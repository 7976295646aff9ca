"""A list of pictures, wherever they come from: their names in order, and how to read one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

from handful.files import printable
from handful.images.formats import HEAD_BYTES, RAW, RAW_ENDINGS, UnusableError, kind_of

ENDINGS = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif"])
"""Endings of pictures, in lower case. Other files are pictures if their first bytes say so."""


@dataclass(frozen=True)
class SkippedFile:
    """A file or directory that could not be used."""

    path: Path
    """Relative to the source."""
    reason: str
    remedy: str = ""
    """What to do, if that is not to repair the file."""

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.why}"

    @property
    def name(self) -> str:
        """The path with ``/`` as separator."""
        return self.path.as_posix()

    @property
    def why(self) -> str:
        """The reason with its remedy."""
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason


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
    """Files that are not pictures."""
    passed_over: list[SkippedFile] = field(default_factory=list)
    """Folders that hold no training images (see ``data.passed_over``), without hidden ones."""

    @property
    def ignored(self) -> Counter[str]:
        """Count the other files by ending: lower case, with its dot; empty for a name without one."""
        return Counter(file.suffix.lower() for file in self.others)

    def add(self, file: Path, *, is_regular: bool) -> None:
        """Sort a file into ``files``, ``others`` or ``skipped``, by its ending or, with another one, by its content."""
        is_picture = file.suffix.lower() in ENDINGS
        if not is_regular:
            if is_picture:
                # Opening a pipe would block for ever.
                self.skipped.append(SkippedFile(file, "not a regular file"))
        elif is_picture:
            self.files.append(file)
        else:
            self.add_by_content(file)

    def add_by_content(self, file: Path) -> None:
        """Sort a file by its first bytes: phones name JPEGs .HEIC, and some tools leave the ending out."""
        try:
            with self.open(file) as opened:
                kind = kind_of(opened.read(HEAD_BYTES))
        except Exception:  # An archive may be damaged; what is no picture by its name need not be told.
            kind = None
        if kind is None or not kind.is_picture:
            self.others.append(file)
            return
        if kind.decoder == "TIFF" and file.suffix.lower() in RAW_ENDINGS:
            kind = RAW
        try:
            kind.require_readable()
            self.files.append(file)
        except UnusableError as error:
            self.skipped.append(SkippedFile(file, error.reason, error.remedy))

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
