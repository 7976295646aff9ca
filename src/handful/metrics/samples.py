"""Where samples come from: a trained generator, or a folder of images that any tool made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, final

from jaxtyping import UInt8
from torch import Tensor

from handful.config.choices import Channels, Fit
from handful.config.geometry import Geometry
from handful.config.sizes import Shape, spelled
from handful.config.text import HUB, is_photos
from handful.data.classes import class_folders
from handful.data.dataset import decode_files, map_in_threads
from handful.data.grey_bits import measure_bits
from handful.data.order import evenly_spaced, natural_key
from handful.data.photos import Photos, SkippedFile
from handful.data.reasons import skipped
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.files import printable
from handful.images.decode import upright_size
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.model_files import find_weights
from handful.sampling.truncation import check_truncation

BATCH = 16
"""Images in memory at once."""

NAMED_FILES = 20
"""Files that a message names before it counts the rest."""


@final
@dataclass(frozen=True)
class Samples:
    """A set of images to score, read or drawn batch by batch."""

    label: str
    count: int
    channels: Channels
    shape: Shape
    """Height and width, in pixels."""
    stream: Callable[[], Iterator[UInt8[Tensor, "b c h w"]]]
    """Returns all images in order."""
    name: Callable[[int], str]
    """Returns the name of the image with an index."""
    model: Model | None
    """The generator that draws the samples; None for a folder."""
    class_of: Callable[[int], str | None]
    """Returns the class of the image with an index; None without classes."""
    truncation: float = 1.0
    """For a generator; see ``Model.sample``."""


def open_samples(path: Path, most: int, shape: Shape | None, fit: Fit, device: str, truncation: float = 1.0) -> Samples:
    """Open a run folder, a model folder, a model file, or a folder or archive of images.

    A name on the Hub is that of a model if there is one, else that of a dataset.

    Args:
        path: What to open.
        most: Number of samples; a folder may hold fewer.
        shape: Height and width to which the images of a folder are brought. Default: their own, if all agree.
        fit: How an image of a folder is brought to these proportions.
        device: Where a generator computes.
        truncation: For a generator.

    Raises:
        UsageError: if it is none of these, its images cannot be used, or truncation is asked of a folder.
    """
    is_hub = str(path).startswith(HUB)
    if (is_hub or not is_photos(path)) and (path.is_file() or find_weights(path) is not None):
        check_truncation(truncation)
        model = load(path, device)
        if shape not in (None, model.config.shape):
            drawn = spelled(model.config.shape)
            raise UsageError(f"--size {spelled(shape)}: {path} draws images of {drawn} px; leave --size out")
        return from_model(model, str(path), range(most), truncation=truncation)
    if truncation != 1:
        raise UsageError(f"--truncation {truncation:g}: {path} is a folder of images, not a generator; leave it out")
    return from_folder(path, most, shape, fit)


def from_model(
    model: Model, label: str, seeds: Sequence[int], classes: Sequence[str] | None = None, truncation: float = 1.0
) -> Samples:
    """Return the images of a generator, one for each seed, of these classes or of all its classes in turn."""
    if classes is None and (numbers := model.labels(seeds)) is not None:
        classes = [model.config.classes[number] for number in numbers.tolist()]
    return Samples(
        label=label,
        count=len(seeds),
        channels=model.config.channels,
        shape=model.config.shape,
        stream=lambda: model.stream(seeds, BATCH, classes, truncation),
        name=lambda index: f"seed {seeds[index]}" + (f", {classes[index]}" if classes else ""),
        model=model,
        class_of=lambda index: classes[index] if classes else None,
        truncation=truncation,
    )


def from_folder(folder: Path, most: int, shape: Shape | None, fit: Fit) -> Samples:
    """Return the images of a folder, sorted by name; evenly spaced ones if there are more than ``most``.

    They are read as RGB, transparent ones over white, as published scores are.

    Raises:
        UsageError: if there are none, or they differ in size and no shape was given.
    """
    photos = open_photos(folder)
    if not photos.files:
        raise UsageError(f"{printable(folder)}: has neither a trained generator nor images in it; check the path")
    files = evenly_spaced(photos.files, most)
    geometry = Geometry(shape if shape is not None else common_size(photos, files), 3, fit)
    classes = class_folders([file.as_posix() for file in files])
    bits = measure_bits(photos, files)
    return Samples(
        label=printable(folder),
        count=len(files),
        channels=3,
        shape=geometry.shape,
        stream=lambda: read(photos, files, geometry, bits),
        name=lambda index: files[index].as_posix(),
        model=None,
        class_of=lambda index: classes[index],
    )


def read(photos: Photos, files: Sequence[Path], geometry: Geometry, bits: int) -> Iterator[UInt8[Tensor, "b 3 h w"]]:
    """Decode files, a batch at a time.

    Raises:
        UsageError: if one cannot be decoded; the message has all such files.
    """
    for start in range(0, len(files), BATCH):
        images, results = decode_files(photos, files[start : start + BATCH], geometry, bits=bits)
        bad = [result for result in results if isinstance(result, SkippedFile)]
        if bad:
            others = decode_files(photos, files[start + BATCH :], geometry, "looking for more bad images", bits=bits)[1]
            refuse(photos, bad + [result for result in others if isinstance(result, SkippedFile)])
        yield images


def refuse(photos: Photos, bad: Sequence[SkippedFile]) -> NoReturn:
    """Refuse files that cannot be read.

    Raises:
        UsageError: naming them.
    """
    bad = sorted(bad, key=lambda file: natural_key(file.name))
    named = "".join(f"\n  {file}" for file in bad[:NAMED_FILES])
    more = f"\n  and {len(bad) - NAMED_FILES} more" if len(bad) > NAMED_FILES else ""
    count = f"{len(bad)} images cannot" if len(bad) > 1 else "1 image cannot"
    raise UsageError(
        f"{photos.label}: {count} be read; remove or repair what follows, since scores without it would be"
        f" misleading:{named}{more}"
    )


def common_size(photos: Photos, files: Sequence[Path]) -> Shape:
    """Return the height and width that all images have once they are upright, without decoding them.

    Raises:
        UsageError: if they differ, or some cannot be read.
    """
    results = map_in_threads(lambda file: size_of(photos, file), files)
    bad = [result for result in results if isinstance(result, SkippedFile)]
    if bad:
        refuse(photos, bad)
    examples = dict(reversed(list(zip(results, files, strict=True))))
    sizes = Counter(size for size in results if not isinstance(size, SkippedFile))
    if len(sizes) == 1:
        ((width, height),) = sizes
        return height, width
    counts = ", ".join(
        f"{count} of {width} x {height} (such as {printable(examples[width, height])})"
        for (width, height), count in sizes.most_common(3)
    )
    raise UsageError(f"{photos.label}: images must all have one size, but there are {counts}; give --size")


def size_of(photos: Photos, file: Path) -> tuple[int, int] | SkippedFile:
    """Return the width and height of an upright image."""
    try:
        with photos.open(file) as opened:
            return upright_size(opened)
    except Exception as error:  # As in decoding: damaged data makes a decoder fail in any way.
        return skipped(file, error)
