"""The averaged parameters."""

import copy

import torch

from handful.config.generator import GeneratorConfig
from handful.networks.generator import Generator, initialise
from handful.optim.average import blend, decay

CONFIG = GeneratorConfig(size=32, width=8)


def generator(seed: int = 0) -> Generator:
    network = Generator(CONFIG)
    initialise(network, torch.Generator().manual_seed(seed))
    return network.requires_grad_(False)


def test_the_average_moves_by_one_minus_the_decay():
    average, latest = generator(0), generator(1)
    expected = {n: 0.999 * p + 0.001 * dict(latest.named_parameters())[n] for n, p in average.named_parameters()}
    blend([*average.parameters()], [*latest.parameters()], torch.tensor(decay(0.999, 100_000)))
    for name, parameter in average.named_parameters():
        assert torch.allclose(parameter, expected[name]), name


def test_the_average_forgets_its_start_in_a_short_run():
    average, latest = generator(0), generator(1)
    start = copy.deepcopy(average)
    for step in range(100):
        blend([*average.parameters()], [*latest.parameters()], torch.tensor(decay(0.999, step)))
    weight, untrained, last = (net.to_image.weight for net in (average, start, latest))
    assert (weight - last).norm() < 0.001 * (untrained - last).norm()
