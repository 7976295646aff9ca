"""Which images are not trained on."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from handful.config.train import TrainConfig
from handful.data.classes import LEFT_OUT, Classes
from handful.seeds import Purpose, fold

FEWEST_TO_HOLD_BACK = 40


MOST_HELD_BACK = 32


def hold_back(classes: Classes, config: TrainConfig) -> tuple[list[int], list[int]]:
    """Say which images are trained on, and which are held back to see what is learned by heart; the seed says which.

    Of a class at most half is held back. Images that are of no class are neither.
    """
    images = [place for place, number in enumerate(classes.numbers) if number != LEFT_OUT]
    count = min(round(config.hold_back * len(images)), MOST_HELD_BACK)
    if len(images) < FEWEST_TO_HOLD_BACK or count < 2:
        return images, []
    left = Counter(classes.numbers[place] for place in images)
    most = {number: size // 2 for number, size in left.items()}
    random = np.random.default_rng(fold(Purpose.HOLD_BACK, config.seed))
    unseen: list[int] = []
    for place in random.permutation(len(images)).tolist():
        number = classes.numbers[images[place]]
        if len(unseen) < count and most[number] > 0:
            unseen.append(images[place])
            most[number] -= 1
    return sorted(set(images) - set(unseen)), sorted(unseen)


def part(
    images: UInt8[Tensor, "n c h w"], kept: list[int], unseen: list[int]
) -> tuple[UInt8[Tensor, "t c h w"], UInt8[Tensor, "u c h w"]]:
    """Take some images, and some others, out of all.

    Works in the memory of ``images``, since a second copy of the set may not fit.
    """
    others = images[unseen]
    pixels = images.numpy()  # a torch copy of an image starts threads that take longer than the copy
    for place, index in enumerate(kept):
        if place != index:
            pixels[place] = pixels[index]
    return images[: len(kept)], others
