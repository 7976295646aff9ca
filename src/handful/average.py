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
from torch import Tensor, nn

from handful import latent
from handful.config import TrainConfig
from handful.generator import Generator

CALIBRATION_IMAGES = 256
CALIBRATION_SEED = 2**40
"""First of the seeds of the calibration images, far from those that people choose."""


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


@torch.no_grad()
def calibrate(average: Generator, batch: int = 16) -> None:
    """Give a generator the BatchNorm statistics that belong to its weights, and leave it in eval mode.

    An average of weights has statistics that no network of the training had, so they are measured over 256 images from
    fixed seeds: the same weights give the same statistics. Means of squares rather than of variances are gathered,
    which keeps what the batches differ by.

    Source: SWA (Izmailov et al. 2018), section 3.2; defects 1 to 3 in ``docs/method.md``.
    """
    norms = [module for module in average.modules() if isinstance(module, nn.BatchNorm2d)]
    moments: dict[nn.Module, Float[Tensor, "2 c"]] = {
        norm: torch.zeros(2, norm.num_features, device=norm.weight.device) for norm in norms
    }

    def gather(norm: nn.Module, inputs: tuple[Float[Tensor, "b c h w"]]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        moments[norm] += torch.stack([mean, variance + mean.square()]) / (CALIBRATION_IMAGES // batch)

    hooks = [norm.register_forward_pre_hook(gather) for norm in norms]
    average.train()
    try:
        for start in range(0, CALIBRATION_IMAGES, batch):
            seeds = range(CALIBRATION_SEED + start, CALIBRATION_SEED + start + batch)
            device = next(average.parameters()).device
            z, noise = latent.from_seeds(seeds, average.config.latent, average.noise_shapes, device)
            average(z, noise, average.labels(seeds))
    finally:
        average.eval()
        for hook in hooks:
            hook.remove()
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        mean, square = moments[norm]
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(square - mean.square())
        norm.num_batches_tracked.zero_()
