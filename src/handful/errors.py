"""Errors that a user can cause. Each message says what is wrong, with its value, and what to do."""

from __future__ import annotations

import re

OPTION = re.compile(r"(?<![\w/-])--(no-)?([a-z]+(?:-[a-z]+)*)")

ITEM = "\n  "
"""What begins each item of a list in a message."""

ARGUMENTS = {
    "class": "class_name",
    "from": "from_",
    "along": "moves",
    "blend": "shares",
    "nproc-per-node": "--nproc-per-node",
}
"""What Python calls an option, where that is not its name with underscores. The last is torchrun's."""


def escaped(text: str, kept: str = "") -> str:
    """Escape line breaks, control characters and bytes that are not UTF-8, but for those in ``kept``.

    Names of files and classes may be a stranger's, and a terminal would obey them.
    """
    return "".join(letter if letter.isprintable() or letter in kept else ascii(letter)[1:-1] for letter in text)


class HandfulError(Exception):
    """Base of all errors that a user can cause.

    Messages are written for the command line: ``--at-once 3: does not divide --batch 8``. ``str(error)`` is for Python
    and names arguments instead: ``at_once 3: does not divide batch 8``.
    """

    @property
    def on_command_line(self) -> str:
        """The message as it was written, with options: a line that a terminal can show, and indented lists below it."""
        return ITEM.join(map(escaped, str(self.args[0]).split(ITEM)))

    def __str__(self) -> str:
        return OPTION.sub(argument_of, self.on_command_line)


def argument_of(option: re.Match[str]) -> str:
    """Return Python's name of an option: ``at_once`` for ``--at-once``, ``sle=False`` for ``--no-sle``."""
    negation, name = option.groups()
    return ARGUMENTS.get(name, name.replace("-", "_")) + ("=False" if negation else "")


class UsageError(HandfulError, ValueError):
    """An argument, an image folder, a run folder or a model is wrong."""


class StorageError(HandfulError, OSError):
    """A file cannot be written: the disk, a quota or a limit is full. The message names the file and the free space."""


class TrainingError(HandfulError, RuntimeError):
    """A run cannot continue. The message names the step, the cause and what is left on disk."""


class WeightsError(HandfulError, RuntimeError):
    """A weight file is missing, damaged or of another network. The message says what to do."""


class MissingWeightsError(WeightsError):
    """A weight file, or the package that reads it, is not installed and could not be downloaded."""
