"""Options of a run from a file: TOML, the config.json of a run, or a variant of an experiment table."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from handful.config.text import nearest
from handful.config.train import kinds
from handful.errors import UsageError


def read_options(text: str) -> dict[str, Any]:
    """Read ``FILE``, or ``TABLE.toml:VARIANT``, into options by name; ``preset`` and ``recipe`` are among them.

    A config.json also names images and run folder of its run, which are left out.

    Raises:
        UsageError: if there is no such file or variant, it cannot be read, or an option is unknown.
    """
    path, variant = Path(text), ""
    if not path.exists() and ":" in path.name:
        start, _, variant = text.rpartition(":")
        path = Path(start)
    try:
        words = path.read_text(encoding="utf-8")
        read = json.loads(words)["options"] if path.suffix == ".json" else tomllib.loads(words)
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({error.strerror}); give a TOML file") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--config {path}: is neither TOML nor the config.json of a run ({error})") from error
    if "variants" in read:
        if variant not in read["variants"]:
            known = ", ".join(read["variants"])
            raise UsageError(f"--config {text}: the table has several variants; add one, as in {path}:NAME: {known}")
        read = read.get("common", {}) | read["variants"][variant]
    options = {name.replace("-", "_"): value for name, value in read.items() if name not in ("images", "run")}
    known_names = {*kinds(), "recipe"}
    for name in options:
        if name not in known_names:
            raise UsageError(f"--config {path}: unknown option {name}{nearest(name, known_names)}")
    return options
