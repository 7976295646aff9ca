"""The averaged generator: a complete network of its own, the one that pictures are drawn from.

It is averaged over what the trained generator computes with, its normalised weights, so no spectral norm is left to
take care of; and its BatchNorm statistics are measured, so it is used in eval mode, where images do not meet.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handful.config.train import TrainConfig


def kept(decay: float, step: int) -> float:
    """Give the share of the average that a step keeps: ``decay``, and less in the first steps.

    ``(1 + step) / (10 + step)`` while that is lower, so that the average does not hold on to the untrained start.

    Source: FastGAN's released code, which has ``decay`` from the first step on; the ramp is that of TensorFlow's
    ``ExponentialMovingAverage``.
    """
    return min(decay, (1 + step) / (10 + step))


def power_kept(width: float, step: int) -> float:
    """Give the share of a power-function average that a step keeps: ``(1 - 1 / n) ** (exponent + 1)`` at the n-th step.

    The average then covers the same share of the run at any time, about ``width`` of it, and has forgotten the start.

    Source: EDM2 (Karras et al. 2024), section 3 and equation 127 for the exponent.
    """
    return math.pow(1 - 1 / (step + 1), exponent(width) + 1)


def all_kept(config: TrainConfig, step: int) -> list[float]:
    """Give the share that a step keeps of each average that a run has."""
    return [power_kept(width, step) for width in config.average_widths] or [kept(config.average_decay, step)]


@cache
def exponent(width: float) -> float:
    """Give the exponent of the power function whose standard deviation is ``width`` of the time so far, 0 to 0.288.

    The largest real root of ``g^3 + 7 g^2 + (16 - width^-2) g + 12 - width^-2``.

    Source: EDM2 (Karras et al. 2024), equation 127.
    """
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real[abs(roots.imag) < 1e-6].max())


@torch.no_grad()
def blend(average: list[Tensor], latest: list[Tensor], keep: Float[Tensor, ""]) -> None:
    """Move averaged parameters towards the latest: ``average = keep * average + (1 - keep) * latest``."""
    torch._foreach_lerp_(average, latest, [1 - keep] * len(average))
