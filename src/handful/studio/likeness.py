"""Pictures and photos of the user's: what a picture resembles among the training images, what resembles a photo."""

from __future__ import annotations

import base64
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from handful.config.geometry import Geometry
from handful.errors import UsageError
from handful.explore.inversion import read_photos
from handful.explore.likeness import load_distance
from handful.explore.neighbours import Search
from handful.explore.project import project
from handful.files import printable
from handful.images.grid import over_checkerboard, to_image
from handful.metrics.training_images import load_images
from handful.progress import advance
from handful.records.settings import fit_of_run
from handful.studio.engine import Engine
from handful.studio.places import Places
from handful.studio.recipe import Recipe
from handful.studio.samples import png

SHOWN = 4
"""Training images beside a picture."""

PHOTO = "photo"


def training_images(places: Places, engine: Engine) -> Path | None:
    """Return where the training images of a model lie; None if that is not known, not there or not allowed."""
    run = engine.model.run
    if run is None:
        return None
    try:
        return places.training_images(run)
    except UsageError:
        return None


def geometry_of(engine: Engine) -> Geometry:
    """Return the size, channels and fit of a model's pictures."""
    config = engine.model.config
    return Geometry(config.shape, config.channels, fit_of_run(engine.source))


def nearest(places: Places, engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return the training images nearest to a picture, and whether it is a copy.

    Raises:
        UsageError: The training images are gone.
    """
    images = training_images(places, engine)
    if images is None:
        raise UsageError("the training images of this model are not here, or not in an allowed folder")
    engine.measure_for(recipe)
    engine.choose_threads()
    picture = engine.thread.submit(engine.draw, recipe).result()
    training = load_images(images, geometry_of(engine))
    search = Search(training, min(SHOWN, len(training.images)), None)
    search.take(picture[None], str)
    row = search.rows[0]
    near = [
        {
            "name": printable(found.name),
            "ratio": round(found.ratio, 3),
            "mirrored": found.mirrored,
            "picture": data_uri(
                to_image(training.images[found.index].flip(-1) if found.mirrored else training.images[found.index])
            ),
        }
        for found in row.neighbours
    ]
    return {"copy": row.copy, "composite": row.composite, "neighbours": near}


def project_photo(engine: Engine, content: bytes, name: str) -> dict[str, Any]:
    """Find the latents whose picture is nearest to a photo, and keep them.

    Raises:
        UsageError: The file is no picture that can be read.
    """
    stem = Path(printable(name)).stem[:80] or PHOTO
    engine.choose_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PHOTO
        path.write_bytes(content)
        try:
            photo = read_photos([path], geometry_of(engine))[0]
        except UsageError as error:
            raise UsageError(error.on_command_line.replace(str(path), printable(name))) from error
    perceptual = load_distance("auto", None, engine.model.device)
    found = project(engine.model, photo.image, stem, perceptual, progress=partial(advance, "Looking for your photo"))
    return {
        "name": engine.keep(found.latents)[0],
        "photo": data_uri(to_image(found.target)),
        "measured": found.stages[-1].measured,
    }


def data_uri(image: Image.Image) -> str:
    """Return an image as the address of its own bytes; a transparent one over a checkerboard."""
    return f"data:image/png;base64,{base64.b64encode(png(over_checkerboard(image))).decode()}"
