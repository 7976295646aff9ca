"""What the doctor says: findings, each with the files that it is about and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from handful.files import readable

Severity = Literal["error", "warning", "note"]
"""error: cannot be trained on. warning: will show in what is drawn, or hurt training. note: worth knowing."""


ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Case:
    """One file, or several that belong together."""

    files: tuple[str, ...]
    detail: str = ""

    def __str__(self) -> str:
        names = " = ".join(readable(file) for file in self.files[:SHOWN])
        more = f" and {len(self.files) - SHOWN} more" if len(self.files) > SHOWN else ""
        return names + more + (f" ({self.detail})" if self.detail else "")


SHOWN = 4
"""Files named of one case before the rest is counted."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found."""

    kind: str
    """A word for programs."""
    severity: Severity
    what: str
    """A sentence, which counts."""
    remedy: str
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give all of it."""
        cases = [{"files": [readable(file) for file in case.files], "detail": case.detail} for case in self.cases]
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "remedy": self.remedy,
            "cases": cases,
        }


def singly(files: Sequence[str]) -> tuple[Case, ...]:
    """Make a case of each file."""
    return tuple(Case((file,)) for file in files)


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number of things: ``1 image``, ``3 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
