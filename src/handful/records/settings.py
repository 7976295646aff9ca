"""What a run folder says about its run, and whether it may go on with what is asked now. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from handful.config.text import option
from handful.config.train import MAY_CHANGE, TrainConfig
from handful.errors import UsageError
from handful.files import write_json
from handful.records.layout import CONFIG


@dataclass(frozen=True)
class Settings:
    """What config.json holds: everything that a run's result depends on."""

    config: TrainConfig
    fingerprint: str
    images: int
    hardware: str = ""
    """What the run was last trained on, in words."""
    start: dict[str, Any] | None = None
    """What it took over from ``--from``, if it did; see ``start``."""


def read_settings(folder: Path) -> Settings | None:
    """Read the config.json of a run folder; none if nobody has trained there.

    Raises:
        UsageError: if the file is not one of ours.
    """
    path = folder / CONFIG
    if not path.exists():
        return None
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        options = TrainConfig.from_json(saved["options"])
        words = saved.get("hardware", ""), saved.get("start")
        return Settings(options, saved["fingerprint"], saved["images"], *words)
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not the settings of a run ({error!r}); choose another --run") from error


def settle(settings: Settings, saved: Settings | None) -> None:
    """Write config.json, unless the run folder belongs to other images.

    Raises:
        UsageError: if it does.
    """
    folder = settings.config.folder
    if saved is not None and saved.fingerprint != settings.fingerprint:
        raise UsageError(
            f"--run {folder}: was trained on other images than {settings.config.images} now holds ("
            f"{saved.images} then, {settings.images} now, and the same number can hide a changed or renamed file); "
            "give the images it was trained on, or another --run"
        )
    value = {"handful": version("handful"), "fingerprint": settings.fingerprint, "images": settings.images}
    value |= {"hardware": settings.hardware, "start": settings.start}
    write_json(folder / CONFIG, value | {"options": settings.config.to_json()})


def reconcile(asked: TrainConfig, saved: TrainConfig) -> TrainConfig:
    """Go on with a run's own options, taking over those that may change; what is automatic stays as it was chosen.

    Raises:
        UsageError: if an option was given that a resumed run cannot honour.
    """
    clashes = []
    for name, old in vars(saved).items():
        new = getattr(asked, name)
        if name not in MAY_CHANGE and new not in (old, "auto"):
            clashes.append(f"{option(name)} was {spelled(old)} and is now {spelled(new)}")
    if clashes:
        raise UsageError(
            f"--run {asked.folder}: cannot go on with other options: {'; '.join(clashes)}. "
            "Leave them as they were, or choose another --run"
        )
    return dataclasses.replace(saved, **{name: getattr(asked, name) for name in MAY_CHANGE})


def spelled(value: object) -> str:
    """Write an option's value as the command line has it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
