"""Trackio: a dashboard on this machine, or in a Space of the Hub."""

from __future__ import annotations

import os
from uuid import uuid4

from handful.config.train import TrainConfig
from handful.progress import note
from handful.tracking.identity import read_identity, write_identity
from handful.tracking.logged import LoggedRun
from handful.tracking.tracker import PROJECT, facts


def open_tracker(config: TrainConfig, step: int) -> LoggedRun:
    """Begin or resume the run of trackio, which knows runs by names, so each name ends with letters of its own.

    Steps that a resumed run takes again are there twice.
    """
    import trackio

    name = read_identity(config.folder, "trackio")
    if name is None:
        name = f"{config.folder.resolve().name}-{uuid4().hex[:6]}"
        write_identity(config.folder, "trackio", name)
    project = os.environ.get("TRACKIO_PROJECT", PROJECT)
    run = trackio.init(
        project, name, config=facts(config), resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
    )
    note(f"trackio: {name}; trackio show --project {project} shows it")
    return LoggedRun(run, trackio.Image, trackio.finish)
