"""The settings of a run, in ``config.json``, and whether it can be resumed with other ones. Imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from handful.config.choices import Fit
from handful.config.text import option
from handful.config.train import MAY_CHANGE, TrainConfig
from handful.errors import UsageError
from handful.files import parse_json, printable, write_json
from handful.records.layout import ABOUT_CACHE, CACHE, CACHED_IMAGES, CHECKPOINTS, CONFIG

NAMED_FILES = 4
"""Files that a message names at most."""


@dataclass(frozen=True)
class Settings:
    """The contents of config.json: everything that a run's result depends on."""

    config: TrainConfig
    fingerprint: str
    images: int
    hardware: str = ""
    """The machine that trained last, in words."""
    start: dict[str, Any] | None = None
    """What was taken over with ``--from``; see ``training.transfer``."""


def read_settings(folder: Path) -> Settings | None:
    """Read the config.json of a run folder; None if there is none.

    Raises:
        UsageError: if the file is not one of ours.
    """
    path = folder / CONFIG
    if not path.exists():
        return None
    try:
        saved = parse_json(path.read_bytes())
        options = TrainConfig.from_file(saved["options"], path)
        values = saved["fingerprint"], saved["images"], saved.get("hardware", ""), saved.get("start")
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise UsageError(
            f"{printable(path)}: does not hold the settings of a run ({reason}); choose another --run"
        ) from error
    if not all(map(isinstance, values, (str, int, str, dict | None))):
        raise UsageError(f"{printable(path)}: its fingerprint, images, hardware or start has the wrong type")
    return Settings(options, *values)


def read_own_settings(folder: Path) -> Settings | None:
    """Read the config.json of a folder to train in; None for one that no run has begun in.

    Raises:
        UsageError: as ``read_settings``; or the folder holds files that no run has written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--run {printable(folder)}: is a file; choose another --run")
    settings = read_settings(folder)
    foreign = [] if settings is not None else foreign_names(folder)
    if foreign:
        named = ", ".join(map(printable, foreign[:NAMED_FILES])) + (", ..." if len(foreign) > NAMED_FILES else "")
        lost = f"; if it was a run, its {CONFIG} is lost" if (folder / CHECKPOINTS).is_dir() else ""
        raise UsageError(
            f"--run {printable(folder)}: is not empty and holds no run ({named}){lost}; choose another --run"
        )
    return settings


def foreign_names(folder: Path) -> list[str]:
    """Return what a folder without config.json holds that a run cannot have left there.

    Hidden files are passed over, as file managers write some. A run that dies early may leave a cache.
    """
    names = {path.name for path in folder.glob("[!.]*")} - {"lost+found"}
    cached = {path.name for path in (folder / CACHE).glob("[!.]*")}
    return sorted(names - {CACHE} if cached <= {CACHED_IMAGES, ABOUT_CACHE} else names)


def fit_of_run(source: Path) -> Fit:
    """Return how the run that ``source`` is, or lies in, fitted its images; ``crop`` if it is no run."""
    for folder in (source, source.parent):
        try:
            settings = read_settings(folder)
        except UsageError:
            continue  # the config.json of a model folder, or of another tool
        if settings is not None:
            return settings.config.fit
    return "crop"


def settle(settings: Settings, saved: Settings | None) -> None:
    """Write config.json, unless the run was trained on other images.

    Raises:
        UsageError: if it was.
    """
    folder = settings.config.folder
    if saved is not None and saved.fingerprint != settings.fingerprint:
        raise UsageError(
            f"--run {folder}: was trained on other images than {settings.config.images} holds now "
            f"({saved.images} then, {settings.images} now; a file may have been changed or renamed). "
            "Give the images it was trained on, or another --run"
        )
    value = {"handful": version("handful"), "fingerprint": settings.fingerprint, "images": settings.images}
    value |= {"hardware": settings.hardware, "start": settings.start}
    write_json(folder / CONFIG, value | {"options": settings.config.to_json()})


def reconcile(asked: TrainConfig, saved: TrainConfig) -> TrainConfig:
    """Return the options of a saved run, with those taken from ``asked`` that may change.

    Raises:
        UsageError: if another option was changed; ``auto`` counts as unchanged.
    """
    clashes = []
    for name, old in vars(saved).items():
        new = getattr(asked, name)
        if name not in MAY_CHANGE and new not in (old, "auto"):
            clashes.append(f"{option(name)} was {spelled(old)} and is now {spelled(new)}")
    if clashes:
        raise UsageError(
            f"--run {asked.folder}: cannot be resumed with other options: {'; '.join(clashes)}. "
            "Leave them as they were, or choose another --run"
        )
    return dataclasses.replace(saved, **{name: getattr(asked, name) for name in MAY_CHANGE})


def spelled(value: object) -> str:
    """Return an option's value as the command line spells it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
