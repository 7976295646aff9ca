"""Storing what the browser sends: under names of ours, bounded in size, and never half."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from handful.errors import UsageError
from handful.files import printable, storage_error


@final
@dataclass(frozen=True)
class Upload:
    """A file that comes in parts."""

    parts: AsyncIterator[bytes]
    declared: int
    """Bytes, as its sender says; 0 where it does not."""

    @classmethod
    def of(cls, request: Request) -> Upload:
        """Return the body of a request."""
        length = request.headers.get("content-length", "")
        return cls(request.stream(), int(length) if length.isdecimal() and len(length) < 100 else 0)


async def store(path: Path, upload: Upload, most: int) -> None:
    """Store a file of at most so many bytes. One that says that it is larger is refused before it is read.

    Raises:
        UsageError: It is larger.
        StorageError: It cannot be written.
    """
    too_large = UsageError(f"{printable(path.name)}: is too large; at most {most / 1e6:,.0f} MB can be dropped here")
    if upload.declared > most:
        raise too_large
    temporary = path.parent / f".{secrets.token_hex(4)}.part"
    try:
        with temporary.open("xb") as file:
            async for part in upload.parts:
                most -= len(part)
                if most < 0:
                    raise too_large
                await run_in_threadpool(file.write, part)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def safe_name(name: str, endings: Collection[str], stem: str, complaint: str) -> str:
    """Return the name that a file is stored under: no folders, no control characters, one of some endings.

    Args:
        name: The name that the browser gave.
        endings: Endings that are taken.
        stem: What the file is called where nothing else is left.
        complaint: What a name with another ending is told.

    Raises:
        UsageError: It has another ending.
    """
    path = Path(re.sub(r"[/\\\0]", " ", name))
    ending = path.suffix.lower()
    if ending not in endings:
        raise UsageError(f"{printable(name)}: {complaint}")
    kept = "".join(letter if letter.isprintable() else "_" for letter in path.stem).strip(" .")[:100]
    return (kept or stem) + ending


def free_folder(parent: Path, name: str, default: str) -> Path:
    """Make a folder of a name like the given one that nothing has yet.

    Raises:
        StorageError: It cannot be made.
    """
    stem = re.sub(r"[^\w -]", "", name).strip()[:60] or default
    folder, number = parent / stem, 2
    while folder.exists():
        folder, number = parent / f"{stem} {number}", number + 1
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder
