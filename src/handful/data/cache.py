"""Image sets too large for memory: decoded once, into a file in the run folder that training reads from as it goes.

``cache/images.uint8`` holds the pixels, first those of the images that are trained on, then those that are held back.
``cache/about.json`` says of what and how they were made, with a checksum; it is written last and removed first, so that
pixels without it are of a decoding that did not end. All of it can be made again; ``handful clean`` removes it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from jaxtyping import UInt8
from torch import Tensor

from handful.compute.memory import GIGA, budget
from handful.config.train import TrainConfig
from handful.data.classes import label
from handful.data.dataset import Dataset, load_folder
from handful.data.holdout import hold_back, part
from handful.data.photos import Photos, Problem
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.files import readable, replacing, sweep, write_json
from handful.progress import advance, note
from handful.records import layout

IMAGES, ABOUT = "images.uint8", "about.json"


SPARE = GIGA
"""Bytes left on the disk for checkpoints."""


PIECE = 64 * 2**20
"""Bytes that are checked at once."""


def fits(config: TrainConfig) -> bool:
    """Say whether the images are to lie in memory: they fit, and no file has them already.

    Raises:
        UsageError: if they cannot be found.
    """
    if (config.folder / layout.CACHE / ABOUT).exists():
        return False
    return len(open_photos(config.images).files) * bytes_each(config) <= budget(config.image_memory)


def bytes_each(config: TrainConfig) -> int:
    """Give what one image takes, decoded."""
    return config.generator.channels * math.prod(config.shape)


def load(config: TrainConfig) -> Dataset:
    """Map the images from the file in the run folder, which is made first where it is not there or of other images.

    The folder must be nobody else's meanwhile.

    Raises:
        UsageError: as ``load_folder``; or the disk has not the room.
    """
    folder = config.folder / layout.CACHE
    photos = open_photos(config.images)
    # What the pixels, and their order, depend on.
    made = {"images": photos.stamp(), "shape": list(config.shape), "channels": config.generator.channels}
    made |= {name: getattr(config, name) for name in ("fit", "seed", "hold_back", "labels")}
    dataset = reopened(folder, made, config)
    if dataset is None:
        remove(folder)
        make(folder, photos, made, config)
        dataset = reopened(folder, made, config)
        assert dataset is not None
    return dataset


def make(folder: Path, photos: Photos, made: dict[str, Any], config: TrainConfig) -> None:
    """Decode the images into the file."""
    folder.mkdir(parents=True, exist_ok=True)
    need = len(photos.files) * bytes_each(config)
    most = budget(config.image_memory) / GIGA
    note(
        f"the images need {need / GIGA:.2f} GB, and may take {most:.2f} GB of memory (--image-memory):"
        f" decoding them into {folder / IMAGES}"
    )
    require_room(folder, need)
    with replacing(folder / IMAGES) as temporary:
        dataset = load_folder(
            config.images,
            config.shape,
            config.fit,
            config.generator.channels,
            partial(advance, "reading images"),
            allocate=partial(reserve, temporary),
        )
        kept, chosen = hold_back(label(dataset.names, config), config)
        training, unseen = part(dataset.images, kept, chosen)
        images = dataset.images[: len(kept) + len(chosen)]
        images[len(training) :] = unseen
        os.truncate(temporary, images.nbytes)  # pictures that could not be read, or are of no class, have left room
        checksum = check(images, partial(advance, "checking images"))
    about = {
        "made": made,
        "checksum": checksum,
        "names": [dataset.names[index] for index in kept + chosen],
        "held": len(chosen),
        "fingerprint": dataset.fingerprint,
        "skipped": [[str(problem.path), problem.reason] for problem in dataset.skipped],
        "small": dataset.small,
        "ignored": dataset.ignored,
    }
    write_json(folder / ABOUT, about)


def reopened(folder: Path, made: dict[str, Any], config: TrainConfig) -> Dataset | None:
    """Map the file if it is whole and was made of the same images in the same way, or say why not."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        same, names = about["made"] == made, tuple(about["names"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not same:
        note(f"{folder / IMAGES} is of images that have changed since: decoding them anew")
        return None
    shape = (len(names), config.generator.channels, *config.shape)
    path = folder / IMAGES
    if not path.exists() or path.stat().st_size != math.prod(shape):
        note(f"{path} is not whole: decoding the images anew")
        return None
    images = mapped(path, shape)
    if check(images, partial(advance, "checking images")) != about["checksum"]:
        note(f"{path} is damaged: decoding the images anew")
        return None
    note(f"images are read from {path} ({images.nbytes / GIGA:.2f} GB) while it trains")
    return Dataset(
        images=images,
        names=names,
        fingerprint=about["fingerprint"],
        skipped=tuple(Problem(Path(path), reason) for path, reason in about["skipped"]),
        small=tuple(about["small"]),
        ignored=about["ignored"],
        held=about["held"],
    )


def mapped(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "n c h w"]:
    """Map a file as images: the system reads what is looked at, and forgets it again where memory is short.

    Raises:
        UsageError: if it is not there, as on another machine, or the process may not map as much.
    """
    # The map of a file that is not there would make one, of black images.
    if not path.is_file() or path.stat().st_size < math.prod(shape):
        raise UsageError(f"{path}: is not there or not whole; several machines need a run folder that they share")
    try:
        # Shared, since a private map of what may be written counts as memory under ``ulimit -d``. Nobody writes.
        return torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=torch.uint8).view(shape)
    except RuntimeError as error:
        raise UsageError(f"{path}: cannot be mapped ({error}); raise the limit of addresses (ulimit -v)") from error


def mapped_from(images: UInt8[Tensor, "n c h w"]) -> Path | None:
    """Say which file images are mapped from; none for those in memory or on a device."""
    name = images.untyped_storage().filename if images.device.type == "cpu" else None
    return Path(name) if name else None


def reserve(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "n c h w"]:
    """Make a file of the size of images, and map it.

    Raises:
        UsageError: if the disk has not the room.
    """
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                # Without, a disk that runs full would kill the process at a write into the map.
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            else:
                file.truncate(math.prod(shape))
    except OSError as error:
        raise no_room(path.parent, math.prod(shape), str(error.strerror).lower()) from error
    return mapped(path, shape)


def require_room(folder: Path, need: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        UsageError: if it has not the room, with some left for the rest of the run.
    """
    free = shutil.disk_usage(folder).free
    if need + SPARE > free:
        raise no_room(
            folder, need, f"{free / GIGA:.2f} GB of the disk are free, and {SPARE / GIGA:.0f} GB must stay so"
        )


def no_room(folder: Path, need: int, reason: str) -> UsageError:
    """Say that the disk has not the room, and what helps."""
    return UsageError(
        f"{readable(folder)}: the images need {need / GIGA:.2f} GB there ({reason}); make room, choose another --run or"
        " a smaller --size, or let them stay in memory with a higher --image-memory"
    )


def check(images: UInt8[Tensor, "n c h w"], progress: Callable[[int, int], None]) -> int:
    """Give the CRC-32 of the pixels, which are read once; a few seconds for 4 GB."""
    whole = images.view(-1).numpy().data
    checksum = 0
    for start in range(0, len(whole), PIECE):
        checksum = zlib.crc32(whole[start : start + PIECE], checksum)
        progress(min(start + PIECE, len(whole)) >> 20, len(whole) >> 20)
    return checksum


def remove(folder: Path) -> int:
    """Remove the file and what belongs to it, and give the bytes that gives back. Touches nothing else."""
    given_back = 0
    if not folder.is_dir():
        return given_back
    sweep(folder)
    for name in (ABOUT, IMAGES):
        path = folder / name
        if path.is_file():
            given_back += path.stat().st_size
            path.unlink()
    if not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    return given_back


def clean(run: Path | str) -> int:
    """Remove from a run folder what can be made again: the file of decoded images. Gives the bytes that this frees.

    Raises:
        UsageError: if this is no run folder, or the run is training.
    """
    run = Path(run)
    if not (run / layout.CONFIG).is_file() and not (run / layout.CACHE).is_dir():
        raise UsageError(f"{run}: is not a run folder; give the --run of handful train")
    try:
        with FileLock(run / layout.LOCK, timeout=0):
            return remove(run / layout.CACHE)
    except Timeout:
        raise UsageError(f"{run}: a process is training in this folder; stop it first") from None
