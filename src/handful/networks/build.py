"""The discriminator that a run asks for."""

from __future__ import annotations

import torch

from handful.compute.precision import PRECISIONS
from handful.config.train import TrainConfig
from handful.networks.discriminator import Discriminator
from handful.networks.heads import Look, ProjectedHeads
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.projected import Features, ProjectedDiscriminator
from handful.seeds import Purpose, fold

AnyDiscriminator = Discriminator | ProjectedDiscriminator


def build_discriminator(
    config: TrainConfig, device: torch.device, backbone: EfficientNet | None, classes: tuple[str, ...] = ()
) -> AnyDiscriminator:
    """Build the discriminator of a run; its weights are not initialised.

    Args:
        config: The run's options.
        device: Device of the frozen network of ``--discriminator projected``.
        backbone: That network; it is copied.
        classes: Names of the classes; the projected discriminator has none.
    """
    if config.discriminator == "projected":
        assert backbone is not None
        random = torch.Generator().manual_seed(fold(Purpose.PROJECTION, config.seed))
        features = Features(backbone, random, device, PRECISIONS[config.precision], config.recompute)
        return ProjectedDiscriminator(config.generator, features)
    network = Discriminator.of(config, classes)
    if config.projected_weight:
        assert backbone is not None
        look = Look(config.generator, backbone, device, PRECISIONS[config.precision], config.recompute)
        network.projected = ProjectedHeads(look)
    return network
