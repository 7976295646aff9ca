"""The command line. Each command is a thin shell over one public function; torch is imported only where it is used.

Progress and notes go to the error stream, a command's answer to standard output. Exit codes: 0 done (also when a signal
stopped a run, which then was saved), 1 a run failed, 2 the command was used wrongly.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Protocol

import tyro

from handful.cli.evaluate import Bench, Describe, Evaluate
from handful.cli.generate import Generate
from handful.cli.interpolate import Interpolate
from handful.cli.latents import Directions, Latents
from handful.cli.project import Mix, Neighbours, Project
from handful.cli.train import Check, Clean, Demo, Report, Train
from handful.config.presets import PRESETS
from handful.config.train import TrainConfig
from handful.errors import HandfulError, UsageError
from handful.records.settings import read_settings

PROGRAM = "handful"


SUMMARY = "Train a high-resolution image generator from a handful of pictures. Start with: handful demo"


# Python keeps the word `from` to itself, and config.py imports no tyro.
TrainConfig.__annotations__["from_"] = Annotated[Path | None, tyro.conf.arg(name="from")]


class Command(Protocol):
    """What the command line is parsed into."""

    def __call__(self) -> None:
        """Do it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code. Of the processes of ``torchrun`` only the first says anything."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if os.environ.get("RANK", "0") == "0":
        return execute(arguments)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return execute(arguments)


def execute(arguments: list[str]) -> int:
    """Parse the arguments, do what they ask for, and give the exit code."""
    if arguments == ["--version"]:
        print(version(PROGRAM))
        return 0
    try:
        parse(arguments)()
    except HandfulError as error:
        print(f"{PROGRAM}: {error.on_command_line}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


def parse(arguments: Sequence[str]) -> Command:
    """Turn arguments into a command; wrong ones end the program with a message and exit code 2.

    The defaults of ``train`` are those of the preset that is asked for, and in a second reading those of the run that
    is to go on: so a resume needs no options, and those that are given are compared with the run's own.
    """
    command = read(arguments, preset_defaults(arguments))
    if isinstance(command, Train):
        saved = read_settings(command.config.folder)
        if saved is not None:
            command = read(arguments, saved.config)
    return command


def preset_defaults(arguments: Sequence[str]) -> TrainConfig:
    """Give the options of the preset that the arguments name; an unknown name is left for ``read`` to refuse."""
    name = "default"
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--preset":
            name = value
        elif argument.startswith("--preset="):
            name = argument.removeprefix("--preset=")
    return PRESETS.get(name, PRESETS["default"])("-")


def read(arguments: Sequence[str], defaults: TrainConfig) -> Command:
    """Read the command line once, with these defaults for ``train``."""
    train = Train(dataclasses.replace(defaults, images=tyro.MISSING, run=None))
    commands = (
        Annotated[Train, tyro.conf.subcommand("train", default=train)]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Generate, tyro.conf.subcommand("generate")]
        | Annotated[Interpolate, tyro.conf.subcommand("interpolate")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Mix, tyro.conf.subcommand("mix")]
        | Annotated[Neighbours, tyro.conf.subcommand("neighbours")]
        | Annotated[Project, tyro.conf.subcommand("project")]
        | Annotated[Directions, tyro.conf.subcommand("directions")]
        | Annotated[Latents, tyro.conf.subcommand("latents")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Clean, tyro.conf.subcommand("clean")]
        | Annotated[Describe, tyro.conf.subcommand("describe")]
        | Annotated[Bench, tyro.conf.subcommand("bench")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
    )
    markers = (tyro.conf.PositionalRequiredArgs, tyro.conf.DisallowNone)
    command: Command = tyro.cli(commands, prog=PROGRAM, description=SUMMARY, args=arguments, config=markers)
    return command
