"""Findings of a check: what is wrong, in which files, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from handful.files import printable

Severity = Literal["error", "warning", "note"]
"""error: training cannot start. warning: it will hurt training or show in the results. note: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

FILES_NAMED = 4
"""Files of one case that are named before the rest is counted."""


@dataclass(frozen=True)
class Case:
    """One file, or several that belong together, such as copies."""

    files: tuple[str, ...]
    detail: str = ""

    def __str__(self) -> str:
        names = " = ".join(printable(file) for file in self.files[:FILES_NAMED])
        more = f" and {len(self.files) - FILES_NAMED} more" if len(self.files) > FILES_NAMED else ""
        return names + more + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Finding:
    """One kind of fault, with all files that have it."""

    kind: str
    """An identifier for programs."""
    severity: Severity
    what: str
    """What was found and how often, as a sentence without its full stop."""
    remedy: str
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        cases = [{"files": [printable(file) for file in case.files], "detail": case.detail} for case in self.cases]
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "remedy": self.remedy,
            "cases": cases,
        }


def case_per_file(files: Sequence[str]) -> tuple[Case, ...]:
    """Return one case for each file."""
    return tuple(Case((file,)) for file in files)


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 image``, ``3 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
