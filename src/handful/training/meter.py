"""Losses and time since the last entry of the log."""

from __future__ import annotations

import time
from typing import final

import torch

from handful.objective.losses import Losses


class NotFiniteError(ArithmeticError):
    """A loss is infinite or not a number."""

    def __init__(self, steps_ago: int, name: str, value: float) -> None:
        super().__init__(f"the {name} loss is {value}")
        self.steps_ago = steps_ago


@final
class Meter:
    """Collects the losses of steps. They stay on the device until ``read``, so that no step waits for a GPU."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over, also the clock."""
        self.losses: list[Losses] = []
        self.since = time.monotonic()

    def add(self, losses: Losses) -> None:
        """Add the losses of a step."""
        self.losses.append({name: value.detach() for name, value in losses.items()})

    @property
    def seconds(self) -> float:
        """Seconds since the last reset."""
        return time.monotonic() - self.since

    @property
    def steps(self) -> int:
        """Steps since the last reset."""
        return len(self.losses)

    def read(self) -> dict[str, float]:
        """Return the mean of each loss.

        Raises:
            NotFiniteError: if a loss is not finite; of several, the first.
        """
        names = list(self.losses[0])
        table = torch.stack([torch.stack([*step.values()]) for step in self.losses]).cpu().double()  # [steps losses]
        wrong = (~table.isfinite()).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            raise NotFiniteError(len(table) - 1 - row, names[column], float(table[row, column]))
        return dict(zip(names, table.mean(dim=0).tolist(), strict=True))
