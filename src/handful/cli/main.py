"""The command line. Torch is imported only once a command has found nothing wrong with its options and paths.

Progress and notes go to the error stream, a command's answer to standard output. Exit codes: 0 done (also when a signal
stopped a run, which then was saved), 1 something failed, 2 the command was used wrongly, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from handful.cli import judge, machine, pictures, share, studio, train  # noqa: F401 - they register their commands
from handful.cli.command import COMMANDS, PROGRAM, Command, complain
from handful.config.text import nearest
from handful.errors import HandfulError, UsageError
from handful.files import printable

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a program that SIGINT ended."""


def program() -> NoReturn:
    """Run the command line as a program of its own, and end it with the exit code."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # What is left in the buffer goes nowhere, or Python would complain of it at its end.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if code == INTERRUPTED:
        os._exit(code)  # Python would first wait for compilers that still work
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Of the processes of ``torchrun`` only the first one prints."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    escape_what_cannot_be_printed()
    if os.environ.get("RANK", "0") == "0":
        return execute(arguments)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return execute(arguments)


def escape_what_cannot_be_printed() -> None:
    """Let standard output and errors escape characters that the terminal lacks, such as ± in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def execute(arguments: list[str]) -> int:
    """Do what the arguments ask for, and return the exit code."""
    try:
        dispatch(arguments)
    except HandfulError as error:
        complain(error.on_command_line)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        complain(printable(str(error)))
        return 1
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    return 0


def dispatch(arguments: list[str]) -> None:
    """Find the command and carry it out; without one, print the help."""
    name, *rest = arguments or ["--help"]
    if name in ("--help", "-h", "help"):
        from handful.cli.overview import print_overview

        print_overview()
    elif name == "--version":
        print(version(PROGRAM))
    else:
        find(name)(rest)


def find(name: str) -> Command:
    """Return the command of that name.

    Raises:
        UsageError: if there is none; the message has the nearest.
    """
    if name not in COMMANDS:
        raise UsageError(f"{name}: no such command{nearest(name, COMMANDS) or f'; {PROGRAM} --help lists them'}")
    return COMMANDS[name]
