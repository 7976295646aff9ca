"""Trial steps on a CPU before a run begins: how much memory an image takes, and how long the run will be."""

from __future__ import annotations

import dataclasses
import time

from handful.config.train import TrainConfig
from handful.displays import duration
from handful.progress import note
from handful.training.forecast import MIN_SECONDS_TO_TELL, Forecaster, advice
from handful.training.schedule import steps_to_come
from handful.training.setup import Setup
from handful.training.state import State


def needs_trial(config: TrainConfig) -> bool:
    """Return whether to measure a run before its first step: automatic batches, or minutes of compiling on a CPU.

    Other runs are measured in their first steps (see ``forecast``).
    """
    return chooses_micro_batch(config) or compiles_on_cpu(config)


def chooses_micro_batch(config: TrainConfig) -> bool:
    """Return whether the run chooses how many images to compute at once."""
    return config.batch == config.micro_batch == "auto"


def compiles_on_cpu(config: TrainConfig) -> bool:
    """Return whether the first step compiles for a CPU."""
    return config.compile == "on" and config.device == "cpu"


def try_steps(setup: Setup, forecaster: Forecaster, state: State) -> int:
    """Take steps without compiling, which spoils ``state``; tell the user what follows; return the micro-batch.

    A GPU reports that its memory has run out, so there the micro-batch is the whole batch until that happens. A CPU's
    system ends the program instead, so memory is measured in a step with two images.
    """
    config = dataclasses.replace(setup.config, compile="off")
    micro_batch = state.micro_batch
    if config.device == "cpu":
        state.micro_batch = 2
        setup.build_step(state, config=dataclasses.replace(config, batch=2, micro_batch="auto"))()
    if chooses_micro_batch(config):
        if config.device == "cpu":
            micro_batch = min(config.whole_batch, forecaster.largest_micro_batch(state) or 2)
        note(f"--batch auto: {config.whole_batch} images a step, in micro-batches of {micro_batch}")
    if compiles_on_cpu(setup.config):
        state.micro_batch = micro_batch
        began = time.monotonic()
        setup.build_step(state, config=config)()
        tell_estimate(config, time.monotonic() - began)
    return micro_batch


def tell_estimate(config: TrainConfig, seconds_per_step: float) -> None:
    """Tell the user how long the run will be, from the time of a step that is not compiled."""
    steps = steps_to_come(config, 0, 0.0, seconds_per_step)
    seconds = steps * seconds_per_step
    if seconds < MIN_SECONDS_TO_TELL:
        return
    note(f"rough estimate: {duration(seconds)} for {steps:,} steps, before compiling, which makes them faster")
    if hint := advice(config, seconds):
        note(hint)
