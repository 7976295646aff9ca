"""Open a source of pictures: a folder, a zip archive, or a dataset of the Hugging Face Hub."""

from __future__ import annotations

import stat
from collections import deque
from pathlib import Path

from handful.config.text import HUB
from handful.data.archives import open_archive
from handful.data.passed_over import RUN_FOLDERS, is_hidden, is_run, why_passed_over
from handful.data.photos import Photos, SkippedFile
from handful.errors import UsageError
from handful.files import printable


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


def open_folder(folder: Path) -> Photos:
    """List the pictures in a folder and everything below it. Follows links.

    Hidden files, folders of systems, thumbnails, runs and models are left out.

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
                for child in children_to_visit(entry, photos, folder):
                    # Real directories come before links, so that a file is listed under its real name if it has one.
                    (pending.append if child.is_symlink() else pending.appendleft)(child)
        except OSError as error:
            dangling = isinstance(error, FileNotFoundError) and entry.is_symlink()
            reason = "link to a missing file" if dangling else (error.strerror or str(error)).lower()
            photos.skipped.append(SkippedFile(entry.relative_to(folder), reason))
    photos.files.sort(key=Path.as_posix)
    return photos


def children_to_visit(entry: Path, photos: Photos, root: Path) -> list[Path]:
    """Return what a folder holds, without what is passed over, which is noted in ``photos``."""
    children = sorted(child for child in entry.iterdir() if not is_hidden(child.name))
    names = {child.name for child in children}

    def read(name: str) -> bytes:
        return (entry / name).read_bytes()

    if entry == root:
        return [child for child in children if child.name not in RUN_FOLDERS] if is_run(names, read) else children
    reason = why_passed_over(entry.name, names, read)
    if reason is not None:
        photos.passed_over.append(SkippedFile(entry.relative_to(root), reason))
        return []
    return children


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
