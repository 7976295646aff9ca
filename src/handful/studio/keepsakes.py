"""What a user takes along: films and latent files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from handful.errors import UsageError
from handful.images.video import write_video
from handful.progress import advance
from handful.sampling.latents import load_latents
from handful.studio.engine import Engine
from handful.studio.recipe import MAX_STOPS, Recipe, Stroll, names_of, read_recipe
from handful.studio.tasks import File

FPS = 30

KINDS = {".mp4": "video/mp4", ".webp": "image/webp"}


def read_recipes(value: Any) -> list[Recipe]:  # noqa: ANN401
    """Read a list of recipes.

    Raises:
        UsageError: It is none, or too long.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_STOPS:
        raise UsageError(f"pictures: must be from 1 to {MAX_STOPS}")
    return [read_recipe(item) for item in value]


def latent_file(engine: Engine, recipes: Sequence[Recipe]) -> bytes:
    """Return the latent file of some pictures."""
    if any(recipe.moves for recipe in recipes):
        engine.measure()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "latents.safetensors"
        engine.stops(recipes, names_of(recipes)).save(path, engine.model)
        return path.read_bytes()


def take_latents(engine: Engine, content: bytes) -> list[str]:
    """Keep the latents of a file, and return their names.

    Raises:
        UsageError: It is no latent file, or one of another model.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "latents.safetensors"
        path.write_bytes(content)
        try:
            return engine.keep(load_latents(path, engine.model))
        except UsageError as error:
            raise UsageError(error.on_command_line.replace(str(path), "this file")) from error


def film(engine: Engine, stops: Sequence[Recipe], seconds: float, loop: bool) -> File:
    """Draw a walk, so many seconds from picture to picture, as MP4, or as WebP where the package av is missing."""
    if any(engine.needs_measuring(stop) for stop in stops):
        engine.measure()
    path = (*stops, stops[0]) if loop else tuple(stops)
    frames = max(1, round(seconds * FPS))
    moments = [step / frames for step in range((len(path) - 1) * frames + (not loop))]
    ending = ".mp4" if find_spec("av") is not None else ".webp"

    def pictures() -> Iterator[Image.Image]:
        for done, moment in enumerate(moments):
            yield engine.thread.submit(engine.image, Stroll(path, moment)).result()
            advance("Drawing the film", done + 1, len(moments))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"walk{ending}"
        write_video(file, pictures(), float(FPS))
        return File(file.name, KINDS[ending], file.read_bytes())
