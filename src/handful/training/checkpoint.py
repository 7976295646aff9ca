"""Write and read checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handful.errors import UsageError
from handful.files import remove, replacing
from handful.records import layout
from handful.records.layout import STATE
from handful.training.state import State


def save(state: State, checkpoints: Path, keep: int) -> None:
    """Write a checkpoint into the folder ``checkpoints``, then delete all but the newest ``keep``."""
    with replacing(checkpoints / layout.step_name(state.step)) as folder:
        folder.mkdir()
        tensors = {name: value.contiguous().cpu() for name, value in state.tensors().items()}
        numbers = {name: str(getattr(state, name)) for name in ("micro_batch", "step", "seconds")}
        save_file(tensors, folder / STATE, metadata=numbers)
    for old in every(checkpoints)[:-keep]:
        remove(old)


def restore(state: State, checkpoint: Path) -> None:
    """Load a checkpoint into a state.

    Raises:
        UsageError: The file is damaged.
    """
    with readable(checkpoint):
        tensors, metadata = read(checkpoint)
        state.load(tensors)
    state.step, state.seconds = int(metadata["step"]), float(metadata["seconds"])
    state.micro_batch = int(metadata["micro_batch"])


def read(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a checkpoint, on the CPU, and its numbers: step, seconds, micro-batch."""
    with safe_open(checkpoint / STATE, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Turn errors of reading a checkpoint into one that names it and the remedy."""
    try:
        yield
    except (SafetensorError, OSError, KeyError) as error:
        raise UsageError(
            f"{checkpoint}: cannot be read ({error}); delete this folder to resume from the checkpoint before it"
        ) from error


def read_average(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of the averaged generator; its BatchNorm statistics may not have been measured yet.

    Raises:
        UsageError: The file is damaged.
    """
    try:
        with safe_open(checkpoint / STATE, framework="pt") as file:
            prefix = "average."
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError) as error:
        raise UsageError(f"{checkpoint}: cannot be read ({error})") from error


def every(checkpoints: Path) -> list[Path]:
    """Return the folders of all checkpoints, oldest first."""
    return [*layout.by_step(checkpoints).values()]
