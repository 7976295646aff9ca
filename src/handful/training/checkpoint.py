"""The state of a training run, and its checkpoints on the disk."""

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
from handful.training.state import State


def save(state: State, checkpoints: Path, keep: int) -> None:
    """Write ``step-00005000/`` and the like among the checkpoints, then delete all but the newest ``keep``."""
    with replacing(checkpoints / layout.step_name(state.step)) as folder:
        folder.mkdir()
        tensors = {name: value.contiguous().cpu() for name, value in state.tensors().items()}
        numbers = {name: str(getattr(state, name)) for name in ("micro_batch", "step", "seconds")}
        save_file(tensors, folder / layout.STATE, metadata=numbers)
    for old in every(checkpoints)[:-keep]:
        remove(old)


def restore(state: State, checkpoint: Path) -> None:
    """Bring a state to where a checkpoint was written.

    Raises:
        UsageError: if the file is damaged.
    """
    with readable(checkpoint):
        tensors, metadata = read(checkpoint)
        state.load(tensors)
    state.step, state.seconds = int(metadata["step"]), float(metadata["seconds"])
    state.micro_batch = int(metadata["micro_batch"])


def read(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a checkpoint, on the CPU, and its numbers."""
    with safe_open(checkpoint / layout.STATE, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Within the block, say of what is damaged which checkpoint it is, and what to do."""
    try:
        yield
    except (SafetensorError, OSError, KeyError) as error:
        raise UsageError(
            f"{checkpoint}: cannot be read ({error}); delete this folder to go on from the checkpoint before it"
        ) from error


def read_average(checkpoint: Path) -> dict[str, Tensor]:
    """Read only the averaged generator in use; its BatchNorm statistics are still to be measured.

    Raises:
        UsageError: if the file is damaged.
    """
    try:
        with safe_open(checkpoint / layout.STATE, framework="pt") as file:
            prefix = "average."
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError) as error:
        raise UsageError(f"{checkpoint}: cannot be read ({error})") from error


def every(checkpoints: Path) -> list[Path]:
    """List the checkpoints, oldest first."""
    return [*layout.by_step(checkpoints).values()]
