"""Half precision stays near float32, and what is learned stays float32."""

import pytest
import torch
import torch.nn.functional as F
from steps import CPU, config, run, step_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from handful.compute.precision import PRECISIONS, memory_format
from handful.training.state import State


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "close"), [("bf16", 0.06), ("fp16", 0.02)])
def test_half_precision_is_near_float32(precision, close):
    """The same first step from the same weights: losses by ratio, gradients by direction."""
    full, half = step_of(config(size=64)), step_of(config(size=64, precision=precision))
    for exact, rounded in zip(run(full, 1), run(half, 1), strict=True):
        for name in ("discriminator", "generator", "reconstruction"):
            assert rounded[name] == pytest.approx(exact[name], rel=close, abs=close)
    for player in ("generator_optimizer", "discriminator_optimizer"):
        exact, rounded = (getattr(step.state, player) for step in (full, half))
        assert all(master.dtype == torch.float32 for master in rounded.masters.values())
        pairs = {name: (master.grad, rounded.masters[name].grad) for name, master in exact.masters.items()}
        for name, pair in pairs.items():
            # A processor without instructions for bfloat16 rounds more often: 0.88 was seen in one layer.
            assert F.cosine_similarity(*(each.flatten() for each in pair), dim=0) > 0.85, name
        whole = [torch.cat([each.flatten() for each in side]) for side in zip(*pairs.values(), strict=True)]
        assert F.cosine_similarity(*whole, dim=0) > 0.95


def test_only_convolutions_are_in_half_precision():
    state = State.fresh(config(precision="bf16"), CPU)
    for network in (state.generator, state.discriminator):
        for name, module in network.named_modules():
            for parameter in module.parameters(recurse=False):
                expected = torch.bfloat16 if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) else torch.float32
                assert parameter.dtype == expected, name
    assert all(value.dtype == torch.float32 for value in state.average.parameters())


def test_the_average_takes_the_weights_before_they_are_rounded():
    step = step_of(config(precision="bf16"))
    run(step, 2)
    optimizer = step.state.generator_optimizer
    for exact, (name, rounded) in zip(optimizer.exact_weights(), step.state.generator.named_parameters(), strict=True):
        assert exact.dtype == torch.float32
        assert torch.equal(exact.to(rounded.dtype), rounded), name
        assert rounded.dtype == torch.float32 or not torch.equal(exact, rounded.float()), name


def test_an_overflow_leaves_the_step_out_and_halves_the_scale():
    step = step_of(config(precision="fp16"))
    run(step, 1)
    optimizer = step.state.discriminator_optimizer
    before = {name: master.detach().clone() for name, master in optimizer.masters.items()}
    scale = optimizer.scaler.get_scale()
    total = lambda: sum(value.float().sum() for value in step.state.discriminator.parameters())  # noqa: E731
    optimizer.accumulate_grads(total() * 1e6)
    optimizer.step()
    assert optimizer.scaler.get_scale() == scale / 2
    assert all(torch.equal(master, before[name]) for name, master in optimizer.masters.items())
    optimizer.accumulate_grads(total() * 1e-6)
    optimizer.step()
    assert not all(torch.equal(master, before[name]) for name, master in optimizer.masters.items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_maps_and_their_gradients_lie_as_the_precision_wants(precision):
    """A gradient that lies otherwise makes BatchNorm's backward pass ten times slower, and nothing else tells."""
    step = step_of(config(size=64, precision=precision))
    wanted = memory_format(PRECISIONS[precision])
    wrong = []

    class Progressing(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            if function is torch.ops.aten.native_batch_norm_backward.default:
                gradient, x = arguments[:2]
                if x.shape[-1] > 4:  # the first block makes its map from a vector, and it is small
                    wrong.extend(each.shape for each in (gradient, x) if not each.is_contiguous(memory_format=wanted))
                    seen.append(x.shape)
            return function(*arguments, **(options or {}))

    seen: list[torch.Size] = []
    with Progressing():
        step()
    assert len(seen) > 30
    assert not wrong
