"""Files that are whole or not there: written under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handful.errors import UsageError

PART = ".part"


UMASK = os.umask(0)


os.umask(UMASK)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write, and put it in the place of ``path`` once the block has ended well.

    If the block fails, or the process dies, ``path`` is as it was. Works for a file, and for a folder that is new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    remove(temporary)
    try:
        yield temporary
        for written in [*temporary.glob("*"), temporary]:
            if written.is_file():
                written.chmod(0o666 & ~UMASK)  # safetensors lets nobody else read what it writes
            flush(written)
        temporary.replace(path)
        flush(path.parent)
    finally:
        remove(temporary)


def require_folder(folder: Path, option: str = "--out") -> None:
    """Make a folder that is going to be written to, before work is done for it.

    Raises:
        UsageError: if it cannot be one; the message names the option.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {folder}: cannot be made a folder ({error.strerror}); choose another") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{option} {folder}: may not be written to; choose another folder")


def require_file(path: Path, option: str = "--out") -> None:
    """See that a file can be written, before work is done for it.

    Raises:
        UsageError: if it cannot; the message names the option.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file in it, such as {path / 'sheet.png'}")
    require_folder(path.parent, option)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def flush(path: Path) -> None:
    """Make the disk hold what was written to a file, or to the list of files of a folder."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what processes that died left half-written below a folder that nobody writes to at present."""
    for left in sorted(folder.rglob(f".*{PART}")):
        remove(left)


def remove(path: Path) -> None:
    """Remove a file or a folder of files, if it is there."""
    if path.is_dir():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Say where things are kept that can be made again: ``$HANDFUL_CACHE``, or the user's cache folder."""
    if os.environ.get("HANDFUL_CACHE"):
        return Path(os.environ["HANDFUL_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "handful"


def readable(path: Path | str) -> str:
    """Make a path printable: line breaks, control characters and bytes that are not UTF-8 become backslash escapes.

    Brackets stay as they are, so text for rich still needs ``rich.markup.escape``.
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(path))
