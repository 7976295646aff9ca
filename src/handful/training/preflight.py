"""Forecast what a run will take, without starting it (``--forecast``)."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from handful.compute.precision import arithmetic
from handful.config.checks import checked
from handful.config.train import TrainConfig
from handful.progress import Progress, shown_on
from handful.records import layout
from handful.training.forecast import Forecast
from handful.training.run import open_run


@checked
def preflight(config: TrainConfig, progress: Progress | None = None) -> Forecast:
    """Take a few steps of a run in a temporary folder, and forecast its time and memory.

    Takes some seconds, or a few steps if these are long; runs that compile take a minute or two more. For a run that
    has begun, the forecast is for the steps that are left.

    Args:
        config: What would be trained, on which images.
        progress: Shows progress. Default: the terminal.

    Raises:
        UsageError: The image folder or an option does not fit.
        TrainingError: There is too little memory.
        WeightsError: A weight file that was asked for cannot be had.
    """
    done = layout.by_step(config.folder / layout.CHECKPOINTS)
    with shown_on(progress), tempfile.TemporaryDirectory() as folder:
        trial = dataclasses.replace(config, run=Path(folder) / "run", track="none")
        with open_run(trial) as run, arithmetic(run.config.precision):
            state = run.start()
            step = run.setup.build_step(state)
            forecast: Forecast | None = None
            while forecast is None:
                step()
                forecast = run.forecaster.update(state)
    left = max(0, config.steps - max(done, default=0))
    return dataclasses.replace(forecast, steps_left=left, seconds_left=round(left * forecast.seconds_per_step, 1))
