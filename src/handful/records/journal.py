"""The log of a run, ``log.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from handful.files import replacing


class Journal:
    """Reads and writes a log with one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Return all entries, without a last one that is cut short or being written."""
        entries: list[dict[str, Any]] = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    entries.append(json.loads(line))
                except json.JSONDecodeError:
                    break
        return entries

    def cut(self, step: int) -> None:
        """Drop the entries after a step, which a resumed run writes again, and one that is cut short."""
        if not self.path.exists():
            return
        kept = [json.dumps(entry) + "\n" for entry in self.read() if entry["step"] <= step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
