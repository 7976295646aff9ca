"""Project photos from files into latent files: the command ``project``."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from handful.config.choices import DistanceName
from handful.config.geometry import Geometry
from handful.config.text import is_photos
from handful.data.dataset import decode_files
from handful.data.photos import Photos, SkippedFile
from handful.data.sources import open_photos
from handful.errors import UsageError
from handful.explore.likeness import load_distance
from handful.explore.project import Effort, Projection, project
from handful.files import printable, require_folder, write_json
from handful.images.grid import over_checkerboard, side_by_side, to_image, write_png
from handful.images.sheet import MAX_SHEET_PIXELS, Cell, sheet, shown_size
from handful.images.video import write_video
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Progress, advance, shown_on
from handful.records.settings import fit_of_run
from handful.sampling.load import load
from handful.sampling.model import Model

SHEET = "projections"
"""Name of the sheet of all photos and of the JSON file of all distances."""

LARGEST_SHOWN = 256
"""Pixels along a side of a picture on the sheet, at most."""

FPS = 12.0
"""Frames per second of a film."""

LAST_FRAME_REPEATS = 24
"""How often a film repeats its last frame."""

TITLES = {"latent": "latent", "noise": "and noise", "maps": "and lowest map"}


@final
@dataclass(frozen=True)
class Photo:
    """A photo in the size and channels of the model's pictures."""

    name: str
    """The file's name without folder and suffix; unique."""
    image: UInt8[Tensor, "c h w"]


def write_projections(
    source: Path | str,
    photos: Sequence[Path | str],
    out: Path | str = "projected",
    effort: Effort | None = None,
    film: bool = False,
    distance: DistanceName = "auto",
    class_name: str | None = None,
    weights: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[Projection]:
    """Project photos, and write for each a latent file and its picture, and one sheet and the figures of all.

    The files of a photo are written as soon as it is done: ``NAME.safetensors`` for the seeds of other commands,
    ``NAME.png`` and, with ``film``, ``NAME.webp``. Existing ones are replaced.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        photos: Picture files, or folders of them.
        out: Folder for ``NAME.safetensors`` and ``NAME.png`` of each photo, and for a sheet and the figures of
            all.
        effort: Steps and starting points of the search.
        film: Also write ``NAME.webp``: the search, beside the photo.
        distance: What the search minimises: lpips (with pixels), pixels, or auto: lpips if its weights are on
            this machine.
        class_name: Class to search, for a model trained with labels. Default: that of the nearest candidates.
        weights: Folder with weight files of LPIPS. Default: $HANDFUL_WEIGHTS, then torch's cache.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: if there is no model, a photo cannot be read, or nothing can be written to ``out``.
        WeightsError: if LPIPS was asked for and cannot be had.
    """
    out = Path(out)
    require_folder(out)
    with shown_on(progress):
        model = load(source, device)
        geometry = Geometry(model.config.shape, model.config.channels, fit_of_run(Path(source)))
        targets = read_photos([Path(photo) for photo in photos], geometry)
        perceptual = load_distance(distance, weights, model.device)
        done = []
        for projection in project_all(model, targets, perceptual, effort or Effort(), class_name, film):
            write_one(out, projection, model)
            done.append(dataclasses.replace(projection, film=[]))
    write_png(out / f"{SHEET}.png", sheet_of(done))
    write_json(out / f"{SHEET}.json", {"photos": [figures(projection) for projection in done]})
    return done


def project_all(
    model: Model,
    photos: Sequence[Photo],
    perceptual: Perceptual | None,
    effort: Effort,
    class_name: str | None = None,
    film: bool = False,
) -> Iterator[Projection]:
    """Project photos one after the other, and show the progress of all together."""
    for index, photo in enumerate(photos):

        def progress(done: int, total: int, before: int = index) -> None:
            advance("projecting", before * total + done, len(photos) * total)

        yield project(model, photo.image, photo.name, perceptual, effort, class_name, film, progress)


def read_photos(paths: Sequence[Path], geometry: Geometry) -> list[Photo]:
    """Load picture files, and all pictures of folders and archives, in one geometry.

    Raises:
        UsageError: if there are none, or one cannot be read.
    """
    loaded: dict[str, Photo] = {}
    for path in paths:
        photos = open_file(path) if path.is_file() and not is_photos(path) else open_photos(path)
        if not photos.files:
            raise UsageError(f"{photos.label} holds no pictures; give some")
        images, results = decode_files(photos, photos.files, geometry)
        for result in results:
            if isinstance(result, SkippedFile):
                raise UsageError(f"{path}: {result}; leave it out or repair it")
        for file, image in zip(photos.files, images, strict=True):
            stem = printable(file.stem).replace(",", "_")  # lists of latent files have commas between them
            names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
            name = next(name for name in names if name not in loaded and name != SHEET)
            loaded[name] = Photo(name, image)
    if not loaded:
        raise UsageError("no photos were given: name picture files or folders")
    return list(loaded.values())


def open_file(path: Path) -> Photos:
    """Open one picture file as a source of pictures."""
    return Photos(printable(path.parent), lambda file: (path.parent / file).open("rb"), str, [Path(path.name)])


def write_one(out: Path, projection: Projection, model: Model) -> None:
    """Write the files of one photo."""
    projection.latents.save(out / f"{projection.name}.safetensors", model)
    write_png(out / f"{projection.name}.png", to_image(model.sample(projection.latents)[0]))
    if projection.film:
        target = over_checkerboard(to_image(projection.target))
        frames = [side_by_side(target, over_checkerboard(to_image(image))) for image in projection.film]
        write_video(out / f"{projection.name}.webp", iter([*frames, *frames[-1:] * LAST_FRAME_REPEATS]), FPS)


def figures(projection: Projection) -> dict[str, Any]:
    """Return the distances of a photo's stages as JSON."""
    stages = {stage.name: {"psnr": stage.psnr, "lpips": stage.lpips} for stage in projection.stages}
    return {"photo": projection.name, "stages": stages}


def sheet_of(projections: Sequence[Projection]) -> Image.Image:
    """Lay out photos in rows, each followed by its stages, up to the largest sheet."""
    height, width = projections[0].target.shape[1:]
    area = math.prod(shown_size((width, height), LARGEST_SHOWN))
    most = MAX_SHEET_PIXELS // (area * (1 + len(projections[0].stages)))
    rows = []
    for projection in projections[:most]:
        cells = [Cell(to_image(stage.picture), (TITLES[stage.name], stage.measured)) for stage in projection.stages]
        rows.append([Cell(to_image(projection.target), (projection.name,)), *cells])
    return sheet(rows, (width, height), LARGEST_SHOWN)
