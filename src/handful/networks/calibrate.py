"""BatchNorm statistics of an averaged generator."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.config import budget
from handful.networks import latent
from handful.networks.generator import Generator

CALIBRATION_SEED = 2**40
"""First seed of the calibration images, far from seeds that people choose."""


@torch.no_grad()
def calibrate(average: Generator, batch: int = 16) -> None:
    """Measure the BatchNorm statistics that belong to a generator's weights, and leave it in eval mode.

    No network in training had the statistics of an average of weights. They are measured over 256 images from fixed
    seeds, so equal weights get equal statistics. Means of squares are gathered, not of variances, which would lose the
    variance between batches.

    Source: SWA (Izmailov et al. 2018), section 3.2; departures in ``docs/paper.md``.
    """
    norms = [module for module in average.modules() if isinstance(module, nn.BatchNorm2d)]
    moments: dict[nn.Module, Float[Tensor, "2 c"]] = {
        norm: torch.zeros(2, norm.num_features, device=norm.weight.device) for norm in norms
    }

    def gather(norm: nn.Module, inputs: tuple[Float[Tensor, "b c h w"]]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        moments[norm] += torch.stack([mean, variance + mean.square()]) / (budget.current.calibration_images // batch)

    hooks = [norm.register_forward_pre_hook(gather) for norm in norms]
    average.train()
    try:
        for start in range(0, budget.current.calibration_images, batch):
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
