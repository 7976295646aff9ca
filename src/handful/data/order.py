"""Which images: those of each training step, and a few evenly spaced ones of many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from handful.seeds import Purpose, fold

Item = TypeVar("Item")


def batch_indices(seed: int, step: int, batch: int, members: Sequence[Sequence[int]]) -> list[int]:
    """Return the indices of the images that a step sees, where ``members`` lists those of each class.

    All classes take turns equally often, in random order. Each image of a class is seen once, in random order, before
    any of them is seen again.
    """
    indices = []
    for position in range(step * batch, (step + 1) * batch):
        turn, rank = divmod(position, len(members))
        label = int(permutation(Purpose.CLASS, seed, turn, len(members))[rank])
        images = members[label]
        epoch, rank = divmod(turn, len(images))
        indices.append(images[permutation(Purpose.ORDER, seed, epoch * len(members) + label, len(images))[rank]])
    return indices


@lru_cache(maxsize=256)
def permutation(purpose: Purpose, seed: int, number: int, count: int) -> Int64[np.ndarray, " n"]:
    """Return a random permutation of the numbers below ``count``, the ``number``-th one of this purpose and seed."""
    return np.random.default_rng(fold(purpose, seed, number)).permutation(count)


def evenly_spaced(items: Sequence[Item], count: int) -> Sequence[Item]:
    """Return ``count`` items, evenly spaced over a sequence and with the first among them; all if there are fewer."""
    return [items[index * len(items) // count] for index in range(count)] if len(items) > count else items


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts names as people do: ``2.png`` before ``10.png``, and capitals among small letters."""
    parts = re.split(r"([0-9]+)", name.casefold())
    parts[1::2] = [number.lstrip("0") for number in parts[1::2]]
    # The length stands for the size of a number, which may have more digits than Python converts.
    return [(len(part) if index % 2 else 0, part) for index, part in enumerate(parts)], name
