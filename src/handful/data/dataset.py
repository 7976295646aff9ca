"""Turn a folder or an archive of pictures into one uint8 tensor.

People's folders hold anything: phone photos on their side, palettes, 16-bit scans, a half-finished download, a link to
a disk that is not plugged in. A bad file costs that file and no more; it is listed with its reason, never guessed at.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from handful.config.choices import Channels, Fit
from handful.config.sizes import Shape
from handful.data.photos import ENDINGS, Photos, Problem, spread
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.files import readable
from handful.images.decode import UnusableError, decode, resize

Item = TypeVar("Item")


Result = TypeVar("Result")


# A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, for a fraction of the cost. While a side keeps this many pixels
# for each one of the target, the antialiased resize that follows hides the difference.
_DRAFT_PIXELS = 3


# Each thread can hold a decoded 100-megapixel picture (700 MB with alpha), so many threads would cost more memory than
# the time they save is worth.
_MOST_THREADS = 16


@dataclass(frozen=True)
class Dataset:
    """The pictures of one source, decoded."""

    images: UInt8[Tensor, "n c h w"]
    """Grey, RGB or premultiplied RGBA, on the CPU, contiguous."""
    names: tuple[str, ...]
    """The path of each image below the source, with ``/`` between its parts. Print it through `readable`."""
    fingerprint: str
    """SHA-256 (hex) over the name and the bytes of each image: the same data has the same one, wherever it lies."""
    skipped: tuple[Problem, ...]
    small: tuple[str, ...]
    """Names of the images that had to be enlarged."""
    ignored: dict[str, int]
    """How many files were not looked at, by ending (lower case, with its dot; empty for a name without one)."""
    left_out: int = 0
    """How many pictures were not decoded, since fewer were asked for."""
    held: int | None = None
    """How many images, at the end, are not to be trained on, where that was settled before; see ``store``."""


@dataclass(frozen=True)
class Used:
    """What is kept of one file once its pixels are stored."""

    name: str
    digest: bytes
    small: bool


def allocate(shape: tuple[int, ...]) -> UInt8[Tensor, "n c h w"]:
    """Make room for images in memory."""
    return torch.empty(shape, dtype=torch.uint8)


def load_folder(
    folder: Path,
    shape: Shape,
    fit: Fit = "crop",
    channels: Channels = 3,
    progress: Callable[[int, int], None] | None = None,
    most: int | None = None,
    allocate: Callable[[tuple[int, ...]], UInt8[Tensor, "n c h w"]] = allocate,
) -> Dataset:
    """Decode every picture of a source to one size.

    Costs a byte for each pixel and channel, and each file is read once. Order, names and fingerprint depend on the
    files alone, not on the machine or on the timing of threads. Hidden files and directories are passed over.

    Args:
        folder: Searched with everything below it, links followed, each directory once. Or an archive, or a dataset of
            the Hub; see ``open_photos``.
        shape: Height and width of the results, in pixels.
        fit: ``crop`` keeps the middle of a picture, ``squash`` all of it, in the wrong proportions.
        channels: 1 for grey, 3 for RGB, over white where a picture is transparent, 4 for premultiplied RGBA.
        progress: Called with (files done, files in all) from the calling thread after each file.
        most: Decode no more pictures than this, evenly spread over all. Default: all.
        allocate: Makes the tensor of this shape that the pictures are decoded into.

    Raises:
        UsageError: The source is not there, or holds fewer than two pictures that can be used.
    """
    photos = open_photos(folder)
    if not photos.files:
        raise UsageError(_nothing_found(photos))
    files = spread(photos.files, most or len(photos.files))
    images = allocate((len(files), channels, *shape))
    results = decode_all(photos, files, images, fit, progress)

    used = [result for result in results if isinstance(result, Used)]
    problems = photos.problems + [result for result in results if isinstance(result, Problem)]
    problems.sort(key=lambda problem: problem.path.as_posix())
    if len(used) < 2:
        raise UsageError(_too_few(photos.label, len(used), problems))
    # Gaps close in place: a second copy of the set may not fit in memory.
    kept = [index for index, result in enumerate(results) if isinstance(result, Used)]
    pixels = images.numpy()
    for place, index in enumerate(kept):
        if place != index:
            pixels[place] = pixels[index]
    return Dataset(
        images=images[: len(used)],
        names=tuple(result.name for result in used),
        fingerprint=_fingerprint(used),
        skipped=tuple(problems),
        small=tuple(result.name for result in used if result.small),
        ignored=dict(sorted(photos.ignored.items())),
        left_out=len(photos.files) - len(files),
    )


def decode_all(
    photos: Photos,
    files: Sequence[Path],
    images: UInt8[Tensor, "n c h w"],
    fit: Fit,
    progress: Callable[[int, int], None] | None,
) -> list[Used | Problem]:
    """Fill ``images`` from ``files``, several at a time, and return what became of each, in order."""
    # Written through NumPy: a torch copy of this size starts threads of its own in every one of ours.
    pairs = list(zip(files, images.numpy(), strict=True))
    return at_once(lambda pair: _load(photos, pair[0], fit, pair[1]), pairs, progress)


def at_once(
    work: Callable[[Item], Result], items: Sequence[Item], progress: Callable[[int, int], None] | None
) -> list[Result]:
    """Do the same with each of several picture files in threads, and return what came out, in order."""
    # Left to the threads, two of them could load Pillow's decoders at once, and one find its format missing.
    Image.init()
    # A container often has fewer cores than its machine. Only Linux can tell.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(max(1, min(cores, _MOST_THREADS, len(items))))
    # Filters belong to the process, so they are set here and not in the threads. What Pillow warns of (very large
    # pictures, odd EXIF blocks, palettes) is either handled here or comes back as an error.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            futures = [pool.submit(work, item) for item in items]
            for done, _ in enumerate(as_completed(futures), start=1):
                if progress is not None:
                    progress(done, len(items))
        finally:
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def _load(photos: Photos, file: Path, fit: Fit, picture: UInt8[np.ndarray, "c h w"]) -> Used | Problem:
    """Read one file into ``picture``."""
    channels, *shape = picture.shape
    try:
        data = photos.read(file)
        if not data:
            return Problem(file, "empty file")
        image = decode(data, _DRAFT_PIXELS * max(shape), channels)
        small = image.height < shape[0] or image.width < shape[1]
        pixels = resize(image, (shape[0], shape[1]), fit)
    except Exception as error:  # Whatever a decoder makes of damaged data, the other files go on.
        return Problem(file, explain(error))
    picture[:] = pixels
    return Used(file.as_posix(), hashlib.sha256(data).digest(), small)


def explain(error: Exception) -> str:
    """Say in plain words why a file could not be used."""
    match error:
        case UnidentifiedImageError():
            return "not an image Pillow can read"
        case Image.DecompressionBombError():
            return "too many pixels for Pillow: make it smaller"
        case MemoryError():
            return "not enough memory to decode it"
        case OSError(strerror=str(reason)):
            return reason.lower()
        case zipfile.BadZipFile():
            return "damaged in the archive"
        case NotImplementedError():
            return "packed in a way that Python cannot unpack: make the archive anew"
        case UnusableError():
            return str(error)
    reason = str(error) or type(error).__name__
    return "truncated" if "truncated" in reason.lower() else f"damaged ({readable(reason)})"


def _fingerprint(used: Sequence[Used]) -> str:
    whole = hashlib.sha256()
    for file in used:
        # No name holds a zero byte. A surrogate stands for a byte of a name that is not UTF-8.
        whole.update(file.name.encode("utf-8", "surrogatepass") + b"\0" + file.digest)
    return whole.hexdigest()


def _nothing_found(photos: Photos) -> str:
    kinds = [
        f"{count} {readable(ending) or 'nameless'} file{'s' * (count > 1)}"
        for ending, count in photos.ignored.most_common(3)
    ]
    remedy = f"it has {', '.join(kinds)}: convert them to PNG or JPEG first" if kinds else "put some there"
    known = " ".join(sorted(ENDINGS))
    return f"{photos.label} holds no pictures ({known}); {remedy}{_listed(photos.problems)}"


def _too_few(label: str, usable: int, problems: Sequence[Problem]) -> str:
    count = f"{usable} usable picture{'s' * (usable != 1)}"
    remedy = "add pictures, or repair these:" if problems else "add pictures"
    return f"{label} holds {count}; training needs at least 2: {remedy}{_listed(problems)}"


def _listed(problems: Sequence[Problem], most: int = 5) -> str:
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return "".join(f"\n  {line}" for line in [*problems[:most], *more])
