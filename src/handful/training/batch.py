"""What a step is made of, drawn for all its images before any network computes, and divided into parts after that."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from handful.objective.augment import Changes
from handful.objective.losses import AugmentedBatch


class StepInputs(NamedTuple):
    """What two networks are going to be given in a step, or in one of its parts."""

    real: AugmentedBatch
    z: Float[Tensor, "b z"]
    noise: list[Float[Tensor, "b 1 _ _"]]
    changes: Changes
    """Of the generated images."""
    small_changes: Changes
    """Of their small versions."""

    def part(self, number: int, count: int) -> StepInputs:
        """Give part ``number`` of ``count`` equal ones."""
        real, place = self.real, (number, count)
        labels = None if real.labels is None else cut(real.labels, *place)
        images, small, plain = (cut(each, *place) for each in (real.images, real.small, real.plain))
        shown = AugmentedBatch(images, small, plain, cut_all(real.changes, *place), labels)
        noise = [cut(each, *place) for each in self.noise]
        changes, small_changes = (cut_all(each, *place) for each in (self.changes, self.small_changes))
        return StepInputs(shown, cut(self.z, *place), noise, changes, small_changes)


def cut(whole: Tensor, number: int, count: int, dim: int = 0) -> Tensor:
    """Give part ``number`` of ``count`` equal ones of a tensor, without a copy."""
    length = whole.shape[dim] // count
    return whole.narrow(dim, number * length, length)


def cut_all(changes: list[Tensor], number: int, count: int) -> list[Tensor]:
    """Give that part of what is drawn for changes, whose images lie along the second dimension."""
    return [cut(units, number, count, dim=1) for units in changes]
