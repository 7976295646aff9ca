"""A checkup on the terminal: in full for ``handful check``, a line per finding at the start of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from handful.data.checkup.examine import Checkup
from handful.data.checkup.findings import Case, Finding
from handful.files import printable

CASES_NAMED, CASES_NAMED_IN_LINE = 6, 3
"""Cases of a finding that are named before the rest is counted."""

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def render(checkup: Checkup) -> Group:
    """Lay out a checkup: facts, findings with their files and remedies, and the verdict."""
    facts = checkup.facts()
    head = Text(f"{printable(checkup.path)}: {facts.pop('images')} images", style="bold")
    lines = [Text(f"  {name}: {value}") for name, value in facts.items() if value]
    parts = [part for finding in checkup.findings for part in render_finding(finding)]
    style = "bold green" if checkup.clean else "bold yellow" if checkup.trainable else "bold red"
    return Group(head, *lines, *parts, Text(""), Text(checkup.verdict, style=style))


def render_finding(finding: Finding) -> list[Text | Padding]:
    """Lay out one finding."""
    title = Text.assemble((f"{finding.severity}: ", STYLES[finding.severity]), finding.what)
    names = named(finding.cases, CASES_NAMED)
    cases = [Padding(Text(name, style="dim"), (0, 0, 0, 4), expand=False) for name in names]
    return [Text(""), title, *cases, Padding(Text(f"-> {finding.remedy}"), (0, 0, 0, 2), expand=False)]


def one_line(finding: Finding) -> str:
    """Return a finding and its first few files in a line."""
    cases = "; ".join(named(finding.cases, CASES_NAMED_IN_LINE))
    return finding.what + (f": {cases}" if cases else "")


def named(cases: Sequence[Case], most: int) -> list[str]:
    """Name the first few cases, and count the rest."""
    more = [f"and {len(cases) - most:,} more"] if len(cases) > most else []
    return [*map(str, cases[:most]), *more]
