"""The inputs of a step: drawn for the whole batch first, then split into micro-batches."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from handful.objective.augment import Changes
from handful.objective.losses import AugmentedBatch


class StepInputs(NamedTuple):
    """Everything random in a step, or in one of its micro-batches."""

    real: AugmentedBatch
    z: Float[Tensor, "b z"]
    noise: list[Float[Tensor, "b 1 _ _"]]
    changes: Changes
    """Augmentation of the generated images."""
    small_changes: Changes
    """Augmentation of their small versions."""

    def micro_batch(self, number: int, count: int) -> StepInputs:
        """Return micro-batch ``number`` of ``count`` equal ones."""

        def part(whole: Tensor, dim: int = 0) -> Tensor:
            length = whole.shape[dim] // count
            return whole.narrow(dim, number * length, length)

        labels = None if self.real.labels is None else part(self.real.labels)
        real = AugmentedBatch(part(self.real.images), part(self.real.small), labels)
        noise = [part(site) for site in self.noise]
        # Changes have images along their second dimension.
        changes, small_changes = ([part(units, 1) for units in kind] for kind in (self.changes, self.small_changes))
        return StepInputs(real, part(self.z), noise, changes, small_changes)
