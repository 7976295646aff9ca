"""Turn options into a command line, and a command line into values."""

from __future__ import annotations

import dataclasses
import inspect
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Annotated, Any

import tyro

from handful.cli.signature import REQUIRED, Option
from handful.config.text import nearest, option
from handful.errors import UsageError, escaped

MARKERS = (
    tyro.conf.PositionalRequiredArgs,
    tyro.conf.PositionalMetavarFromFieldName,
    tyro.conf.DisallowNone,
    tyro.conf.OmitArgPrefixes,
)

Boxes = Mapping[str, Sequence[Option]]
"""Options by the box of the help that shows them; the name "" has those that stand outside."""


def parse(program: str, summary: str, boxes: Boxes, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the values of all options by their names in Python.

    Wrong values and ``--help`` end the program, with a message and exit code 2, or with the help and 0.

    Raises:
        UsageError: if there is an option that the command does not know.
    """
    refuse_unknown(program, arguments, [entry for box in boxes.values() for entry in box])
    with without_escapes(arguments):
        values: dict[str, Any] = tyro.cli(
            collector(boxes), prog=program, description=summary, args=arguments, config=MARKERS
        )
    for name in boxes:
        if name:
            values |= vars(values.pop(identifier(name)))
    return values


@contextmanager
def without_escapes(arguments: Sequence[str]) -> Iterator[None]:
    """Escape what tyro prints of arguments that a terminal would obey; without such ones it may use colours."""
    if all(argument.isprintable() for argument in arguments):
        yield
        return
    streams = sys.stdout, sys.stderr
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            yield
        finally:
            for stream, held in zip(streams, (out, err), strict=True):
                print(escaped(held.getvalue(), kept="\n"), end="", file=stream)


def collector(boxes: Boxes) -> Any:  # noqa: ANN401
    """Build a function that returns what it is called with, whose signature has the options."""

    def collect(**values: object) -> dict[str, object]:
        return values

    parameters = [
        inspect.Parameter(
            entry.name, inspect.Parameter.KEYWORD_ONLY, default=entry.default, annotation=annotated(entry)
        )
        for entry in sorted(
            boxes.get("", ()), key=lambda entry: entry.default is not REQUIRED and not entry.is_argument
        )
    ]
    for name, box in boxes.items():
        if name:
            fields = [(entry.name, annotated(entry), dataclasses.field(default=entry.default)) for entry in box]
            kind = dataclasses.make_dataclass(identifier(name), fields)
            parameters.append(
                inspect.Parameter(identifier(name), inspect.Parameter.KEYWORD_ONLY, default=kind(), annotation=kind)
            )
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collect.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return collect


def identifier(name: str) -> str:
    """Return the name of a box as Python and tyro take it."""
    return name.replace(" ", "_")


def annotated(entry: Option) -> Any:  # noqa: ANN401
    """Return the type of an option with all that its help says."""
    kind = tyro.conf.FlagCreatePairsOff[bool] if entry.kind is bool and not entry.negatable else entry.kind
    if entry.default is REQUIRED:
        return Annotated[kind, tyro.conf.arg(help=entry.help)]
    if entry.is_argument:
        return Annotated[tyro.conf.Positional[kind], tyro.conf.arg(help=entry.help)]  # type: ignore[valid-type, misc]
    unset = entry.default is None or entry.default is False or entry.default == ()
    name = option(entry.name).removeprefix("--")
    words = tyro.conf.arg(name=name, help=entry.help, help_behavior_hint="" if unset else None)
    return Annotated[kind, words]


def refuse_unknown(program: str, arguments: Sequence[str], options: Iterable[Option]) -> None:
    """Refuse an option that the command does not have, naming the nearest that it has.

    Raises:
        UsageError: if there is one.
    """
    known = ["--help"]
    for entry in options:
        if entry.default is not REQUIRED and not entry.is_argument:
            known += spellings(entry)
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if name.startswith("--") and name not in known:
            raise UsageError(f"{name}: no option of {program}{nearest(name, known) or f'; see {program} --help'}")


def spellings(entry: Option) -> list[str]:
    """List how an option can be written: ``--mirror`` can be ``--no-mirror`` too."""
    names = [option(entry.name)]
    return [*names, option(f"no_{entry.name}")] if entry.negatable else names
