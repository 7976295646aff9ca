"""Zip archives of pictures, read without unpacking them."""

from __future__ import annotations

import struct
import weakref
import zipfile
import zlib
from functools import partial
from io import BufferedIOBase
from pathlib import Path

from handful.data.passed_over import RUN_FOLDERS, is_hidden, is_run, why_passed_over
from handful.data.photos import Photos, SkippedFile
from handful.errors import UsageError
from handful.files import printable

MAX_UNPACKED_BYTES = 2**30
"""Largest picture that is unpacked from an archive; a few bytes of an archive can claim any size."""

MAX_CONFIG_BYTES = 2**20

ENCRYPTED, UTF_8 = 0x1, 0x800
"""General purpose bits of an entry."""

UNICODE_PATH = 0x7075
"""Extra field of Info-ZIP with the name in UTF-8."""


def open_archive(path: Path) -> Photos:
    """List the pictures of a zip archive. Hidden files, macOS metadata, thumbnails and runs are left out.

    Raises:
        UsageError: The archive is damaged or encrypted.
    """
    label = f"archive {printable(path)}"
    try:
        archive = zipfile.ZipFile(path)
        # A name can occur twice; the last entry wins, as it does when the archive is unpacked.
        entries = {Path(name): entry for name, entry in named(archive.infolist()) if not name.endswith("/")}
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
    left_out = folders_left_out(photos, list(entries))
    for name, entry in entries.items():
        if not any(map(is_hidden, name.parts)) and left_out.isdisjoint(name.parents):
            photos.add(name, is_regular=True)
            if photos.files[-1:] == [name] and entry.flag_bits & ENCRYPTED:
                raise UsageError(f"{label} is encrypted: unpack it with its password and give the folder instead")
    photos.files.sort(key=Path.as_posix)
    return photos


def folders_left_out(photos: Photos, names: list[Path]) -> set[Path]:
    """Return the folders of an archive that are passed over, and note them in ``photos``."""
    children: dict[Path, set[str]] = {}
    for name in names:
        for child in (name, *name.parents):
            if child != Path():
                children.setdefault(child.parent, set()).add(child.name)

    def read_in(folder: Path, name: str) -> bytes:
        with photos.open(folder / name) as opened:
            return opened.read(MAX_CONFIG_BYTES)

    left_out: set[Path] = set()
    for folder in sorted(children):
        if folder == Path():
            if is_run(children[folder], partial(read_in, folder)):
                left_out |= {Path(name) for name in RUN_FOLDERS}
        elif left_out.isdisjoint(folder.parents) and not any(map(is_hidden, folder.parts)):
            reason = why_passed_over(folder.name, children[folder], partial(read_in, folder))
            if reason is not None:
                left_out.add(folder)
                photos.passed_over.append(SkippedFile(folder, reason))
    return left_out


def named(entries: list[zipfile.ZipInfo]) -> list[tuple[str, zipfile.ZipInfo]]:
    """Return the entries of an archive with the names that their makers meant.

    macOS writes UTF-8 without marking it as such, and old tools of Windows write backslashes between folders.
    """
    names = [name_of(entry) for entry in entries]
    if not any("/" in name for name in names):
        names = [name.replace("\\", "/") for name in names]
    return list(zip(names, entries, strict=True))


def name_of(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry, which Python reads as code page 437 unless it is marked as UTF-8."""
    if entry.flag_bits & UTF_8:
        return entry.filename
    stored = entry.orig_filename.encode("cp437")
    start = 0
    while start + 4 <= len(entry.extra):
        kind, size = struct.unpack_from("<HH", entry.extra, start)
        content = entry.extra[start + 4 : start + 4 + size]
        if kind == UNICODE_PATH and content[1:5] == struct.pack("<I", zlib.crc32(stored)):
            stored = content[5:]
        start += 4 + size
    try:
        return stored.decode("utf-8").replace("\0", "")
    except UnicodeDecodeError:
        return entry.filename
