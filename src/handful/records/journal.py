"""The log of a run, ``log.jsonl``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from handful.files import append, replacing
from handful.records.layout import DAMAGED_LOG
from handful.records.scores import SCORE_NUMBERS

NUMBERS = frozenset(
    ("steps", "seconds", "seconds_left", "images_per_second", "discriminator", "generator", "reconstruction")
) | {"micro_batch", "peak_memory_mb", *SCORE_NUMBERS}
"""Names whose values are numbers or null wherever they occur."""


class Journal:
    """Reads and writes a log with one JSON object a line. Whatever a line holds, the others are read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Return all entries that can be read, oldest first."""
        return self.sort()[0]

    def sort(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        """Return the entries, and the lines that are none. A last line that is being written is neither."""
        entries: list[dict[str, Any]] = []
        damaged: list[bytes] = []
        if not self.path.exists():
            return entries, damaged
        *lines, unfinished = self.path.read_bytes().split(b"\n")
        for line in lines:
            entry = parse(line)
            if entry is not None:
                entries.append(entry)
            elif line.strip():
                damaged.append(line)
        last = parse(unfinished)
        return entries if last is None else [*entries, last], damaged

    def cut(self, step: int) -> int:
        """Drop the entries after a step, which a resumed run writes again. Return how many lines cannot be read.

        These are kept in ``log.damaged``, beside the log.
        """
        if not self.path.exists():
            return 0
        entries, damaged = self.sort()
        if damaged:
            append(self.path.with_name(DAMAGED_LOG), b"".join(line + b"\n" for line in damaged))
        self.rewrite([entry for entry in entries if entry["step"] <= step])
        return len(damaged)

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry, or nothing if that fails."""
        append(self.path, spelled(entry))

    def amend(self, entry: dict[str, Any]) -> None:
        """Put an entry in the place of that of the same step."""
        self.rewrite([*(other for other in self.read() if other["step"] != entry["step"]), entry])

    def rewrite(self, entries: list[dict[str, Any]]) -> None:
        """Write a log of these entries."""
        with replacing(self.path) as temporary:
            temporary.write_bytes(b"".join(map(spelled, entries)))


def spelled(entry: dict[str, Any]) -> bytes:
    """Return an entry's line. JSON has no infinity, so numbers that are not finite become null."""
    infinite = {name: None for name, value in entry.items() if isinstance(value, float) and not math.isfinite(value)}
    return json.dumps(entry | infinite, allow_nan=False).encode() + b"\n"


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line; None if it is none."""
    try:
        entry = json.loads(line, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or type(entry.get("step")) is not int or entry["step"] < 0:
        return None
    return entry if all(is_number(entry[name]) for name in NUMBERS & entry.keys()) else None


def is_number(value: object) -> bool:
    """Return whether a value is a finite number or None."""
    return value is None or (type(value) in (int, float) and math.isfinite(value))  # type: ignore[arg-type]
