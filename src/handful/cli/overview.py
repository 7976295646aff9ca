"""The help of ``handful`` itself: all commands in groups, with an example of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from handful.cli.command import COMMANDS, PROGRAM, Group

SUMMARY = "Train a high-resolution image generator from a handful of pictures."

START = (
    ("handful demo", "see it work, in minutes, without pictures of your own"),
    ("handful check photos", "examine your pictures"),
    ("handful train photos", "train; run it again to resume"),
    ("handful generate runs/photos --grid grid.png", "draw pictures"),
    ("handful studio", "all of this in a browser"),
)
"""The first commands of a new user."""


def print_overview() -> None:
    """Print the help of ``handful``."""
    console = Console(highlight=False)
    console.print(f"usage: {PROGRAM} COMMAND [OPTIONS]\n\n{SUMMARY}\n\nStart with:", markup=False)
    console.print(columns(START))
    for group in get_args(Group):
        commands = [command for command in COMMANDS.values() if command.group == group]
        console.print(Text(f"\n{group}", style="bold"))
        console.print(columns((command.name, command.summary) for command in commands))
    console.print(f"\n{PROGRAM} COMMAND --help explains a command, with an example.", markup=False)


def columns(rows: Iterable[tuple[str, str]]) -> Table:
    """Lay out names and what they do."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True, min_width=13)
    table.add_column()
    for name, words in rows:
        table.add_row(f"  {name}", Text(words.removesuffix(".")))
    return table
