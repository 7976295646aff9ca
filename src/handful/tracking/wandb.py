"""Weights & Biases. Without a login the run is written offline, in ``wandb/`` of the run folder."""

from __future__ import annotations

import os
from uuid import uuid4

from handful.config.train import TrainConfig
from handful.files import printable
from handful.progress import note
from handful.records.layout import WANDB
from handful.tracking.identity import read_identity, write_identity
from handful.tracking.logged import LoggedRun
from handful.tracking.tracker import PROJECT, facts


def open_tracker(config: TrainConfig, step: int) -> LoggedRun:
    """Begin or resume the run of wandb."""
    import wandb

    identity = read_identity(config.folder, "wandb")
    offline = "WANDB_MODE" not in os.environ and not wandb.login(prompt=False)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=config.folder.resolve().name,
        id=identity or uuid4().hex[:8],
        resume="allow",
        dir=str(config.folder),
        config=facts(config),
        mode="offline" if offline else None,
        settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
    )
    if identity is None:
        write_identity(config.folder, "wandb", run.id)
    place = f"offline, in {printable(config.folder / WANDB)}; wandb sync sends it"
    note(f"wandb: {place if run.offline else run.url}")
    return LoggedRun(run, wandb.Image, run.finish)
