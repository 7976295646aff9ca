"""A new run: its pictures examined, its time and memory forecast, its process started."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from handful.config.presets import configure
from handful.config.text import option, title
from handful.data.checkup.examine import Checkup, check
from handful.data.checkup.findings import Finding
from handful.data.checkup.sheet import draw_crops
from handful.errors import UsageError
from handful.files import printable
from handful.records.settings import foreign_names
from handful.studio import processes
from handful.studio.likeness import data_uri
from handful.studio.places import Places
from handful.studio.processes import spelled

SHOWN_FILES = 24
"""Pictures of a finding that are shown, and of the set."""

LISTED_FILES = 2_000
"""Files of a finding that can be left out at once."""

FORECAST_SECONDS = 600

DAILY = ("preset", "size", "labels", "fit", "mirror", "minutes", "steps", "stop_when", "batch", "width", "seed")
DAILY_TOO = ("channels", "device", "keep", "augment_schedule", "projected_weight", "sample_every", "score_every")


def examine(places: Places, source: str, options: dict[str, Any]) -> dict[str, Any]:
    """Check pictures, and return the findings with pictures.

    Raises:
        UsageError: They are not there, or the size is not possible.
    """
    path = places.path(source)
    checkup = check(path, size=options.get("size", 256), fit=options.get("fit", "crop"))
    ends = list(dict.fromkeys(name for finding in checkup.findings for name in files_of(finding)[:SHOWN_FILES]))
    inspected = [file.name for file in checkup.folder.files]
    stride = max(1, len(inspected) // SHOWN_FILES)
    wanted = list(
        dict.fromkeys([*inspected[::stride][:SHOWN_FILES], *(name for name in ends if name in set(inspected))])
    )
    drawn = {printable(name): data_uri(image) for name, image in zip(wanted, draw_crops(checkup, wanted), strict=True)}
    folders = sorted({Path(name).parts[0] for name in inspected if len(Path(name).parts) > 1})
    return {
        "source": str(path),
        "name": printable(title(path) or path.name),
        "verdict": checkup.verdict,
        "trainable": checkup.trainable,
        "clean": checkup.clean,
        "images": len(inspected),
        "facts": checkup.facts(),
        "folders": [printable(folder) for folder in folders[:50]],
        "sheet": [{"name": printable(name), "picture": drawn[printable(name)]} for name in wanted[:SHOWN_FILES]],
        "findings": [finding_of(checkup, finding, drawn) for finding in checkup.findings],
    }


def finding_of(checkup: Checkup, finding: Finding, drawn: dict[str, str]) -> dict[str, Any]:
    """Return a finding with its files; ``extra`` names those that training could do without."""
    cases = [case for case in finding.cases if case.files]
    # Of copies one stays; the others are extra.
    extra = [name for case in cases for name in (case.files[1:] if len(case.files) > 1 else case.files)]
    names = [printable(name) for name in files_of(finding)[:SHOWN_FILES]]
    known = {file.name for file in checkup.folder.files}
    return {
        "severity": finding.severity,
        "what": finding.what,
        "remedy": finding.remedy,
        "files": [{"name": name, "picture": drawn.get(name)} for name in names],
        "more": max(0, len(files_of(finding)) - SHOWN_FILES),
        "extra": [printable(name) for name in extra if name in known][:LISTED_FILES],
    }


def files_of(finding: Finding) -> list[str]:
    """Return the names of all files of a finding."""
    return [name for case in finding.cases for name in case.files]


def command_options(options: dict[str, Any]) -> list[str]:
    """Check the options of a run, and spell them for its command.

    Raises:
        UsageError: One makes no sense, or is not offered here.
    """
    for name in options:
        if name not in (*DAILY, *DAILY_TOO):
            raise UsageError(f"{option(printable(name))}: is not offered here")
    preset = options.get("preset", "default")
    others = {name: value for name, value in options.items() if name != "preset" and value is not None}
    configure("-", preset, **others)
    return [option("preset"), preset, *spelled(others)]


def new_folder(places: Places, source: Path, name: str) -> Path:
    """Return the folder of a new run.

    Raises:
        UsageError: The name cannot be one, or is taken.
    """
    stem = name.strip() or title(source) or "run"
    if re.search(r"[/\\\0]", stem) or stem.startswith(".") or not stem.isprintable() or len(stem) > 100:
        raise UsageError(f"{printable(name)}: cannot be the name of a run; use letters, digits and spaces")
    folder = places.run_path(stem)
    if name.strip():
        if folder.exists() and (foreign_names(folder) or (folder / "config.json").exists()):
            raise UsageError(f"{printable(name)}: there is a run of that name already; choose another")
        return folder
    number = 2
    while folder.exists():
        folder, number = places.run_path(f"{stem} {number}"), number + 1
    return folder


def forecast(source: Path, folder: Path, options: list[str]) -> dict[str, Any]:
    """Take a few steps of a run in a process of its own, and return what it will take.

    Raises:
        UsageError: The run would not start.
    """
    command = [*processes.COMMAND, "train", str(source), "--run", str(folder), *options]
    try:
        done = subprocess.run(
            [*command, "--forecast", "--json"], capture_output=True, text=True, timeout=FORECAST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError("a few steps take longer than ten minutes here; choose a smaller size") from error
    if done.returncode != 0:
        words = [line for line in done.stderr.splitlines() if line.startswith("handful: ")]
        raise UsageError(words[-1].removeprefix("handful: ") if words else done.stderr[-500:])
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found
