"""The discriminator that a run asks for."""

from __future__ import annotations

import torch

from handful.compute.precision import PRECISIONS
from handful.config.train import TrainConfig
from handful.networks.discriminator import Discriminator
from handful.networks.heads import Look, ProjectedHeads
from handful.networks.pretrained.efficientnet import EfficientNet


def build_discriminator(
    config: TrainConfig, device: torch.device, backbone: EfficientNet | None, classes: tuple[str, ...] = ()
) -> Discriminator:
    """Build the discriminator of a run; its weights are not initialised.

    Args:
        config: The run's options.
        device: Device of the frozen network of projected heads.
        backbone: That network; it is copied. Not needed where ``projected_weight`` is 0.
        classes: Names of the classes.
    """
    network = Discriminator.of(config, classes)
    if config.projected_weight:
        assert backbone is not None
        look = Look(config.generator, backbone, device, PRECISIONS[config.precision], config.recompute)
        network.projected = ProjectedHeads(look)
    return network
