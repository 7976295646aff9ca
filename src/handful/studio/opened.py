"""Model files that were dropped on the studio: each lies in a folder of its own and is explored like a run's model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from handful.errors import UsageError
from handful.files import printable
from handful.records import layout
from handful.studio.library import age
from handful.studio.places import Places, inside
from handful.studio.uploads import Upload, free_folder, safe_name, store

MODELS = ".models"
"""Folder of the models that were dropped, below that of the runs, where no run is looked for."""

ENDING = ".safetensors"

MAX_BYTES = 4_000_000_000


def is_model(path: Path) -> bool:
    """Return whether a path looks like a model: a weight file, or a folder of a model or run with one."""
    if path.suffix.lower() == ENDING:
        return path.is_file()
    return any((path / place / layout.WEIGHTS).is_file() for place in ("", layout.MODEL, layout.BEST))


async def take_model(places: Places, name: str, upload: Upload) -> Path:
    """Store a model file that was dropped, and return its folder.

    Raises:
        UsageError: It is no model file by its name, or too large.
        StorageError: It cannot be written.
    """
    stem = Path(safe_name(name, {ENDING}, "model", f"is no model of handful by its name; those end in {ENDING}")).stem
    folder = free_folder(places.runs / MODELS, stem, "model")
    try:
        await store(folder / layout.WEIGHTS, upload, MAX_BYTES)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def list_models(places: Places) -> list[dict[str, Any]]:
    """Return the models that were dropped, the newest first."""
    folder = places.runs / MODELS
    children = folder.iterdir() if folder.is_dir() else ()
    models = [child for child in children if inside(places.runs, child / layout.WEIGHTS)]
    described = [
        {"name": printable(child.name), "source": places.name_of(child), "age": age(child / layout.WEIGHTS)}
        for child in models
    ]
    return sorted(described, key=lambda model: float(model["age"]))


def delete_model(places: Places, source: str) -> None:
    """Delete a model that was dropped.

    Raises:
        UsageError: There is none.
    """
    path = places.path(source)
    if path.parent != places.runs / MODELS:
        raise UsageError(f"{printable(source)}: is no model that was dropped here; it may have been deleted already")
    shutil.rmtree(path)
