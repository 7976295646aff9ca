"""The averaged generator: a complete network, the one that pictures are drawn from.

It averages the normalised weights that the trained generator computes with, so it has no spectral norm. Its BatchNorm
statistics are measured (``networks.calibrate``), so it is used in eval mode, where images do not affect each other.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def decay(most: float, step: int) -> float:
    """Return the share of the average that a step keeps: ``min(most, (1 + step) / (10 + step))``.

    The ramp lets the average forget the untrained start.

    Source: FastGAN's released code, which has ``most`` from the first step on; the ramp is that of TensorFlow's
    ``ExponentialMovingAverage``.
    """
    return min(most, (1 + step) / (10 + step))


@torch.no_grad()
def blend(average: list[Tensor], latest: list[Tensor], keep: Float[Tensor, ""]) -> None:
    """Move averaged parameters towards the latest: ``average = keep * average + (1 - keep) * latest``."""
    torch._foreach_lerp_(average, latest, [1 - keep] * len(average))
