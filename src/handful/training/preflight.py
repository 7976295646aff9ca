"""What a run would take, measured before it is begun."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from handful.compute.precision import arithmetic
from handful.config.train import TrainConfig
from handful.progress import Progress, shown_on
from handful.records import layout
from handful.training.forecast import Forecast
from handful.training.loop import begun
from handful.training.run import Run
from handful.training.step import Step


def preflight(config: TrainConfig, progress: Progress | None = None) -> Forecast:
    """Take the first steps of a run without a trace, and say what all of it would take: time, memory.

    Takes a quarter of a minute, or a few steps where these are long, after a minute or two of compiling in runs that
    are compiled. Of a run that exists, what is left is forecast.

    Args:
        config: What would be trained, on what, where to.
        progress: Is told how it goes; the terminal by default.

    Raises:
        UsageError: if the image folder or an option does not fit.
        TrainingError: if there is too little memory.
        WeightsError: if a weight file was asked for and cannot be had.
    """
    done = layout.by_step(config.folder / layout.CHECKPOINTS)
    with shown_on(progress), tempfile.TemporaryDirectory() as folder:
        trial = dataclasses.replace(config, run=Path(folder) / "run", track=False)
        with Run.open(trial) as run, arithmetic(run.config.precision):
            state = begun(run)
            step = Step(run.config, state, run.images, run.distance, labels=run.labels)
            made: Forecast | None = None
            while made is None:
                step()
                made = run.gauge.look(state)
    left = max(0, config.steps - max(done, default=0))
    seconds = left * made.seconds_per_step
    return dataclasses.replace(made, steps_left=left, seconds_left=round(seconds, 1))
