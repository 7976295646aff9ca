"""Decode image sets that do not fit into memory once, into a file of the run folder that training reads from.

``cache/images.uint8`` holds the pixels: first the images that are trained on, then those held out. ``cache/about.json``
says how they were made, with a checksum. It is written last and removed first, so that pixels without it are known to
be incomplete. ``handful clean`` removes both; the next run creates them again.
"""

from __future__ import annotations

import math
import os
import shutil
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from jaxtyping import UInt8
from torch import Tensor

from handful.compute.memory import GIGA, max_image_bytes
from handful.config.checks import checked
from handful.config.train import TrainConfig
from handful.data.classes import find_classes
from handful.data.dataset import Dataset, load_folder
from handful.data.photos import Photos, SkippedFile
from handful.data.sources import open_photos
from handful.data.training_set import choose_held_out, split_images
from handful.errors import UsageError
from handful.files import parse_json, printable, replacing, sweep, write_json
from handful.progress import advance, note
from handful.records import layout

RESERVED_BYTES = GIGA
"""Disk space left free for checkpoints."""

CHUNK_BYTES = 64 * 2**20
"""Bytes that the checksum reads at a time."""


def fits_in_memory(config: TrainConfig) -> bool:
    """Return whether to load the images into memory: they fit, and no cache holds them already.

    Raises:
        UsageError: The images cannot be found.
    """
    if (config.folder / layout.CACHE / layout.ABOUT_CACHE).exists():
        return False
    return len(open_photos(config.images).files) * config.geometry.bytes_per_image <= max_image_bytes(
        config.image_memory
    )


def load(config: TrainConfig) -> Dataset:
    """Map the images from the cache, which is created first if it is missing or was made of other images.

    The caller must hold the lock of the run folder.

    Raises:
        UsageError: as ``load_folder``; or the disk is too small.
    """
    folder = config.folder / layout.CACHE
    photos = open_photos(config.images)
    # All that the pixels and their order depend on.
    origin = {"images": photos.stamp(), "shape": list(config.shape), "channels": config.geometry.channels}
    origin |= {name: getattr(config, name) for name in ("fit", "resize_filter", "seed", "hold_back", "labels")}
    dataset = reopen(folder, origin, config)
    if dataset is None:
        remove(folder)
        create(folder, photos, origin, config)
        dataset = reopen(folder, origin, config)
        assert dataset is not None
    return dataset


def create(folder: Path, photos: Photos, origin: dict[str, Any], config: TrainConfig) -> None:
    """Decode the images into the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = len(photos.files) * config.geometry.bytes_per_image
    limit = max_image_bytes(config.image_memory) / GIGA
    note(
        f"the images take {needed / GIGA:.2f} GB, more than the {limit:.2f} GB of memory they may use"
        f" (--image-memory): decoding them into {folder / layout.CACHED_IMAGES}"
    )
    require_disk_space(folder, needed)
    with replacing(folder / layout.CACHED_IMAGES) as temporary:
        dataset = load_folder(config.images, config.geometry, allocate=partial(allocate_in_file, temporary))
        kept, held_out = choose_held_out(find_classes(dataset.names, config), config)
        training, others = split_images(dataset.images, kept, held_out)
        images = dataset.images[: len(kept) + len(held_out)]
        images[len(training) :] = others
        os.truncate(temporary, images.nbytes)  # skipped files and images of no class have left space at the end
        checksum = checksum_of(images)
    about = {
        "made": origin,
        "checksum": checksum,
        "names": [dataset.names[index] for index in kept + held_out],
        "held": len(held_out),
        "fingerprint": dataset.fingerprint,
        "skipped": [[str(file.path), file.reason, file.remedy] for file in dataset.skipped],
        "passed_over": [[str(file.path), file.reason] for file in dataset.passed_over],
        "small": dataset.small,
        "ignored": dataset.ignored,
    }
    write_json(folder / layout.ABOUT_CACHE, about)


def reopen(folder: Path, origin: dict[str, Any], config: TrainConfig) -> Dataset | None:
    """Map the cache if it is complete and was made from the same images in the same way; else tell the user why not."""
    try:
        about = parse_json((folder / layout.ABOUT_CACHE).read_bytes())
        same, names = about["made"] == origin, tuple(about["names"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    path = folder / layout.CACHED_IMAGES
    if not same:
        note(f"the images have changed since {path} was written: decoding them again")
        return None
    shape = (len(names), config.geometry.channels, *config.shape)
    if not path.exists() or path.stat().st_size != math.prod(shape):
        note(f"{path} is incomplete: decoding the images again")
        return None
    images = map_images(path, shape)
    if checksum_of(images) != about["checksum"]:
        note(f"{path} is damaged: decoding the images again")
        return None
    note(f"training reads the images from {path} ({images.nbytes / GIGA:.2f} GB)")
    return Dataset(
        images=images,
        names=names,
        fingerprint=about["fingerprint"],
        skipped=tuple(SkippedFile(Path(name), *why) for name, *why in about["skipped"]),
        passed_over=tuple(SkippedFile(Path(name), *why) for name, *why in about["passed_over"]),
        small=tuple(about["small"]),
        ignored=about["ignored"],
        held_out=about["held"],
    )


def map_images(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "n c h w"]:
    """Map a file as images: the system reads what is accessed, and drops it again when memory is short.

    Raises:
        UsageError: The file is missing, as on another machine, or the address space is limited.
    """
    # Mapping a missing file would create one, of black images.
    if not path.is_file() or path.stat().st_size < math.prod(shape):
        raise UsageError(f"{path} is missing or incomplete; several machines need a run folder that they share")
    try:
        # Shared, since a private writable map counts as memory under ``ulimit -d``. Nothing writes to it.
        return torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=torch.uint8).view(shape)
    except RuntimeError as error:
        raise UsageError(f"{path} cannot be mapped ({error}); raise the address space limit (ulimit -v)") from error


def mapped_file(images: UInt8[Tensor, "n c h w"]) -> Path | None:
    """Return the file that images are mapped from; None for images in memory or on another device."""
    name = images.untyped_storage().filename if images.device.type == "cpu" else None
    return Path(name) if name else None


def allocate_in_file(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "n c h w"]:
    """Create a file of the size of images, and map it.

    Raises:
        UsageError: The disk is too small.
    """
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                # Otherwise a full disk would kill the process at a write into the map.
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            else:
                file.truncate(math.prod(shape))
    except OSError as error:
        raise disk_error(path.parent, math.prod(shape), str(error.strerror).lower()) from error
    return map_images(path, shape)


def require_disk_space(folder: Path, needed: int) -> None:
    """Check that the disk has room for ``needed`` bytes and for the rest of the run.

    Raises:
        UsageError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if needed + RESERVED_BYTES > free:
        reserved = f"{RESERVED_BYTES / GIGA:.0f} GB is reserved for checkpoints"
        raise disk_error(folder, needed, f"{free / GIGA:.2f} GB is free, of which {reserved}")


def disk_error(folder: Path, needed: int, reason: str) -> UsageError:
    """Return an error that says that the disk is too small, and what helps."""
    return UsageError(
        f"{printable(folder)}: not enough disk space for the images, which take {needed / GIGA:.2f} GB ({reason});"
        " free some, choose another --run or a smaller --size, or keep the images in memory with a higher"
        " --image-memory"
    )


def checksum_of(images: UInt8[Tensor, "n c h w"]) -> int:
    """Return the CRC-32 of all pixels. Takes a few seconds for 4 GB."""
    data = images.view(-1).numpy().data
    checksum = 0
    for start in range(0, len(data), CHUNK_BYTES):
        checksum = zlib.crc32(data[start : start + CHUNK_BYTES], checksum)
        advance("checking images", min(start + CHUNK_BYTES, len(data)) >> 20, len(data) >> 20)
    return checksum


def remove(folder: Path) -> int:
    """Remove the cache and return the bytes freed. Other files in the folder stay."""
    freed = 0
    if not folder.is_dir():
        return freed
    names = layout.ABOUT_CACHE, layout.CACHED_IMAGES  # the first says that the second is complete
    sweep(folder, names)
    for name in names:
        path = folder / name
        if path.is_file():
            freed += path.stat().st_size
            path.unlink()
    if not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    return freed


@checked
def clean(run: Path | str) -> int:
    """Remove the cache of decoded images from a run folder, and return the bytes freed.

    Args:
        run: A run folder.

    Raises:
        UsageError: This is not a run folder, or a process is training in it.
    """
    run = Path(run)
    if not (run / layout.CONFIG).is_file() and not (run / layout.CACHE).is_dir():
        raise UsageError(f"{run}: is not a run folder; give the --run of handful train")
    try:
        with FileLock(run / layout.LOCK, timeout=0):
            return remove(run / layout.CACHE)
    except Timeout:
        raise UsageError(f"{run}: a process is training in this folder; stop it first") from None
