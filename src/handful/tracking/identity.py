"""The name that a run has in a tracker, kept in the run folder so that a resumed run finds it again."""

from __future__ import annotations

from pathlib import Path

from handful.files import parse_json, write_json
from handful.records.layout import TRACKED


def read_identity(folder: Path, tracker: str) -> str | None:
    """Return the name of a run in a tracker; None if it has none yet."""
    path = folder / TRACKED
    identity = parse_json(path.read_bytes()).get(tracker) if path.exists() else None
    return identity if isinstance(identity, str) else None


def write_identity(folder: Path, tracker: str, identity: str) -> None:
    """Keep the name of a run in a tracker, beside its names in others."""
    path = folder / TRACKED
    others = parse_json(path.read_bytes()) if path.exists() else {}
    write_json(path, others | {tracker: identity})
