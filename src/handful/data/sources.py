"""Pictures of a folder, a zip archive or the Hub."""

from __future__ import annotations

import stat
import weakref
import zipfile
from collections import deque
from io import BufferedIOBase
from pathlib import Path

from handful.config.text import HUB
from handful.data.photos import ENDINGS, Photos, Problem
from handful.errors import UsageError
from handful.files import readable

JUNK = "__MACOSX"
"""Folder of an archive that was made on a Mac: a ``._`` file for each real one."""


MOST_BYTES = 2**30
"""Of one picture of an archive, unpacked; a few bytes can claim to be any number."""


_ENCRYPTED = 0x1


def open_photos(source: Path) -> Photos:
    """List the pictures of a folder, of a zip archive, or of a dataset as ``hf:owner/name``, by their endings.

    Raises:
        UsageError: It cannot be reached or read; the message says what to do.
    """
    if str(source).startswith(HUB):
        from handful.data.hub import open_hub

        return open_hub(source)
    if source.suffix.lower() == ".zip" and source.is_file():
        return open_archive(source)
    return open_folder(source)


def open_archive(path: Path) -> Photos:
    """List the pictures of a zip archive, which is never unpacked. Hidden files and what Macs add are passed over.

    Raises:
        UsageError: It is damaged, or its pictures are encrypted.
    """
    label = f"archive {readable(path)}"
    try:
        archive = zipfile.ZipFile(path)
        # A name may stand there twice; as in unpacking, the last one is meant.
        entries = {Path(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UsageError(f"{label} cannot be read as a zip archive ({error}): copy or download it again") from None

    def open_entry(file: Path) -> BufferedIOBase:
        if entries[file].file_size > MOST_BYTES:
            raise OSError(0, "more than a gigabyte, unpacked")
        opened = archive.open(entries[file])
        assert isinstance(opened, BufferedIOBase)
        return opened

    found = Photos(label, open_entry, lambda file: f"{entries[file].file_size} {entries[file].CRC}")
    weakref.finalize(found, archive.close)
    for name, entry in entries.items():
        if not any(part.startswith(".") or part == JUNK for part in name.parts):
            _sort_in(name, regular=True, found=found)
            if found.files[-1:] == [name] and entry.flag_bits & _ENCRYPTED:
                raise UsageError(f"{label} is encrypted: unpack it with its password, and give the folder")
    found.files.sort(key=Path.as_posix)
    return found


def open_folder(folder: Path) -> Photos:
    """List the pictures below a folder, without opening any.

    Raises:
        UsageError: ``folder`` is not a directory that can be reached.
    """
    try:
        is_directory = stat.S_ISDIR(folder.stat().st_mode)
    except OSError as error:
        reason = f"does not exist or cannot be opened ({(error.strerror or str(error)).lower()})"
        raise UsageError(f"image folder {readable(folder)} {reason}: check the path") from None
    if not is_directory:
        raise UsageError(
            f"image folder {readable(folder)} is a file: name the folder that holds the pictures, or a zip archive"
        )

    def about(file: Path) -> str:
        status = (folder / file).stat()
        return f"{status.st_size} {status.st_mtime_ns}"

    found = Photos(f"image folder {readable(folder)}", lambda file: (folder / file).open("rb"), about)
    pending = deque([folder])
    visited: set[tuple[int, int]] = set()
    while pending:
        entry = pending.popleft()
        try:
            status = entry.stat()
            if not stat.S_ISDIR(status.st_mode):
                _sort_in(entry.relative_to(folder), regular=stat.S_ISREG(status.st_mode), found=found)
            elif (status.st_dev, status.st_ino) not in visited:
                visited.add((status.st_dev, status.st_ino))
                for child in sorted(entry.iterdir()):
                    # Links wait until all real directories are done: a file goes by its real name where it has one.
                    if not child.name.startswith("."):
                        (pending.append if child.is_symlink() else pending.appendleft)(child)
        except OSError as error:
            dangling = isinstance(error, FileNotFoundError) and entry.is_symlink()
            reason = "link to a file that is not there" if dangling else (error.strerror or str(error)).lower()
            found.problems.append(Problem(entry.relative_to(folder), reason))
    found.files.sort(key=Path.as_posix)
    return found


def _sort_in(file: Path, *, regular: bool, found: Photos) -> None:
    """Note a file as a picture, as ignored, or as a problem."""
    ending = file.suffix.lower()
    if regular and ending in ENDINGS:
        found.files.append(file)
    elif regular:
        found.others.append(file)
    elif ending in ENDINGS:
        # Opening a pipe would wait for ever.
        found.problems.append(Problem(file, "not a regular file"))
