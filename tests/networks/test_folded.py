"""A folded generator draws what the generator draws in eval mode."""

import subprocess
import sys

import pytest
import torch

from handful.compute.precision import memory_format
from handful.networks import latent
from handful.networks.folded import FoldedGenerator
from support.models import CPU, trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "options"),
    [(size, {}) for size in (32, 64, 128, 256, 512)] + [(64, {"sle": False})],
)
def test_a_folded_generator_draws_the_same_picture(size, options):
    network = trained(size, **options)
    z, noise = latent.from_seeds(range(2), 256, network.noise_shapes, CPU)
    folded = FoldedGenerator(network)(z, noise)
    assert folded.abs().mean() > 0.05
    torch.testing.assert_close(folded, network(z, noise)[0], rtol=0, atol=1e-4)
    network.double()
    z, noise = z.double(), [each.double() for each in noise]
    exact = FoldedGenerator(network, torch.float64)
    seen: list[torch.Tensor] = []
    for net in (exact, network):  # before tanh, which is taken in float32
        net.to_image.register_forward_hook(lambda *call: seen.append(call[2]))
        net(z, noise)
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("labels", [torch.tensor([2, 0]), torch.tensor([[0.0, 0.3, 0.7], [1.0, 0.0, 0.0]])])
def test_a_folded_generator_draws_the_same_picture_of_classes_and_of_shares_of_them(labels):
    network = trained(64, classes=("cats", "dogs", "newts"))
    z, noise = latent.from_seeds(range(2), 256, network.noise_shapes, CPU)
    folded = FoldedGenerator(network)
    drawn = folded(z, noise, labels)
    torch.testing.assert_close(drawn, network(z, noise, labels)[0], rtol=0, atol=1e-4)
    assert torch.equal(drawn, folded(z, noise, labels, folded.compute_gates(z, noise, labels)))
    assert (drawn[:1] - folded(z[:1], [maps[:1] for maps in noise], torch.tensor([1]))).abs().max() > 0.01


def test_folding_leaves_the_generator_alone_and_shares_nothing_with_it():
    network = trained(64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = FoldedGenerator(network, torch.bfloat16)
    for value in (*folded.buffers(), *folded.parameters()):
        value.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_half_precision_is_near_and_lies_channels_last():
    network = trained(64)
    z, noise = latent.from_seeds(range(4), 256, network.noise_shapes, CPU)
    exact = FoldedGenerator(network)(z, noise)
    folded = FoldedGenerator(network, torch.bfloat16)
    made = folded(z, noise)
    assert made.dtype == torch.float32
    assert 0 < (made - exact).abs().mean() * 127.5 < 1.5
    for stage in folded.blocks["64"]:
        assert stage.weight.is_contiguous(memory_format=memory_format(torch.bfloat16))


def test_nothing_of_the_small_image_is_left():
    network = trained(64)
    names = {
        name for name, _ in [*FoldedGenerator(network).named_buffers(), *FoldedGenerator(network).named_parameters()]
    }
    assert not any("small" in name or "norm" in name or "running" in name for name in names)


COMPILED = """
import torch
from handful.networks.calibrate import calibrate
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.networks.generator import Generator, initialise
from handful.sampling.model import Model

network = Generator(GeneratorConfig(size=32, width=8))
initialise(network, torch.Generator().manual_seed(0))
calibrate(network)
plain = Model(network).sample(range(5)).int()
model = Model(network, compile=True)
compiled = model.sample(range(5)).int()
assert (plain - compiled).abs().max() <= 1
assert (plain != compiled).float().mean() < 0.01
assert torch.equal(model.sample([3]).int(), compiled[3:4])
half = Model(network, "bf16", compile=True).sample(range(2)).int()
assert 0 < (half - plain[:2]).abs().float().mean() < 1.5
try:
    Model(network, "int8")
except UsageError as error:
    assert "precision int8: choose one of fp32, bf16, fp16" in str(error)
    print("equal")
"""


@pytest.mark.compile
def test_a_compiled_generator_draws_the_same_picture_but_for_rounding():
    """In a process of its own, where nothing checks the shapes at each call: the compiler would compile that too."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "equal", done.stderr[-3000:]
