"""What a run trains its generator against."""

from __future__ import annotations

import torch

from handful.config import TrainConfig
from handful.discriminator import Discriminator
from handful.efficientnet import EfficientNet
from handful.latent import Purpose, fold
from handful.machine import PRECISIONS
from handful.projected import Features, Projected

Opponent = Discriminator | Projected
"""A discriminator of either kind."""


def opponent(
    config: TrainConfig, device: torch.device, trunk: EfficientNet | None, classes: tuple[str, ...] = ()
) -> Opponent:
    """Make the discriminator that a run asks for; its weights are still to be drawn.

    Args:
        config: The run's options.
        device: Where what is frozen is to compute.
        trunk: The network that the projected one looks through, which is copied.
        classes: Names of the classes; the projected one knows none.
    """
    if config.discriminator == "projected":
        assert trunk is not None
        random = torch.Generator().manual_seed(fold(Purpose.PROJECTION, config.seed))
        features = Features(trunk, random, device, PRECISIONS[config.precision], config.recompute)
        return Projected(config.generator, features)
    return Discriminator.of(config, classes)
