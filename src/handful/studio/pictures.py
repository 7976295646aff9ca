"""Sets of pictures: looking for them on this machine, taking in those that are dropped, leaving some out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from handful.data.passed_over import is_hidden
from handful.data.photos import ENDINGS, Photos
from handful.errors import UsageError
from handful.files import printable, storage_error
from handful.studio.opened import is_model
from handful.studio.places import Places
from handful.studio.uploads import Upload, free_folder, safe_name, store

SETS = ".pictures"
"""Folder of the sets that were dropped or made here, below that of the runs, where no run is looked for."""

MAX_FILES = 5_000
"""In a set that is dropped."""

MAX_FILE_BYTES, MAX_ZIP_BYTES, MAX_SET_BYTES = 100_000_000, 2_000_000_000, 4_000_000_000

MAX_SHOWN = 1_000
"""Folders of a folder that are shown."""

MAX_COUNTED = 20_000
"""Files of a folder that are looked at to count its pictures."""


def browse(places: Places, text: str, shown: str = ".zip") -> dict[str, Any]:
    """Return what a folder holds: folders, files that end in ``shown``, and how many pictures.

    Raises:
        UsageError: It may not be looked into.
    """
    if not text:
        roots = [root for root in places.roots if root.is_dir()]
        folders = [{"path": str(root), "name": printable(root)} for root in roots]
        return {"path": "", "name": "", "parents": [], "folders": folders, "pictures": 0, "is_model": False}
    folder = places.path(text)
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)}: is no folder")
    children, pictures = [], 0
    try:
        for entry in within(folder, MAX_COUNTED):
            if is_hidden(entry.name):
                continue
            ending = Path(entry.name).suffix.lower()
            if entry.is_dir() or ending == shown:
                children.append(Path(entry.path))
            pictures += ending in ENDINGS
    except OSError as error:
        raise UsageError(f"{printable(folder)}: cannot be opened ({(error.strerror or '').lower()})") from error
    children = sorted((child for child in children if places.allowed(child)), key=lambda child: child.name.lower())
    root = next(root for root in places.roots if folder.is_relative_to(root))
    parents = [folder, *folder.parents][: len(folder.relative_to(root).parts) + 1]
    return {
        "path": str(folder),
        "name": printable(folder.name),
        "parents": [{"path": str(path), "name": printable(path.name) or "/"} for path in reversed(parents)],
        "folders": [
            {"path": str(child), "name": printable(child.name), "is_model": is_model(child)}
            for child in children[:MAX_SHOWN]
        ],
        "pictures": pictures,
        "is_model": is_model(folder),
    }


def within(folder: Path, most: int) -> Iterator[os.DirEntry[str]]:
    """Go through what a folder holds, up to so many entries."""
    with os.scandir(folder) as entries:
        for _, entry in zip(range(most), entries, strict=False):
            yield entry


def new_set(places: Places, name: str) -> str:
    """Make a folder for pictures that are about to be dropped, and return its name."""
    return free_folder(places.runs / SETS, name, "pictures").name


def set_folder(places: Places, name: str) -> Path:
    """Return the folder of a set.

    Raises:
        UsageError: There is none of that name.
    """
    folder = places.runs / SETS / name
    if Path(name).name != name or name.startswith(".") or not folder.is_dir() or folder.is_symlink():
        raise UsageError(f"{printable(name)}: there is no such set of pictures")
    return folder


async def take_file(places: Places, set_name: str, name: str, upload: Upload) -> Path:
    """Store a file that was dropped.

    Raises:
        UsageError: It is no picture or archive by its name, too large, or one too many.
        StorageError: It cannot be written.
    """
    folder = set_folder(places, set_name)
    path = folder / safe_name(name, ENDINGS | {".zip"}, "picture", "is no picture and no zip archive by its name")
    files = list(folder.iterdir())
    if len(files) >= MAX_FILES and not path.exists():
        raise UsageError(f"more than {MAX_FILES:,} files: put them in a folder and choose that")
    left = max(0, MAX_SET_BYTES - sum(file.stat().st_size for file in files))
    await store(path, upload, min(left, MAX_ZIP_BYTES if path.suffix == ".zip" else MAX_FILE_BYTES))
    return path


def leave_out(places: Places, source: str, names: Sequence[str]) -> Path:
    """Make a set of all pictures of a folder or archive but some, and return it. Those of a folder are linked.

    Raises:
        UsageError: Too few are left, or an archive holds too much.
        StorageError: A picture cannot be written.
    """
    from handful.data.sources import open_photos

    path, left_out = places.path(source), set(names)
    photos = open_photos(path)
    kept = [file for file in photos.files if printable(file) not in left_out]
    if len(kept) < 2:
        raise UsageError("fewer than two pictures would be left; leave out fewer")
    if path.is_file() and len(kept) > MAX_FILES:
        raise UsageError(f"{printable(path)}: holds more than {MAX_FILES:,} pictures; unpack it and choose the folder")
    made = set_folder(places, new_set(places, path.stem if path.is_file() else path.name))
    try:
        if path.is_dir():
            link(path, kept, made)
        else:
            unpack(photos, kept, made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return made


def link(folder: Path, files: Sequence[Path], made: Path) -> None:
    """Link files of a folder into another one; copy those that cannot be linked.

    Raises:
        StorageError: One can be neither linked nor copied.
    """
    for file in files:
        target = made / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to((folder / file).resolve())
        except OSError:
            try:
                shutil.copyfile(folder / file, target)
            except OSError as error:
                raise storage_error(target, error) from error


def unpack(photos: Photos, files: Sequence[Path], made: Path) -> None:
    """Write files of an archive into a folder; no name leads out of it. Damaged ones are passed over, as in training.

    Raises:
        UsageError: They are larger than a set may be.
        StorageError: One cannot be written.
    """
    left = MAX_SET_BYTES
    for file in files:
        content = b""
        with suppress(Exception), photos.open(file) as opened:
            content = opened.read(min(left, MAX_FILE_BYTES) + 1)
        left -= len(content)
        if left < 0 or len(content) > MAX_FILE_BYTES:
            raise UsageError(f"{printable(file)}: is too large here; unpack the archive and choose the folder")
        target = made.joinpath(*(part for part in file.parts if part not in (file.anchor, "..")))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if content:
                target.write_bytes(content)
        except OSError as error:
            raise storage_error(target, error) from error
