"""Forecast how long a run takes and how much memory it needs, from its first steps."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, final

import torch

from handful.compute.device import synchronize
from handful.compute.memory import PLANNED_SHARE, memory_in_use, memory_limit, peak_memory
from handful.config.train import TrainConfig
from handful.displays import duration
from handful.training.schedule import steps_to_come
from handful.training.state import State

WARM_UP_STEPS = {"cpu": 1, "cuda": 5}
"""Steps before the timed ones. They compile networks, record CUDA graphs and allocate memory."""

MIN_SECONDS_TIMED = 3.0

MIN_SECONDS_TO_TELL = 60.0
"""A run that takes less gets no forecast."""

BYTES_PER_VALUE = 8
"""Least memory of a step for each value of an image: the real one and a generated one, in float32."""

LONG_SECONDS = 4 * 3600.0
"""From here on, a run on a CPU gets advice how to train faster."""


@dataclass(frozen=True)
class Forecast:
    """What a run will take, without scores, which add up to 5 % of the time."""

    steps: int
    """Steps of the whole run."""
    steps_left: int
    """Fewer than ``steps`` where ``--minutes`` will end the run first."""
    batch: int
    micro_batch: int
    """Images computed at once."""
    seconds_per_step: float
    images_per_second: float
    seconds_left: float
    memory_mb: float
    """Peak so far: of GPU memory on CUDA, otherwise of the process."""
    limit_mb: float | None
    """Memory that the process could use, given what other programs hold; None if unknown, as on macOS."""
    largest_micro_batch: int | None
    """Images at once that should fit into memory: the batch, or the largest power of two below; None if unknown."""

    def __str__(self) -> str:
        rate, memory = f"{self.images_per_second:.3g} images/s", f"{self.memory_mb:,.0f} MB of memory"
        text = f"forecast: {duration(self.seconds_left)} for {self.steps_left:,} steps at {rate}; {memory}"
        if self.limit_mb is None:
            return text
        text = f"{text} of {self.limit_mb:,.0f}"
        match self.largest_micro_batch:
            case None:
                return text
            case self.batch:
                return f"{text}, enough for the whole batch at once"
            case largest:
                return f"{text}, enough for micro-batches of {largest} images"

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)


def advice(config: TrainConfig, seconds: float) -> str | None:
    """Return how to train faster where a run takes hours on a CPU; None elsewhere."""
    if config.device != "cpu" or seconds < LONG_SECONDS:
        return None
    if config.preset == "tiny" or max(config.shape) <= 64:
        return "that is long: lower --steps, or set --minutes; the run keeps what it has learned by then"
    return "that is long for a CPU: --preset tiny learns a simple folder in minutes, and --size 64 takes far less time"


@final
class Forecaster:
    """Times the first steps of a sitting, then returns one forecast. Waits for the GPU only twice."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.device = config, torch.device(config.device)
        self.memory_before: int | None = None
        self.seconds_per_step: float | None = None
        """Of the forecast, later between entries of the log; None until then."""

    def start(self, state: State) -> None:
        """Start timing, before the first step or after the micro-batch has changed."""
        self.steps, self.since, self.done = 0, 0.0, False
        self.micro_batch = state.micro_batch
        if self.memory_before is None:
            self.memory_before = memory_in_use(self.device)

    def update(self, state: State) -> Forecast | None:
        """Count a step, and return the forecast once enough steps are timed."""
        if self.done:
            return None
        if state.micro_batch != self.micro_batch:
            self.start(state)
        self.steps += 1
        timed = self.steps - WARM_UP_STEPS.get(self.device.type, 5)
        if timed == 0:
            synchronize()
            self.since = time.monotonic()
        if timed < 1 or time.monotonic() - self.since < MIN_SECONDS_TIMED:
            return None
        synchronize()
        self.done = True
        self.seconds_per_step = (time.monotonic() - self.since) / timed
        return self.forecast(state, self.seconds_per_step)

    def steps_to_come(self, step: int, seconds: float) -> int:
        """Return how many steps the run will still take after ``step`` steps in ``seconds``, by its pace so far."""
        if self.seconds_per_step is None:
            return self.config.steps - step
        return steps_to_come(self.config, step, seconds, self.seconds_per_step)

    def forecast(self, state: State, seconds_per_step: float) -> Forecast:
        """Return the forecast for the rest of the run."""
        config, batch = self.config, self.config.whole_batch
        steps_left = steps_to_come(config, state.step, state.seconds, seconds_per_step)
        most = memory_limit(self.device)
        return Forecast(
            steps=config.steps,
            steps_left=steps_left,
            batch=batch,
            micro_batch=state.micro_batch,
            seconds_per_step=round(seconds_per_step, 5),
            images_per_second=round(batch / seconds_per_step, 3),
            seconds_left=round(steps_left * seconds_per_step, 1),
            memory_mb=round(peak_memory(self.device), 1),
            limit_mb=None if most is None else round(most / 2**20, 1),
            largest_micro_batch=self.largest_micro_batch(state),
        )

    def largest_micro_batch(self, state: State) -> int | None:
        """Return how many images should fit into memory: the batch, or the largest power of two below; None if unknown.

        Unknown too where the steps took less new memory than their images alone, as they do in memory freed before.
        """
        now, most = memory_in_use(self.device), memory_limit(self.device)
        if now is None or most is None or self.memory_before is None:
            return None
        players = (state.generator_optimizer, state.discriminator_optimizer)
        gradients = sum(learned.nbytes for player in players for learned in player.learned)
        image = (now - self.memory_before - gradients) / state.micro_batch
        if image < BYTES_PER_VALUE * self.config.geometry.bytes_per_image:
            return None
        images = int(state.micro_batch + (PLANNED_SHARE * most - now) / image)
        if images >= self.config.whole_batch:
            return self.config.whole_batch
        return 1 << (images.bit_length() - 1) if images >= 2 else None
