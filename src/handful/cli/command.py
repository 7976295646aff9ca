"""What a command is: functions whose parameters are its options, and what it says about their result."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from handful.cli.parser import Boxes, parse
from handful.cli.signature import REQUIRED, Option, Signature, read_signature
from handful.config.text import HUB, parse_seeds
from handful.errors import TrainingError, UsageError, escaped

if TYPE_CHECKING:
    from rich.console import RenderableType

PROGRAM = "handful"

Group = Literal["In a browser", "Train", "Make pictures", "Judge", "Share", "Machine"]

JSON = Option("json", bool, False, "Print the answer as one JSON object.")


@dataclass(frozen=True)
class Answer:
    """What a command says at its end, to a program and to a person."""

    data: Mapping[str, Any]
    words: str | list[RenderableType]
    failure: str | None = None
    """Why the command exits with code 1 although it has an answer."""


@dataclass(frozen=True)
class Call:
    """The functions of a command, with the values that the command line gives their parameters."""

    command: Command
    values: Mapping[str, Any]

    def __call__(self, place: str | None = None, **others: Any) -> Any:  # noqa: ANN401
        """Call the first function, or that at ``place``, with its parameters' values and ``others``."""
        place = place or self.command.functions[0]
        module, name = place.split(":")
        known = read_signature(place).options
        given = {name: value for name, value in self.values.items() if name in known}
        return getattr(import_module(f"{PROGRAM}.{module}"), name)(**given | others)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return self.values[name]

    @property
    def changed(self) -> set[str]:
        """Names of the options whose values are not the defaults."""
        return {name for name, entry in self.command.options.items() if self.values[name] != entry.default}


@dataclass(frozen=True)
class Command:
    """A command. ``answer`` calls its functions; its own parameters are options that these do not have."""

    name: str
    group: Group
    example: str
    functions: tuple[str, ...]
    answer: Callable[..., Answer]

    @cached_property
    def own(self) -> Signature:
        """What ``answer`` tells about itself."""
        return read_signature(f"{self.answer.__module__.removeprefix(f'{PROGRAM}.')}:{self.answer.__name__}")

    @property
    def summary(self) -> str:
        """What the command does, in a line."""
        return self.own.summary

    @cached_property
    def options(self) -> dict[str, Option]:
        """All options, by their names in Python; those of ``answer`` stand before the functions' of that name."""
        options: dict[str, Option] = {}
        for place in self.functions:
            options = read_signature(place).options | options
        return options | self.own.options | {"json": JSON}

    def __call__(self, arguments: list[str]) -> None:
        """Carry out the command, and print its answer.

        Raises:
            UsageError: if an option or a path is wrong; torch is not imported then.
            TrainingError: if the answer says that something failed.
        """
        values = self.read(arguments)
        check_inputs({name: values[name] for name, entry in self.options.items() if entry.default is REQUIRED})
        check_seeds(values.get("seeds"))
        own = {name: values[name] for name in self.own.options}
        show(self.answer(Call(self, values), **own), as_json=values["json"])

    def read(self, arguments: list[str]) -> dict[str, Any]:
        """Return the values that the command line gives to all options.

        Raises:
            UsageError: if an option is wrong.
        """
        return self.parse({"": list(self.options.values())}, arguments)

    def parse(self, boxes: Boxes, arguments: list[str]) -> dict[str, Any]:
        """Return the values of options, or end the program with the help or with what is wrong."""
        words = [self.summary, self.own.details, f"Example: {self.example}"]
        return parse(f"{PROGRAM} {self.name}", "\n\n".join(filter(None, words)), boxes, arguments)


COMMANDS: dict[str, Command] = {}


def command(
    group: Group, *functions: str, example: str, kind: type[Command] = Command
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a command of a function that answers for others, each given as ``module:name``."""

    def register(answer: Callable[..., Answer]) -> Callable[..., Answer]:
        COMMANDS[answer.__name__] = kind(answer.__name__, group, example, functions, answer)
        return answer

    return register


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer.

    Words that cannot be written, as to a full disk or a closed pipe, do not make work fail that is done.

    Raises:
        TrainingError: if the answer says that something failed.
        OSError: if JSON was asked for and cannot be written.
    """
    if as_json:
        print(json.dumps(answer.data, indent=2), flush=True)
    else:
        try:
            print_words(answer.words)
        except OSError as error:
            complain(f"done; the answer could not be printed ({error.strerror})")
    if answer.failure is not None:
        raise TrainingError(answer.failure)


def complain(text: str) -> None:
    """Print an error, unless the error stream is gone too."""
    with suppress(OSError, ValueError):
        print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


def print_words(words: str | list[RenderableType]) -> None:
    """Print an answer for a person.

    Raises:
        OSError: Standard output is gone or full.
    """
    if isinstance(words, str):
        print(escaped(words, kept="\n"), flush=True)
        return
    from rich.console import Console

    console = Console()
    with console.capture() as captured:  # rich itself would end the program where a pipe is closed
        for part in words:
            console.print(part, highlight=False)
    # Colours are ours; any other escape is that of a name.
    parts = re.split(r"(\x1b\[[0-9;]*m)", captured.get()) if console.is_terminal else [captured.get()]
    shown = (part if index % 2 else escaped(part, kept="\n") for index, part in enumerate(parts))
    print("".join(shown), end="", flush=True)


EXPECTED = {
    "source": "a run folder, a model folder, a .safetensors file or hf:owner/name",
    "images": "a folder of images, a .zip archive, or a dataset of the Hub such as hf:owner/name",
    "photos": "picture files or folders of them",
    "run": "a run folder",
}
"""What these arguments must be."""


def check_inputs(inputs: Mapping[str, Any]) -> None:
    """Refuse arguments that name nothing that exists, before a command imports torch.

    Raises:
        UsageError: naming the path, and what is expected.
    """
    for name, given in inputs.items():
        if name not in EXPECTED:
            continue
        if given == ():
            raise UsageError(f"{name.upper()}: is missing; give {EXPECTED[name]}")
        for path in given if isinstance(given, tuple) else (given,):
            if not path.exists() and not str(path).startswith(HUB):
                raise UsageError(f"{path}: does not exist; give {EXPECTED[name]}")


def check_seeds(text: str | None) -> None:
    """Refuse seeds that cannot be read; latent files among them can be read with the model only.

    Raises:
        UsageError: if they cannot be read.
    """
    if text is not None and ".safetensors" not in text:
        parse_seeds(text)
