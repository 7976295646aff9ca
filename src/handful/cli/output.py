"""What the modules of the command line share: a kind of option, and how a command answers."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping

import tyro

Flag = tyro.conf.FlagCreatePairsOff[bool]


def answer_with(answer: Mapping[str, object], text: str, *, json: bool) -> None:
    """Print a command's answer, for a person or for a program."""
    print(json_format.dumps(answer, indent=2) if json else text)
