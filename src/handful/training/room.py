"""Whether a disk has room for what a run will write."""

from __future__ import annotations

import shutil

from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.files import printable
from handful.records import layout
from handful.training.state import State


def require_room(config: TrainConfig, state: State) -> None:
    """Check, before a run begins or continues, that its folder has room for checkpoints and models.

    Quotas cannot be asked for, so a run may still find the disk full.

    Raises:
        UsageError: It has not.
    """
    needed = bytes_to_write(config, state)
    usage = shutil.disk_usage(config.folder)
    if usage.total and needed > usage.free:  # some network drives say 0 of 0
        raise UsageError(
            f"--run {printable(config.folder)}: checkpoints and models will take {needed / 1e6:,.0f} MB more, and "
            f"{usage.free / 1e6:,.0f} MB is free; free some, choose another --run or a lower --keep"
        )


def bytes_to_write(config: TrainConfig, state: State) -> int:
    """Return the most disk space that a run will take beyond what its files take now."""
    steps = config.steps - state.step
    if steps <= 0:
        return 0
    checkpoint: int = sum(value.nbytes for value in state.tensors().values())
    model: int = sum(value.nbytes for value in state.average.state_dict().values())
    # A checkpoint is written before the oldest one is deleted, and a model before the one that it replaces.
    written = -(-steps // config.checkpoint_every)
    existing = len(layout.by_step(config.folder / layout.CHECKPOINTS))
    checkpoints = max(1, min(config.keep + 1 - existing, written))
    models = 1 + sum(not (config.folder / name / layout.WEIGHTS).exists() for name in names_of_models(config))
    return checkpoint * checkpoints + model * models


def names_of_models(config: TrainConfig) -> list[str]:
    """Return the folders of the models that a run keeps."""
    return [layout.MODEL] if config.score_every == 0 else [layout.MODEL, layout.BEST]
