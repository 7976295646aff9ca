"""Gradient accumulation over micro-batches, which are halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from handful.compute.memory import is_out_of_memory, smaller_micro_batch
from handful.compute.processes import Processes
from handful.compute.shared_batch import micro_batches
from handful.config.train import TrainConfig
from handful.errors import TrainingError
from handful.objective.losses import Losses
from handful.optim.spectral_adam import SpectralAdam
from handful.training.batch import StepInputs
from handful.training.state import State

LossFunction = Callable[[StepInputs], tuple[Float[Tensor, ""], Losses]]
"""Map the inputs of a micro-batch to a network's loss, and its parts for the log."""


class Accumulator:
    """Computes gradients in micro-batches of ``state.micro_batch`` images."""

    def __init__(self, config: TrainConfig, state: State, processes: Processes) -> None:
        self.batch, self.state, self.processes = config.whole_batch, state, processes

    @property
    def count(self) -> int:
        """Micro-batches in a batch."""
        return self.batch // self.state.micro_batch

    def __call__(
        self, inputs: StepInputs, optimizer: SpectralAdam, loss_function: LossFunction, random: torch.Generator
    ) -> Losses:
        """Accumulate a network's gradients, and return its losses as means over the batch.

        If memory runs out, it starts over with smaller micro-batches. It changes nothing else that a step depends on.
        """
        recording = random.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        start = None if recording else random.get_state()
        while True:
            try:
                return self.attempt(inputs, optimizer, loss_function, random, start)
            except (RuntimeError, MemoryError) as error:
                if start is None or not is_out_of_memory(error):
                    raise
                self.halve(error)
            random.set_state(start)

    def attempt(
        self,
        inputs: StepInputs,
        optimizer: SpectralAdam,
        loss_function: LossFunction,
        random: torch.Generator,
        start: Tensor | None,
    ) -> Losses:
        """Try once. Each micro-batch draws for the whole batch, from state ``start``, and keeps its own part."""
        count = self.count
        sums: Losses = {}
        self.state.controls.discard()
        for number in range(count):
            if start is not None and number:
                random.set_state(start)
            with micro_batches(count, number):
                loss, losses = loss_function(inputs.micro_batch(number, count))
                optimizer.accumulate_grads(loss / count, more=number > 0)
            for name, value in losses.items():
                mean = value.detach() / count
                sums[name] = sums[name] + mean if name in sums else mean
        return sums

    def halve(self, error: Exception) -> None:
        """Halve the micro-batch.

        Raises:
            TrainingError: It cannot be halved.
            Exception: ``error``, if there are several processes, which would have to agree.
        """
        state = self.state
        if self.processes.count > 1:
            error.add_note(f"Memory ran out with --micro-batch {state.micro_batch}; start a new run with a lower one.")
            raise error
        less = smaller_micro_batch(state.micro_batch, self.batch)
        if less is None:
            raise TrainingError(
                f"step {state.step + 1}: memory ran out with micro-batches of {state.micro_batch} images, which cannot "
                "be halved. Close other programs and run the same command again, or start a new run with --recompute, "
                "a lower --size or a lower --width"
            ) from error
        state.micro_batch = less
