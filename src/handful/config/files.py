"""Options of a run from a file: TOML, the config.json of a run, or a variant of an experiment table."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from handful.config.checks import check_value
from handful.config.text import nearest
from handful.config.train import PATHS, kinds
from handful.errors import UsageError
from handful.files import parse_json, printable


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
    read = read_table(path)
    if "variants" in read:
        variants, common = read["variants"], read.get("common", {})
        if not isinstance(variants, dict) or not isinstance(common, dict) or not all(map(is_table, variants.values())):
            raise UsageError(f"--config {path}: variants and common must be tables of options")
        if variant not in variants:
            known = ", ".join(map(printable, variants))
            raise UsageError(f"--config {text}: the table has several variants; add one, as in {path}:NAME: {known}")
        read = common | variants[variant]
    options = {name.replace("-", "_"): value for name, value in read.items() if name not in ("images", "run")}
    known_names = {*kinds(), "recipe"}
    for name, value in options.items():
        if name not in known_names:
            raise UsageError(f"--config {path}: unknown option {printable(name)}{nearest(name, known_names)}")
        if name in kinds() and name not in PATHS:
            try:
                check_value(name, tuple(value) if isinstance(value, list) else value, kinds()[name])
            except UsageError as error:
                raise UsageError(f"--config {path}: {error}") from error
    return options


def is_table(value: object) -> bool:
    """Return whether a value holds options by name."""
    return isinstance(value, dict)


def read_table(path: Path) -> dict[str, Any]:
    """Read TOML, or the options of a config.json.

    Raises:
        UsageError: if it cannot be read, or holds something else.
    """
    reason = "its options are not a table"
    try:
        words = path.read_text(encoding="utf-8")
        read = parse_json(words)["options"] if path.suffix == ".json" else tomllib.loads(words)
        if isinstance(read, dict):
            return read
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({error.strerror}); give a TOML file") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = printable(str(error))
    raise UsageError(f"--config {path}: is neither TOML nor the config.json of a run ({reason})")
