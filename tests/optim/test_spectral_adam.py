"""Spectral normalisation once per step, against autograd through the same formula and against a full SVD."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from handful.networks.generator import initialise
from handful.optim.spectral_adam import SpectralAdam
from handful.optim.spectral_norm import as_matrix, outputs_first


def network() -> nn.Sequential:
    layers = nn.Sequential(
        nn.ConvTranspose2d(5, 6, 4, bias=False),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 4, 3, padding=1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 1, 4, bias=False),
    )
    initialise(layers, torch.Generator().manual_seed(1))
    return layers


def wrapped(net: nn.Module, precision: torch.dtype = torch.float32) -> SpectralAdam:
    return SpectralAdam(net, 0.01, (0.5, 0.999), torch.Generator().manual_seed(2), precision)


def test_the_networks_weights_have_spectral_norm_one():
    net = network()
    optimizer = wrapped(net)
    for _ in range(200):
        optimizer.update_sigma(optimizer.layers)
    optimizer.write_weights()
    for layer in optimizer.layers.values():
        matrix = as_matrix(outputs_first(layer, layer.weight.detach()))
        assert torch.linalg.svdvals(matrix)[0].item() == pytest.approx(1, rel=1e-4)


def test_the_masters_keep_the_values_that_were_there_before():
    net = network()
    before = net[2].weight.detach().clone()
    optimizer = wrapped(net)
    assert torch.equal(optimizer.masters["2"], before)
    assert optimizer.masters["2"].std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])  # the latter lies channels last
def test_the_masters_get_the_gradient_that_autograd_finds_through_the_norm(precision):
    net = network().to(precision)
    optimizer = wrapped(net, precision)
    x = torch.randn(3, 5, 1, 1, dtype=precision, generator=torch.Generator().manual_seed(3))
    target = lambda output: output.square().mean() + output.mean()  # noqa: E731

    masters = {name: master.detach().clone().requires_grad_() for name, master in optimizer.masters.items()}
    weights = {}
    for name, master in masters.items():
        layer = optimizer.layers[name]
        normalised = master / (optimizer.u[name] @ as_matrix(master) @ optimizer.v[name])
        weights[f"{name}.weight"] = outputs_first(layer, normalised)
    target(torch.func.functional_call(net, weights, (x,))).backward()

    optimizer.accumulate_grads(target(net(x)))
    optimizer.convert_gradients()
    for name, master in masters.items():
        assert torch.allclose(optimizer.masters[name].grad, master.grad, rtol=1e-4, atol=1e-6), name


def test_a_step_moves_every_parameter_and_renews_the_weights_once():
    net = network()
    optimizer = wrapped(net)
    before = {name: value.detach().clone() for name, value in net.state_dict().items()}
    sigmas = {name: sigma.clone() for name, sigma in optimizer.sigma.items()}
    x = torch.randn(3, 5, 1, 1, generator=torch.Generator().manual_seed(3))
    net(x)
    net(x)
    assert torch.equal(net[0].weight, before["0.weight"])
    assert all(torch.equal(optimizer.sigma[name], sigma) for name, sigma in sigmas.items())
    optimizer.accumulate_grads(net(x).square().sum())
    optimizer.step()
    for name, parameter in net.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_the_weights_stay_where_they_are_in_memory():
    net = network()
    optimizer = wrapped(net)
    places = [parameter.data_ptr() for parameter in net.parameters()]
    for _ in range(2):
        optimizer.accumulate_grads(net(torch.ones(2, 5, 1, 1)).square().sum())
        optimizer.step()
    assert [parameter.data_ptr() for parameter in net.parameters()] == places


def test_steps_lower_the_loss():
    net = network()
    optimizer = wrapped(net)
    x = torch.randn(8, 5, 1, 1, generator=torch.Generator().manual_seed(3))
    losses = []
    for _ in range(60):
        loss = (net(x) - 0.3).square().mean()
        losses.append(loss.item())
        optimizer.accumulate_grads(loss)
        optimizer.step()
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_masters_lie_in_memory_as_the_weights_do(precision):
    net = network()
    optimizer = wrapped(net, precision)
    for name, layer in optimizer.layers.items():
        master = optimizer.masters[name]
        assert master.dtype == torch.float32
        assert master.stride() == outputs_first(layer, layer.weight).stride(), name
        assert optimizer.matrices[name].data_ptr() == master.data_ptr()
        for moment in ("exp_avg", "exp_avg_sq"):
            assert optimizer.adam.state[master][moment].stride() == master.stride()


SIDE_BY_SIDE = """
import torch
from torch import nn
from handful.optim.spectral_adam import SpectralAdam

def steps(compiled):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.ConvTranspose2d(5, 6, 4, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, bias=False))
    optimizer = SpectralAdam(layers, 0.01, (0.5, 0.999), torch.Generator().manual_seed(2))
    if compiled:
        optimizer.compile()
    for step in range(3):
        x = torch.randn(3, 5, 1, 1, generator=torch.Generator().manual_seed(step))
        for part in range(2):
            optimizer.accumulate_grads(layers(x * (part + 1)).square().sum(), more=part > 0)
        optimizer.step()
    return optimizer.state()

plain, compiled = steps(False), steps(True)
assert all(torch.allclose(value, compiled[name], rtol=1e-4, atol=1e-6) for name, value in plain.items())
print("equal")
"""


@pytest.mark.compile
def test_compiled_side_by_side_steps_are_the_plain_ones():
    """In a process of its own, where nothing checks the shapes at each call."""
    command = [sys.executable, "-c", SIDE_BY_SIDE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "equal", done.stderr[-3000:]
