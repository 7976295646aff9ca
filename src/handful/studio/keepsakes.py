"""What a user takes along: films, grids and latent files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from handful.errors import UsageError
from handful.images.grid import grid, write_png
from handful.images.video import write_video
from handful.progress import advance
from handful.sampling.latents import load_latents
from handful.studio.engine import Engine
from handful.studio.recipe import MAX_STOPS, Recipe, Stroll, names_of, read_recipe

FPS = 30

MAX_GRID_PIXELS = 200_000_000
"""Of a grid of pictures; that is 600 MB while it is written."""


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
    engine.measure_for(*recipes)
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


def film_name() -> str:
    """Return the name of a film: an MP4, or a WebP where the package av is missing."""
    return "walk.mp4" if find_spec("av") is not None else "walk.webp"


def write_film(path: Path, engine: Engine, stops: Sequence[Recipe], seconds: float, loop: bool) -> None:
    """Draw a walk into a film, so many seconds from picture to picture."""
    engine.measure_for(*stops)
    visited = (*stops, stops[0]) if loop else tuple(stops)
    frames = max(1, round(seconds * FPS))
    moments = [step / frames for step in range((len(visited) - 1) * frames + (not loop))]

    def pictures() -> Iterator[Image.Image]:
        for done, moment in enumerate(moments):
            yield engine.thread.submit(engine.image, Stroll(visited, moment)).result()
            advance("Drawing the film", done + 1, len(moments))

    write_video(path, pictures(), float(FPS))


def check_grid(engine: Engine, count: int) -> None:
    """Check that a grid of so many pictures can be made.

    Raises:
        UsageError: It would be too large.
    """
    height, width = engine.model.config.shape
    if count * height * width > MAX_GRID_PIXELS:
        raise UsageError(f"{count} pictures of {width} x {height} px are too many for one grid; choose fewer")


def write_grid(path: Path, engine: Engine, recipes: Sequence[Recipe]) -> None:
    """Draw pictures side by side at full size, as one PNG file."""
    engine.measure_for(*recipes)
    images = []
    for done, recipe in enumerate(recipes):
        images.append(engine.thread.submit(engine.draw, recipe).result())
        advance("Drawing the grid", done + 1, len(recipes))
    write_png(path, grid(images))
