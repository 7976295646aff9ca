"""Where samples come from: a trained generator, or a folder of images that any tool wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast, final

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from handful.config.choices import Channels, Fit
from handful.config.geometry import Geometry
from handful.config.sizes import Shape, spelled
from handful.config.text import is_photos
from handful.data.classes import class_folders
from handful.data.dataset import decode_files
from handful.data.order import evenly_spaced
from handful.data.photos import Photos, SkippedFile
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.files import printable
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.model_files import find_weights
from handful.sampling.truncation import check_truncation

BATCH = 16
"""Images in memory at once."""


@final
@dataclass(frozen=True)
class Source:
    """A set of samples that can be gone through, a batch at a time."""

    label: str
    count: int
    channels: Channels
    shape: Shape
    """Height and width, in pixels."""
    stream: Callable[[], Iterator[UInt8[Tensor, "b c h w"]]]
    """Gives all images in order."""
    name: Callable[[int], str]
    """Says which image has a number."""
    model: Model | None
    """The generator behind the samples, if there is one."""
    class_of: Callable[[int], str | None]
    """Says of which class an image is to be; None where there are no classes."""
    truncation: float = 1.0
    """With which a generator draws; see ``Model.sample``."""


def open_source(path: Path, most: int, shape: Shape | None, fit: Fit, device: str, truncation: float = 1.0) -> Source:
    """Open a run folder, a model folder, a model file or a folder or archive of images.

    Args:
        path: What to open.
        most: Samples to take; a folder of images may have fewer.
        shape: Height and width to bring the images of a folder to; their own if they all agree.
        fit: How an image of a folder gets these proportions.
        device: Where a generator computes.
        truncation: With which it draws.

    Raises:
        UsageError: if it is none of these, or its images do not do, or a folder of them is to be truncated.
    """
    if not is_photos(path) and (path.is_file() or find_weights(path) is not None):
        check_truncation(truncation)
        model = load(path, device)
        if shape not in (None, model.config.shape):
            own = spelled(model.config.shape)
            raise UsageError(f"--size {spelled(shape)}: {path} draws images of {own} px; leave --size out")
        return drawn(model, str(path), range(most), truncation=truncation)
    if truncation != 1:
        raise UsageError(f"--truncation {truncation:g}: {path} is a folder of images, not a generator; leave it out")
    return taken(path, most, shape, fit)


def drawn(
    model: Model, label: str, seeds: Sequence[int], classes: Sequence[str] | None = None, truncation: float = 1.0
) -> Source:
    """Take the images of a generator, one a seed, of these classes, or of all its classes in turn."""
    if classes is None and (numbers := model.labels(seeds)) is not None:
        classes = [model.config.classes[number] for number in numbers.tolist()]
    return Source(
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


def taken(folder: Path, most: int, shape: Shape | None, fit: Fit) -> Source:
    """Take the images of a folder, in the order of their names; evenly spread ones if there are more than ``most``.

    As RGB, over white where they are transparent: so are scores published.

    Raises:
        UsageError: if there are none, or they differ in size and no size was given.
    """
    photos = open_photos(folder)
    if not photos.files:
        raise UsageError(f"{printable(folder)}: holds neither a trained generator nor images that can be scored")
    files = evenly_spaced(photos.files, most)
    if shape is None:
        shape = common_size(photos, files)
    geometry = Geometry(shape, 3, fit)

    def stream() -> Iterator[UInt8[Tensor, "b c h w"]]:
        for start in range(0, len(files), BATCH):
            chunk = files[start : start + BATCH]
            images, results = decode_files(photos, chunk, geometry)
            for result in results:
                if isinstance(result, SkippedFile):
                    raise UsageError(
                        f"{folder}: {result}; remove or repair it, since a score of the rest would mislead"
                    )
            yield images

    kinds = class_folders([file.as_posix() for file in files])
    return Source(
        label=printable(folder),
        count=len(files),
        channels=3,
        shape=shape,
        stream=stream,
        name=lambda index: files[index].as_posix(),
        model=None,
        class_of=lambda index: kinds[index],
    )


def common_size(photos: Photos, files: Sequence[Path]) -> Shape:
    """Read the size that all images have, without decoding them.

    Raises:
        UsageError: if they differ, or one cannot be read.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    examples: dict[tuple[int, int], Path] = {}
    for file in files:
        try:
            with photos.open(file) as opened, Image.open(cast(IO[bytes], opened)) as image:
                sizes[image.size] += 1
                examples.setdefault(image.size, file)
        except Exception as error:  # As in decoding: damaged data makes a decoder fail in any way.
            raise UsageError(
                f"{photos.label}, {printable(file)}: cannot be read as an image ({error}); remove it"
            ) from error
    if len(sizes) == 1:
        ((width, height),) = sizes
        return height, width
    found = ", ".join(
        f"{count} of {width} x {height} (such as {printable(examples[width, height])})"
        for (width, height), count in sizes.most_common(3)
    )
    raise UsageError(f"{photos.label}: images must be of one size, but there are {found}; give --size")
