"""Generators that draw vivid pictures without having been trained."""

from collections.abc import Callable

import torch

from handful.config.generator import GeneratorConfig
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator, initialise
from handful.sampling.model import Model

CPU = torch.device("cpu")


def made(
    seed: int = 0, noise: float = 0.3, change: Callable[[Generator], None] = lambda network: None, **options
) -> Model:
    """A fresh model of 32 px whose noise shows and whose classes differ; ``change`` changes it before calibration."""
    random = torch.Generator().manual_seed(seed)
    network = Generator(GeneratorConfig(**({"size": 32, "width": 8} | options)))
    initialise(network, random)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "noise" in name:
                parameter.fill_(noise)
        for table in network.classes.parameters():  # of a fresh one classes are all alike
            table.normal_(0.0, 0.5, generator=random)
        change(network)
    calibrate(network)
    return Model(network)


def trained(size: int, sle: bool = True, width: int = 8, **options) -> Generator:
    """A generator with noise, statistics, gains, shifts and classes that are not those of a fresh one."""
    random = torch.Generator().manual_seed(0)
    network = Generator(GeneratorConfig(size=size, width=width, sle=sle, **options))
    initialise(network, random)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.ndim == 1:
                value.copy_(torch.randn(value.shape, generator=random) * 0.3 + (0.0 if name.endswith("bias") else 0.7))
        for table in network.classes.parameters():
            table.normal_(0.0, 0.5, generator=random)
        network.to_image.weight.mul_(20)
    calibrate(network)
    return network.requires_grad_(False)
