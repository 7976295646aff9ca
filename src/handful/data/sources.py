"""Open a source of pictures: a folder, a zip archive, or a dataset of the Hugging Face Hub."""

from __future__ import annotations

import stat
import weakref
import zipfile
from collections import deque
from io import BufferedIOBase
from pathlib import Path

from handful.config.text import HUB
from handful.data.photos import Photos, SkippedFile
from handful.errors import UsageError
from handful.files import printable

MAC_FOLDER = "__MACOSX"
"""Folder that macOS adds to archives, with a ``._`` file for each real one."""

MAX_UNPACKED_BYTES = 2**30
"""Largest picture that is unpacked from an archive; a few bytes of an archive can claim any size."""

_ENCRYPTED = 0x1


def open_photos(source: Path) -> Photos:
    """List the pictures of a folder, of a zip archive, or of a dataset given as ``hf:owner/name``.

    Raises:
        UsageError: The source cannot be reached or read.
    """
    if str(source).startswith(HUB):
        from handful.data.hub import open_hub

        return open_hub(source)
    if source.suffix.lower() == ".zip" and source.is_file():
        return open_archive(source)
    return open_folder(source)


def open_archive(path: Path) -> Photos:
    """List the pictures of a zip archive without unpacking it. Hidden files and macOS metadata are left out.

    Raises:
        UsageError: The archive is damaged or encrypted.
    """
    label = f"archive {printable(path)}"
    try:
        archive = zipfile.ZipFile(path)
        # A name can occur twice; the last entry wins, as it does when the archive is unpacked.
        entries = {Path(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UsageError(f"{label} cannot be read as a zip archive ({error}): copy or download it again") from None

    def open_entry(file: Path) -> BufferedIOBase:
        if entries[file].file_size > MAX_UNPACKED_BYTES:
            raise OSError(0, "larger than a gigabyte when unpacked")
        opened = archive.open(entries[file])
        assert isinstance(opened, BufferedIOBase)
        return opened

    photos = Photos(label, open_entry, lambda file: f"{entries[file].file_size} {entries[file].CRC}")
    weakref.finalize(photos, archive.close)
    for name, entry in entries.items():
        if not any(part.startswith(".") or part == MAC_FOLDER for part in name.parts):
            photos.add(name, is_regular=True)
            if photos.files[-1:] == [name] and entry.flag_bits & _ENCRYPTED:
                raise UsageError(f"{label} is encrypted: unpack it with its password and give the folder instead")
    photos.files.sort(key=Path.as_posix)
    return photos


def open_folder(folder: Path) -> Photos:
    """List the pictures in a folder and everything below it. Follows links and leaves out hidden files.

    Raises:
        UsageError: ``folder`` is not a directory or cannot be opened.
    """
    require_directory(folder)

    def version_of(file: Path) -> str:
        status = (folder / file).stat()
        return f"{status.st_size} {status.st_mtime_ns}"

    photos = Photos(f"image folder {printable(folder)}", lambda file: (folder / file).open("rb"), version_of)
    pending = deque([folder])
    visited: set[tuple[int, int]] = set()
    while pending:
        entry = pending.popleft()
        try:
            status = entry.stat()
            if not stat.S_ISDIR(status.st_mode):
                photos.add(entry.relative_to(folder), is_regular=stat.S_ISREG(status.st_mode))
            elif (status.st_dev, status.st_ino) not in visited:
                visited.add((status.st_dev, status.st_ino))
                for child in sorted(entry.iterdir()):
                    # Real directories come before links, so that a file is listed under its real name if it has one.
                    if not child.name.startswith("."):
                        (pending.append if child.is_symlink() else pending.appendleft)(child)
        except OSError as error:
            dangling = isinstance(error, FileNotFoundError) and entry.is_symlink()
            reason = "link to a missing file" if dangling else (error.strerror or str(error)).lower()
            photos.skipped.append(SkippedFile(entry.relative_to(folder), reason))
    photos.files.sort(key=Path.as_posix)
    return photos


def require_directory(folder: Path) -> None:
    """Check that a path is a directory.

    Raises:
        UsageError: It is missing, cannot be opened, or is a file.
    """
    try:
        is_directory = stat.S_ISDIR(folder.stat().st_mode)
    except OSError as error:
        reason = f"does not exist or cannot be opened ({(error.strerror or str(error)).lower()})"
        raise UsageError(f"image folder {printable(folder)} {reason}: check the path") from None
    if not is_directory:
        raise UsageError(
            f"image folder {printable(folder)} is a file: give the folder with the pictures, or a zip archive"
        )
