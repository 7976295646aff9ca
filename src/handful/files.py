"""Write files atomically: under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from handful.errors import StorageError, UsageError, escaped

TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]+\.part")
"""A temporary name, and the final name within it."""

SHOWN_LETTERS = 60


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to ``path`` if the block succeeds.

    If the block fails or the process dies, ``path`` is unchanged. Works for a file, and for a folder that is new.

    Raises:
        StorageError: The system does not allow it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        for written in [*temporary.glob("*"), temporary]:
            flush(written)
        temporary.replace(path)
        flush(path.parent)
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):
            remove(temporary)


def append(path: Path, data: bytes) -> None:
    """Append bytes to a file: all, or none if that fails.

    Raises:
        StorageError: The system does not allow it.
    """
    try:
        with path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return an error that names a file that cannot be written, the system's reason, and how much space is free."""
    reason = (error.strerror or str(error)).lower()
    folder = next((parent for parent in path.parents if parent.is_dir()), None)
    if folder is not None:
        with suppress(OSError):
            free = f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB"
            if hasattr(os, "statvfs") and (status := os.statvfs(folder)).f_files and not status.f_favail:
                free += ", but no room for another file"
            reason += f"; free there: {free}"
    return StorageError(f"{printable(path)}: cannot be written ({reason})")


def require_folder(folder: Path, option: str = "--out") -> None:
    """Create a folder for results before the work for them begins.

    Raises:
        UsageError: It cannot be created or written to; the message names the option.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{option} {folder}: the folder cannot be created ({error.strerror}); choose another"
        ) from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{option} {folder}: the folder is not writable; choose another")


def require_file(path: Path, option: str = "--out", example: str = "sheet.png") -> None:
    """Check that a file for results can be written before the work for it begins.

    Raises:
        UsageError: It cannot be written; the message names the option, and ``example`` in place of a folder.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file in it, such as {path / example}")
    require_folder(path.parent, option)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401
    """Parse JSON as its standard has it: no NaN, no Infinity, no number that becomes one.

    Raises:
        ValueError: The text is something else, is not UTF-8, is nested too deeply, or a number is too long.
    """

    def parse_number(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text[:20]} is not a finite number")
        return number

    try:
        return json.loads(text, parse_float=parse_number, parse_constant=parse_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary files that dead processes have left in a folder, of files with these names.

    Looks at no sub-folder, and leaves all other files alone. No live process may write to the folder.

    Args:
        folder: The folder; it may be missing.
        names: Final names; ``*`` stands for any letters.
    """
    patterns = list(names)
    for path in sorted(folder.glob(".*.part")):
        match = TEMPORARY.fullmatch(path.name)
        if match is not None and any(fnmatchcase(match[1], pattern) for pattern in patterns):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder of files, if it exists."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Return the folder for files that can be created again: ``$HANDFUL_CACHE``, or one in the user's cache folder.

    For a user without a home, as in some containers, one in the folder for temporary files. It may not be writable.
    """
    if os.environ.get("HANDFUL_CACHE"):
        return expanded(Path(os.environ["HANDFUL_CACHE"]))
    return expanded(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "handful"


def expanded(path: Path) -> Path:
    """Return a path with the user's home in place of ``~``, or a temporary folder where no home is known."""
    try:
        return path.expanduser()
    except RuntimeError:
        return temporary_home().joinpath(*path.parts[1:])


def temporary_home() -> Path:
    """Return a folder among those for temporary files that takes the place of a home."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"home-of-{user}"


def is_readable(path: Path) -> bool:
    """Return whether a file is there and may be read. What cannot be looked at is passed over."""
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113 - Path.is_file raises in another's folder


def printable(path: Path | str) -> str:
    """Return a path or a name as it can be printed; see ``escaped``.

    Brackets are unchanged, so text for rich still needs ``rich.markup.escape``.
    """
    return escaped(str(path))


def shortened(text: str, letters: int = SHOWN_LETTERS) -> str:
    """Return what a message shows of a value: printable, and not longer than a line."""
    return printable(text if len(text) <= letters else f"{text[:letters]}...")
