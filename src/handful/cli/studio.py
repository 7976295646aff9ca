"""The command ``studio``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from handful.cli.command import Answer, Call, Command, command
from handful.cli.signature import Option


@dataclass(frozen=True)
class StudioCommand(Command):
    """The command ``studio``, whose folder is an argument that may be left out."""

    @property
    def options(self) -> dict[str, Option]:
        """All options."""
        options = dict(super().options)
        return options | {"folder": dataclasses.replace(options["folder"], is_argument=True)}


@command("In a browser", "studio.server:studio", example="handful studio", kind=StudioCommand)
def studio(call: Call) -> Answer:
    """Train, watch and explore in a browser, on this machine.

    Prints the address, with its token. Runs go on when the studio is closed.
    """
    call()
    return Answer({"folder": str(call["folder"])}, "the studio is closed; runs that it started go on")
