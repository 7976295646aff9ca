"""What a step is made of, drawn for all its images before any network computes, and divided into parts after that."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from handful.augment import Changes
from handful.losses import Shown


class Drawn(NamedTuple):
    """What two networks are going to be given in a step, or in one of its parts."""

    real: Shown
    z: Float[Tensor, "b z"]
    noise: list[Float[Tensor, "b 1 _ _"]]
    changes: Changes
    """Of the generated images."""
    small_changes: Changes
    """Of their small versions."""

    def part(self, number: int, count: int) -> Drawn:
        """Give part ``number`` of ``count`` equal ones."""

        def cut(whole: Tensor, dim: int = 0) -> Tensor:
            length = whole.shape[dim] // count
            return whole.narrow(dim, number * length, length)

        def cut_all(changes: list[Tensor]) -> list[Tensor]:
            return [cut(units, dim=1) for units in changes]

        real = self.real
        labels = None if real.labels is None else cut(real.labels)
        shown = Shown(cut(real.images), cut(real.small), cut(real.plain), cut_all(real.changes), labels)
        noise = [cut(each) for each in self.noise]
        return Drawn(shown, cut(self.z), noise, cut_all(self.changes), cut_all(self.small_changes))
