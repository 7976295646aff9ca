"""Where pictures come from: a folder, a zip archive, a dataset of the Hugging Face Hub. Names them, and reads one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import TypeVar

from handful.files import readable

ENDINGS = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif"])


Item = TypeVar("Item")


@dataclass(frozen=True)
class Problem:
    """One file or directory that could not be used."""

    path: Path
    """Relative to the image folder."""
    reason: str

    def __str__(self) -> str:
        return f"{readable(self.path)}: {self.reason}"


@dataclass
class Photos:
    """The pictures of a source by name, in order; none was opened yet but those of the Hub, which were fetched."""

    label: str
    """The source, as a message names it."""
    open: Callable[[Path], BufferedIOBase]
    """Opens one of ``files``, from any thread. Fails with any exception where it is damaged."""
    about: Callable[[Path], str]
    """Says of one of ``files``, without reading it, what is other when its bytes are: its size and date, say."""
    files: list[Path] = field(default_factory=list)
    """Relative to the source."""
    problems: list[Problem] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Files that are not pictures by their ending."""

    @property
    def ignored(self) -> Counter[str]:
        """Count the other files by ending (lower case, with its dot; empty for a name without one)."""
        return Counter(file.suffix.lower() for file in self.others)

    def read(self, file: Path) -> bytes:
        """Give the bytes of one picture."""
        with self.open(file) as opened:
            return opened.read()

    def stamp(self) -> str:
        """Give a hash (hex) that is another one when a picture came, went or changed. Reads no picture.

        Raises:
            OSError: if one went since the source was opened.
        """
        whole = hashlib.sha256()
        for file in self.files:
            whole.update(f"{file.as_posix()}\0{self.about(file)}\n".encode("utf-8", "surrogatepass"))
        return whole.hexdigest()


def spread(items: Sequence[Item], most: int) -> Sequence[Item]:
    """Take items evenly spread over a list, at most so many."""
    return [items[place * len(items) // most] for place in range(most)] if len(items) > most else items
