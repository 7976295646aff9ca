"""BatchNorm statistics of an averaged generator."""

import pytest
import torch
from torch import nn

from handful.config import budget
from handful.config.generator import GeneratorConfig
from handful.networks import latent
from handful.networks.calibrate import CALIBRATION_SEED, calibrate
from handful.networks.generator import Generator, initialise

CONFIG = GeneratorConfig(size=32, width=8)
pytestmark = pytest.mark.usefixtures("full_budget")


def generator(seed: int = 0) -> Generator:
    network = Generator(CONFIG)
    initialise(network, torch.Generator().manual_seed(seed))
    return network.requires_grad_(False)


def test_calibrated_statistics_are_those_of_all_calibration_images():
    average = generator()
    calibrate(average, batch=32)
    seen = []
    average.first.norm.register_forward_pre_hook(lambda norm, inputs: seen.append(inputs[0]))
    seeds = range(CALIBRATION_SEED, CALIBRATION_SEED + budget.current.calibration_images)
    average(*latent.from_seeds(seeds, 256, average.noise_shapes, torch.device("cpu")))
    values = seen[0].transpose(0, 1).flatten(1)
    assert torch.allclose(average.first.norm.running_mean, values.mean(1), atol=1e-6)
    assert torch.allclose(average.first.norm.running_var, values.var(1, correction=0), rtol=1e-4)


def test_every_layers_statistics_come_near_those_it_meets_in_use():
    average = generator()
    calibrate(average)
    met: dict[nn.Module, torch.Tensor] = {}
    for norm in average.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.register_forward_pre_hook(lambda norm, inputs: met.__setitem__(norm, inputs[0]))
    average(*latent.from_seeds(range(128), 256, average.noise_shapes, torch.device("cpu")))
    assert len(met) == 6
    for norm, values in met.items():
        found = values.transpose(0, 1).flatten(1)
        assert (norm.running_var / found.var(1)).log().abs().mean() < 0.1
        assert ((norm.running_mean - found.mean(1)) / found.std(1)).abs().mean() < 0.1


def test_statistics_left_from_training_would_be_wrong():
    average = generator()
    average.eval()
    z, noise = latent.from_seeds(range(8), 256, average.noise_shapes, torch.device("cpu"))
    before = average(z, noise)[0]
    calibrate(average)
    assert (average(z, noise)[0] - before).abs().mean() > 0.05


@pytest.mark.slow
def test_calibration_depends_on_the_weights_alone_and_ends_in_eval_mode():
    first, second = generator(), generator()
    calibrate(first)
    second.train()
    second(*latent.from_seeds(range(4), 256, second.noise_shapes, torch.device("cpu")))
    calibrate(second)
    assert not first.training
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_only_in_eval_mode_an_image_does_not_depend_on_its_neighbours(mode):
    network = generator()
    calibrate(network)
    getattr(network, mode)()
    z, noise = latent.from_seeds(range(4), 256, network.noise_shapes, torch.device("cpu"))
    together = network(z, noise)[0][:2]
    alone = network(z[:2], [each[:2] for each in noise])[0]
    assert torch.allclose(together, alone, atol=1e-5) is (mode == "eval")
