"""What a run is going to take, measured in its own first steps."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import torch

from handful.compute.device import synchronize
from handful.compute.memory import PLANNED_SHARE, memory_in_use, memory_limit, peak_memory
from handful.config.train import TrainConfig
from handful.displays import duration
from handful.training.state import State

WARM_UP = {"cpu": 2, "cuda": 5}
"""Steps before those that are timed: networks are compiled, a step is recorded, memory is found in these."""


FEWEST, SHORTEST = 3, 10.0
"""Steps, and seconds, that are timed at least."""


WORTH_TELLING = 60.0
"""Seconds that a run must have left for its forecast to be told."""


@dataclass(frozen=True)
class Forecast:
    """What a run is going to take. Scores, which take up to a twentieth of the time, are not counted."""

    steps: int
    """Steps to be taken, in all."""
    steps_left: int
    """Steps left when the forecast was made."""
    batch: int
    micro_batch: int
    """Images of a batch that are computed at once."""
    seconds_per_step: float
    images_per_second: float
    seconds_left: float
    memory_mb: float
    """The most held so far: of GPU memory on CUDA, else by the process."""
    limit_mb: float | None
    """The most there could be, beside what other programs hold; none if that cannot be known, as on macOS."""
    largest_micro_batch: int | None
    """The largest power of two of images at once for which there should be memory."""

    def __str__(self) -> str:
        rate, left = f"{self.images_per_second:.3g} images/s", duration(self.seconds_left)
        text = f"forecast: {rate}, so {left} for the {self.steps_left:,} steps left; {self.memory_mb:,.0f} MB of memory"
        if self.limit_mb is None:
            return text
        return f"{text} of {self.limit_mb:,.0f}, enough for {self.largest_micro_batch or 'no'} images at once"

    def to_json(self) -> dict[str, Any]:
        """Give all of it as JSON has it."""
        return dataclasses.asdict(self)


class Forecaster:
    """Watches the first steps of a sitting, and then knows what the others will take. Costs two waits for a GPU."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.device = config, torch.device(config.device)
        self.before: int | None = None

    def begin(self, state: State) -> None:
        """Start before the first step, or anew where steps have become other ones."""
        self.taken, self.since, self.done = 0, 0.0, False
        self.micro_batch = state.micro_batch
        if self.before is None:
            self.before = memory_in_use(self.device)

    def look(self, state: State) -> Forecast | None:
        """Look at a step just done, and give the forecast after the last one that was needed for it."""
        if self.done:
            return None
        if state.micro_batch != self.micro_batch:
            self.begin(state)
        self.taken += 1
        timed = self.taken - WARM_UP.get(self.device.type, 5)
        if timed == 0:
            synchronize()
            self.since = time.monotonic()
        if timed < FEWEST or time.monotonic() - self.since < SHORTEST:
            return None
        synchronize()
        self.done = True
        return self.conclude(state, (time.monotonic() - self.since) / timed)

    def conclude(self, state: State, seconds: float) -> Forecast:
        """Say what follows from the seconds of a step, and from what is held after it."""
        config, batch = self.config, self.config.whole_batch
        left = config.steps - state.step
        seconds_left = left * seconds
        if config.minutes is not None:
            seconds_left = min(seconds_left, max(0.0, 60 * config.minutes - state.seconds))
        most = memory_limit(self.device)
        return Forecast(
            steps=config.steps,
            steps_left=left,
            batch=batch,
            micro_batch=state.micro_batch,
            seconds_per_step=round(seconds, 5),
            images_per_second=round(batch / seconds, 3),
            seconds_left=round(seconds_left, 1),
            memory_mb=round(peak_memory(self.device), 1),
            limit_mb=None if most is None else round(most / 2**20, 1),
            largest_micro_batch=self.largest_micro_batch(state),
        )

    def largest_micro_batch(self, state: State) -> int | None:
        """Give the largest power of two of images for which there should be memory; none where that is not known."""
        now, most = memory_in_use(self.device), memory_limit(self.device)
        if now is None or most is None or self.before is None:
            return None
        players = (state.generator_optimizer, state.discriminator_optimizer)
        gradients = sum(learned.nbytes for player in players for learned in player.learned)
        image = max(1, now - self.before - gradients) / state.micro_batch
        images = int(state.micro_batch + (PLANNED_SHARE * most - now) / image)
        return 1 << (images.bit_length() - 1) if images >= 2 else None
