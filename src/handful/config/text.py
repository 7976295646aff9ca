"""Options, seeds and image sources as text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from handful.errors import ARGUMENTS, UsageError
from handful.files import shortened


def option(name: str) -> str:
    """Spell an argument as the command line does: ``log_every`` is ``--log-every``, ``from_`` is ``--from``."""
    words = {argument: option for option, argument in ARGUMENTS.items()}.get(name, name)
    return "--" + words.replace("_", "-")


def listed(words: Iterable[object]) -> str:
    """Join alternatives: ``a, b or c``."""
    *others, last = map(str, words)
    return f"{', '.join(others)} or {last}" if others else last


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a message that suggests the nearest known word; empty if none is near."""
    found = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


MAX_SEEDS = 10_000_000
"""Pictures that a command draws at most."""

SEED_DIGITS = 19
"""Digits of the largest seeds, which have 64 bits."""


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """Read seeds: numbers and inclusive ranges, such as ``0-63,100``.

    Raises:
        UsageError: if they cannot be read, there are none, or there are more than ten million.
    """
    shown = shortened(text)
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise UsageError(f"{option} {shown}: {shortened(part.strip())!r} is not a number or a range like 0-63")
        if max(len(match[1]), len(match[2] or "")) > SEED_DIGITS:
            raise UsageError(f"{option} {shown}: seeds have at most {SEED_DIGITS} digits")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"{option} {shown}: the range {part.strip()} ends before it starts")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise UsageError(f"{option} {shown}: are more than {MAX_SEEDS:,} pictures; draw them in several calls")
        seeds += range(first, last + 1)
    return seeds


HUB = "hf:"
"""Prefix of datasets and models on the Hugging Face Hub."""


def is_photos(source: Path) -> bool:
    """Return whether a source must hold images, by its name; a folder may also hold a model."""
    return source.suffix.lower() == ".zip" or str(source).startswith(HUB)


def title(source: Path) -> str:
    """Return a folder name for a source: ``photos`` for ``~/photos.zip``, ``name`` for ``hf:me/name``.

    Empty if the source has no name, as ``/``.
    """
    if str(source).startswith(HUB):
        return source.name.removeprefix(HUB).split(":")[0]
    return source.stem if is_photos(source) else source.resolve().name
