"""Write and read checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from handful.compute.tensor_files import Layout, layout_of, open_tensors, write_tensors
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.files import printable, remove, replacing
from handful.progress import note
from handful.records import layout
from handful.records.layout import STATE
from handful.sampling.model_files import layout_of_weights
from handful.training.state import State

FORMAT = "handful checkpoint"

NUMBERS = frozenset(("micro_batch", "step", "seconds"))


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, on the CPU."""

    tensors: dict[str, Tensor]
    step: int
    seconds: float
    micro_batch: int


def save(state: State, checkpoints: Path, keep: int) -> None:
    """Write a checkpoint into the folder ``checkpoints``, then delete all but the newest ``keep``."""
    with replacing(checkpoints / layout.step_name(state.step)) as folder:
        folder.mkdir()
        numbers = {name: getattr(state, name) for name in sorted(NUMBERS)}
        write_tensors(folder / STATE, state.tensors(), FORMAT, numbers)
    for old in every(checkpoints)[:-keep]:
        try:
            remove(old)
        except OSError as error:
            note(f"{printable(old)}: this old checkpoint cannot be deleted ({error.strerror}); delete it yourself")


def restore(state: State, checkpoint: Path) -> None:
    """Load a checkpoint into a state.

    Raises:
        UsageError: The file is damaged, or of another kind of run. The state is unchanged then.
    """
    saved = read(checkpoint, layout_of(state.tensors()))
    state.load(saved.tensors)
    state.step, state.seconds, state.micro_batch = saved.step, saved.seconds, saved.micro_batch


def restore_newest(state: State, checkpoints: Path) -> bool:
    """Load the newest checkpoint that can be read, and set newer ones aside. Return whether there is a checkpoint.

    Raises:
        UsageError: There are checkpoints, and none can be read. They stay where they are.
    """
    damaged: dict[Path, UsageError] = {}
    for folder in reversed(every(checkpoints)):
        try:
            restore(state, folder)
        except UsageError as error:
            damaged[folder] = error
            continue
        for newer, problem in damaged.items():
            note(f"{problem.on_command_line}; kept as {set_aside(newer)}, resuming from the checkpoint before it")
        return True
    if damaged:
        newest = next(iter(damaged.values()))
        model = checkpoints.with_name(layout.MODEL)
        raise UsageError(
            f"{newest.on_command_line}; no other checkpoint can be read. Start a new run with --from {printable(model)}"
        )
    return False


def set_aside(path: Path) -> str:
    """Rename a damaged checkpoint, so that no run takes it for one, and return its new name."""
    names = (path.with_name(f"{path.name}.damaged{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    free = next(name for name in names if not name.exists())
    path.rename(free)
    return printable(free.name)


def read(checkpoint: Path, expected: Layout | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        checkpoint: Its folder.
        expected: Types and shapes of all tensors, if they are known.

    Raises:
        UsageError: The file is damaged, or of another kind of run.
    """
    with open_tensors(checkpoint / STATE, FORMAT, "a checkpoint", NUMBERS) as file:
        if expected is not None:
            file.require(expected)
        try:
            step, micro_batch = (int(file.header[name]) for name in ("step", "micro_batch"))
            seconds = float(file.header["seconds"])
        except (KeyError, TypeError, ValueError, OverflowError):
            file.fail("its step, seconds or micro-batch is no number")
        named = int(checkpoint.name.removeprefix("step-")) if checkpoint in every(checkpoint.parent) else step
        if step != named:
            file.fail(f"is of step {step:,}, and its folder's name says {named:,}")
        if not (math.isfinite(seconds) and seconds >= 0 and micro_batch >= 1):
            file.fail(f"has {seconds} seconds and micro-batches of {micro_batch}")
        return Checkpoint(file.load(), step, seconds, micro_batch)


def read_average(checkpoint: Path, config: GeneratorConfig) -> dict[str, Tensor]:
    """Return the weights of the averaged generator; its BatchNorm statistics may not have been measured yet.

    Raises:
        UsageError: The file is damaged, or its networks are not those of ``config``.
    """
    prefix = "average."
    tensors = read(checkpoint).tensors
    average = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if layout_of(average) != layout_of_weights(config):
        raise UsageError(f"{printable(checkpoint)}: its networks are not those of the run's model")
    return average


def every(checkpoints: Path) -> list[Path]:
    """Return the folders of all checkpoints, oldest first."""
    return [*layout.by_step(checkpoints).values()]
