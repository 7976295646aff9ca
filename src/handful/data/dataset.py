"""Decode a folder or an archive of pictures into one uint8 tensor.

Folders hold anything: phone photos on their side, palettes, 16-bit scans, half-finished downloads, dangling links. A
damaged file is skipped and listed with its reason; the others load.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from handful.config.geometry import Geometry
from handful.data.grey_bits import bits_of_set
from handful.data.order import evenly_spaced, natural_key
from handful.data.photos import ENDINGS, Photos, SkippedFile
from handful.data.reasons import MADE_HERE, skipped
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.files import printable
from handful.images.colours import FULL_BITS
from handful.images.decode import decode_picture, resize
from handful.progress import advance

Item = TypeVar("Item")

Result = TypeVar("Result")

Allocate = Callable[[tuple[int, ...]], UInt8[Tensor, "n c h w"]]
"""Return a tensor of a shape for images to be decoded into."""

_DRAFT_RATIO = 3
"""Pixels of a reduced JPEG for each pixel of the target. A JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction
of the cost; above this ratio, the antialiased resize that follows hides the difference."""

_MAX_THREADS = 16
"""Each can hold a decoded 100-megapixel picture, which is 700 MB with alpha."""

_LISTED_FILES = 5
"""Skipped files that an error message lists before it counts the rest."""


@dataclass(frozen=True)
class Dataset:
    """The pictures of one source, decoded."""

    images: UInt8[Tensor, "n c h w"]
    """Grey, RGB or premultiplied RGBA, on the CPU, contiguous."""
    names: tuple[str, ...]
    """The path of each image below the source, with ``/`` as separator. Show it to users through ``printable``."""
    fingerprint: str
    """SHA-256 (hex) of the names and bytes of all images; the same wherever the folder lies."""
    skipped: tuple[SkippedFile, ...]
    small: tuple[str, ...]
    """Names of images that had to be enlarged."""
    ignored: dict[str, int]
    """Number of files that are not pictures, by ending: lower case, with its dot; empty for a name without one."""
    passed_over: tuple[SkippedFile, ...] = ()
    """Folders that hold no training images, such as thumbnails and runs."""
    left_out: int = 0
    """Number of pictures that were not decoded because fewer were asked for."""
    held_out: int | None = None
    """Number of images, at the end, that are held out; None if that is not settled yet. See ``data.cache``."""


@dataclass(frozen=True)
class Decoded:
    """What is remembered of one file after its pixels are stored."""

    name: str
    digest: bytes
    """SHA-256 of the file."""
    small: bool
    largest: int | None = None
    is_marked: bool = False
    """See ``Picture`` about both."""


def allocate_in_memory(shape: tuple[int, ...]) -> UInt8[Tensor, "n c h w"]:
    """Return an uninitialised tensor in main memory."""
    return torch.empty(shape, dtype=torch.uint8)


def load_folder(
    folder: Path,
    geometry: Geometry,
    task: str = "reading images",
    most: int | None = None,
    allocate: Allocate = allocate_in_memory,
    generated: bool = False,
) -> Dataset:
    """Decode every picture of a source to one geometry.

    Takes one byte per pixel and channel, and reads each file once. Order, names and fingerprint depend on the files
    alone. Hidden files and what handful wrote are left out.

    Args:
        folder: A folder, searched with everything below it; an archive; or a dataset of the Hub (see ``open_photos``).
        geometry: Size, channels and fit of the results.
        task: What progress calls this.
        most: Maximum number of pictures, evenly spaced over all. Default: all.
        allocate: Returns the tensor that the pictures are decoded into.
        generated: Take a set of nothing but pictures that handful wrote. Among others they are skipped.

    Raises:
        UsageError: The source is missing, or holds fewer than two usable pictures.
    """
    photos = open_photos(folder)
    if not photos.files:
        raise UsageError(_no_pictures_message(photos))
    files = evenly_spaced(photos.files, most or len(photos.files))
    images, results = decode_files(photos, files, geometry, task, allocate)
    results = skip_marked(results, generated)
    decoded = [result for result in results if isinstance(result, Decoded)]
    left = photos.skipped + [result for result in results if isinstance(result, SkippedFile)]
    left.sort(key=lambda file: natural_key(file.path.as_posix()))
    if len(decoded) < 2:
        raise UsageError(_too_few_message(photos.label, len(decoded), left))
    close_gaps(images, [index for index, result in enumerate(results) if isinstance(result, Decoded)])
    return Dataset(
        images=images[: len(decoded)],
        names=tuple(file.name for file in decoded),
        fingerprint=_fingerprint(decoded),
        skipped=tuple(left),
        small=tuple(file.name for file in decoded if file.small),
        ignored=dict(sorted(photos.ignored.items())),
        passed_over=tuple(photos.passed_over),
        left_out=len(photos.files) - len(files),
    )


def decode_files(
    photos: Photos,
    files: Sequence[Path],
    geometry: Geometry,
    task: str | None = None,
    allocate: Allocate = allocate_in_memory,
    bits: int | None = None,
) -> tuple[UInt8[Tensor, "n c h w"], list[Decoded | SkippedFile]]:
    """Decode files in parallel. Return an image for each, and its result; a skipped file's image is undefined.

    Args:
        photos: Where the files are.
        files: What to decode.
        geometry: Size, channels and fit of the results.
        task: What progress calls this; None shows no progress.
        allocate: Returns the tensor that the pictures are decoded into.
        bits: That 16-bit grey uses (see ``grey_bits``). Default: as these files show.
    """
    images = allocate((len(files), geometry.channels, *geometry.shape))
    # Written through NumPy, since every torch copy of this size would start threads of its own.
    pairs = list(zip(files, images.numpy(), strict=True))

    def decode(pair: tuple[Path, UInt8[np.ndarray, "c h w"]]) -> Decoded | SkippedFile:
        return _decode_into(pair[1], photos, pair[0], geometry, bits or FULL_BITS)

    results = map_in_threads(decode, pairs, task)
    if bits is None:
        bits = bits_of_set(result.largest for result in results if isinstance(result, Decoded))
        if bits < FULL_BITS:
            deep = [i for i, result in enumerate(results) if isinstance(result, Decoded) and result.largest is not None]
            for index, result in zip(deep, map_in_threads(decode, [pairs[i] for i in deep], task), strict=True):
                results[index] = result
    return images, results


def skip_marked(results: Sequence[Decoded | SkippedFile], generated: bool) -> list[Decoded | SkippedFile]:
    """Skip the pictures that handful wrote; with ``generated`` only if there are others."""
    if generated and all(result.is_marked for result in results if isinstance(result, Decoded)):
        return list(results)
    is_ours = [isinstance(result, Decoded) and result.is_marked for result in results]
    return [
        SkippedFile(Path(result.name), *MADE_HERE) if ours else result
        for result, ours in zip(results, is_ours, strict=True)
    ]


def close_gaps(images: UInt8[Tensor, "n c h w"], kept: Sequence[int]) -> None:
    """Move the images with these ascending indices to the front, in place and without a second copy of the set."""
    pixels = images.numpy()  # a torch copy of one image starts threads, which takes longer than the copy
    for target, index in enumerate(kept):
        if target != index:
            pixels[target] = pixels[index]


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item], task: str | None = None) -> list[Result]:
    """Apply a function that decodes pictures to each item, in threads, and return the results in order.

    Args:
        work: Called once for each item.
        items: What to apply it to.
        task: What progress calls this; None shows no progress.
    """
    # Two threads could otherwise load Pillow's decoders at once, and one of them find its format missing.
    Image.init()
    # A container often has fewer cores than its machine. Only Linux reports that.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(max(1, min(cores, _MAX_THREADS, len(items))))
    show = partial(advance, task) if task is not None else None
    # Warning filters belong to the process, so they are set here and not in the threads. What Pillow warns of (very
    # large pictures, odd EXIF blocks, palettes) is either handled or comes back as an error.
    with warnings.catch_warnings(action="ignore"):
        try:
            futures = [pool.submit(work, item) for item in items]
            for done, _ in enumerate(as_completed(futures), start=1):
                if show is not None:
                    show(done, len(items))
        finally:
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def _decode_into(
    pixels: UInt8[np.ndarray, "c h w"],
    photos: Photos,
    file: Path,
    geometry: Geometry,
    bits: int,
) -> Decoded | SkippedFile:
    """Decode one file into ``pixels``."""
    try:
        data = photos.read(file)
        if not data:
            return SkippedFile(file, "empty file")
        picture = decode_picture(data, _DRAFT_RATIO * max(geometry.shape), geometry.channels, bits)
        small = picture.image.height < geometry.shape[0] or picture.image.width < geometry.shape[1]
        resized = resize(picture.image, geometry)
    except Exception as error:  # A decoder can raise anything for damaged data; the other files still load.
        return skipped(file, error)
    pixels[:] = resized
    return Decoded(file.as_posix(), hashlib.sha256(data).digest(), small, picture.largest, picture.is_marked)


def _fingerprint(files: Sequence[Decoded]) -> str:
    digest = hashlib.sha256()
    for file in files:
        # No name holds a zero byte. A surrogate stands for a byte of a name that is not UTF-8.
        digest.update(file.name.encode("utf-8", "surrogatepass") + b"\0" + file.digest)
    return digest.hexdigest()


def _no_pictures_message(photos: Photos) -> str:
    others = [
        f"{count} {printable(ending) or 'nameless'} file{'s' * (count > 1)}"
        for ending, count in photos.ignored.most_common(3)
    ]
    remedy = f"it has {', '.join(others)}: convert them to PNG or JPEG first" if others else "add some"
    return f"{photos.label} holds no pictures ({' '.join(sorted(ENDINGS))}); {remedy}{_listed(photos.skipped)}"


def _too_few_message(label: str, usable: int, skipped: Sequence[SkippedFile]) -> str:
    count = f"{usable} usable picture{'s' * (usable != 1)}"
    remedy = "add pictures, or repair these:" if skipped else "add pictures"
    return f"{label} holds {count}; training needs at least 2: {remedy}{_listed(skipped)}"


def _listed(skipped: Sequence[SkippedFile]) -> str:
    more = [f"and {len(skipped) - _LISTED_FILES} more"] if len(skipped) > _LISTED_FILES else []
    return "".join(f"\n  {line}" for line in [*skipped[:_LISTED_FILES], *more])
