"""The doctor on the terminal: a page of plain words, or the few lines that a run begins with."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from handful.data.checkup.examine import Checkup
from handful.data.checkup.findings import Case, Finding
from handful.files import readable

NAMED = 6
"""Cases of a finding that are named before the rest is counted."""


NAMED_IN_BRIEF = 3


STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def report(checkup: Checkup) -> Group:
    """Write everything that was found, the gravest first, each with its files and what to do."""
    facts = checkup.facts()
    head = Text(f"{readable(checkup.path)}: {facts.pop('images')} images", style="bold")
    lines = [Text(f"  {name}: {value}") for name, value in facts.items() if value]
    parts = [part for finding in checkup.findings for part in paragraph(finding)]
    style = "bold green" if checkup.clean else "bold yellow" if checkup.trainable else "bold red"
    return Group(head, *lines, *parts, Text(""), Text(checkup.verdict, style=style))


def paragraph(finding: Finding) -> list[Text | Padding]:
    """Write one finding."""
    title = Text.assemble((f"{finding.severity}: ", STYLES[finding.severity]), finding.what)
    cases = [Padding(Text(case, style="dim"), (0, 0, 0, 4), expand=False) for case in named(finding.cases, NAMED)]
    return [Text(""), title, *cases, Padding(Text(f"-> {finding.remedy}"), (0, 0, 0, 2), expand=False)]


def in_a_line(finding: Finding) -> str:
    """Write one finding in a line."""
    cases = "; ".join(named(finding.cases, NAMED_IN_BRIEF))
    return finding.what + (f": {cases}" if cases else "")


def named(cases: Sequence[Case], most: int) -> list[str]:
    """Write the first few cases, and how many more there are."""
    more = [f"and {len(cases) - most:,} more"] if len(cases) > most else []
    return [*map(str, cases[:most]), *more]
