"""What a run trains its generator against."""

from __future__ import annotations

import torch

from handful.compute.precision import PRECISIONS
from handful.config.train import TrainConfig
from handful.networks.discriminator import Discriminator
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.projected import Features, Projected
from handful.seeds import Purpose, fold

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
