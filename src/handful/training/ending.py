"""What a run says when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from handful.progress import note
from handful.records.outlook import outlook
from handful.records.run_folder import RunFolder
from handful.records.scores import Score


def note_verdict(folder: Path, history: Sequence[Score]) -> None:
    """Tell the user how good the best model of a run is, and what more training would do."""
    verdict = RunFolder(folder).verdict
    note(f"verdict: {verdict.headline}")
    if verdict.scored:
        for line in verdict.lines():
            note(f"  {line}")
    note(f"  {' '.join(outlook(history))}")
