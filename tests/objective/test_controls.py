"""The parts that hold the discriminator back, and what their strength follows."""

import pytest
import torch

from handful.config.generator import GeneratorConfig
from handful.config.presets import tiny
from handful.networks.chain import Role, places, update
from handful.networks.discriminator import Discriminator
from handful.networks.layers import upsample_smoothly
from handful.networks.residual import LargeDownBlock, ResidualDownBlock
from handful.objective.controls import CHAIN_SPEED, CHAIN_TARGET, LECAM_START, Controls
from handful.objective.lattice import sampled
from handful.objective.losses import lecam_loss
from handful.objective.spectrum import power

SURE, UNSURE = torch.ones(4, 5), -torch.ones(4, 5)


def controls(**options) -> Controls:
    """Those of a run that watches nothing of what is generated, unless it is asked to."""
    return Controls(tiny("-", **{"spectrum": 0.0, "lattice": 0.0} | options), torch.zeros(()), torch.zeros(()))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_smooth_enlarging_is_the_binomial_1_3_3_1():
    x = torch.randn(2, 3, 6, 6, generator=seeded())
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (line[:, None] * line).expand(3, 1, 4, 4)
    spread = torch.nn.functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=3)
    inner = (..., slice(1, -1), slice(1, -1))  # at the edges bilinear repeats the last pixel
    assert torch.allclose(upsample_smoothly(x)[inner], spread[inner], atol=1e-6)


@pytest.mark.parametrize("normalisation", ["chain", "chain-cumulative"])
@pytest.mark.parametrize("kind", [ResidualDownBlock, LargeDownBlock])
def test_recomputing_a_chained_block_changes_nothing(kind, normalisation):
    block = kind(3, 4, normalisation)
    x = torch.randn(2, 3, 8, 8, generator=seeded(), requires_grad=True)
    chosen = torch.rand(3, 2, 4, generator=seeded(1)) < 0.5
    results = []
    for recompute in (False, True):
        block.recompute = recompute
        for buffer in block.buffers():
            buffer.zero_()
        made, off_centre = block(x, chosen, role=Role.REAL)
        results.append([made, off_centre, *torch.autograd.grad(made.sum() + off_centre, x)])
        update(places(block).values())
        results[-1] += [buffer.clone() for buffer in block.buffers()]
    assert all(torch.equal(kept, again) for kept, again in zip(*results, strict=True))


def test_chains_strength_decides_what_its_draws_do():
    discriminator = Discriminator(GeneratorConfig(size=64, width=8), normalisation="chain")
    images = torch.rand(2, 3, 64, 64, generator=seeded()) * 2 - 1
    small = torch.nn.functional.avg_pool2d(images, 2)

    def logits(seed: int, strength: float) -> torch.Tensor:
        discriminator.strength.fill_(strength)
        return discriminator(images, small, discriminator.chance(2, seeded(seed))).logits

    assert torch.equal(logits(1, 0.0), logits(2, 0.0))
    assert not torch.equal(logits(1, 0.5), logits(2, 0.5))
    assert torch.equal(logits(1, 1.0), logits(2, 1.0))
    assert not torch.equal(logits(1, 1.0), logits(1, 0.0))


@pytest.mark.parametrize(
    ("options", "name", "change"),
    [
        ({"normalisation": "chain"}, "chain", CHAIN_SPEED),
        (
            {"augment_schedule": "adaptive", "augment_probability": 0.8, "augment_ramp": 100, "augment_target": 0.6},
            "augment",
            0.008,
        ),
    ],
)
def test_a_strength_rises_while_the_discriminator_is_sure_and_falls_when_it_is_not(options, name, change):
    held = controls(**options)
    seen = []
    for logits in [SURE] * 30 + [UNSURE] * 20:
        before = getattr(held, name).item()
        held.see(logits, UNSURE)
        held.update()
        sure = held.sign.item() > {"chain": CHAIN_TARGET, "augment": 0.6}[name]
        seen.append(sure)
        expected = max(0.0, before + (change if sure else -change))
        assert getattr(held, name).item() == pytest.approx(expected, abs=1e-6)
    assert seen[29]
    assert not seen[-1]
    for _ in range(2000):
        held.see(SURE, UNSURE)
        held.update()
    assert getattr(held, name).item() == pytest.approx(1.0 if name == "chain" else 0.8)


def test_linear_augmentation_reaches_its_probability_at_the_end_of_the_ramp():
    held = controls(augment_schedule="linear", augment_probability=0.6, augment_ramp=10)
    made = []
    for _ in range(12):
        made.append(held.augment.item())
        held.see(UNSURE, UNSURE)
        held.update()
    assert made == pytest.approx([0.06 * step for step in range(10)] + [0.6, 0.6])


def test_what_a_run_does_not_have_does_not_move():
    held = controls(augment_schedule="constant", augment_probability=1.0)
    assert held.probability is None
    held.see(SURE, UNSURE)
    held.update()
    assert held.chain == 0
    assert held.moving() == {}


def test_the_mean_logits_are_plain_means_at_first_and_running_ones_later():
    held = controls()
    for value in (1.0, 2.0, 6.0):
        held.see(torch.full((2, 3), value), torch.full((2, 3), -value))
        held.update()
    assert held.real.item() == pytest.approx(3)
    assert held.fake.item() == pytest.approx(-3)
    for _ in range(2000):
        held.see(SURE, UNSURE)
        held.update()
    assert held.real.item() == pytest.approx(1, abs=1e-3)
    held.see(2 * SURE, UNSURE)
    held.update()
    assert held.real.item() == pytest.approx(1.01, abs=1e-3)


@pytest.mark.parametrize(("option", "name", "measure"), [("spectrum", "power", power), ("lattice", "detail", sampled)])
def test_what_images_have_is_that_of_all_generated_at_first_and_a_running_mean_later(option, name, measure):
    held = controls(**{option: 0.3}, size=32)
    mean = held.means[name]
    shown = [torch.randn(2, 3, 32, 32, generator=seeded(seed)) for seed in range(4)]
    for pair in (shown[:2], shown[2:]):
        for part in pair:  # a batch in parts
            held.see(SURE[:2], UNSURE[:2], part)
        held.update()
    assert torch.allclose(mean, torch.stack([*map(measure, shown)]).mean(dim=0), rtol=1e-4)
    assert held.state()[name] is mean
    held.steps.fill_(1_000)
    before = mean.clone()
    held.see(SURE[:2], UNSURE[:2], shown[0])
    held.update()
    assert torch.allclose(mean, torch.lerp(before, measure(shown[0]), 0.01), rtol=1e-4)


def test_lecam_is_its_formula_and_waits_for_its_means():
    held = controls(lecam=0.3)
    held.real.fill_(0.7)
    held.fake.fill_(-0.4)
    real, fake = torch.tensor([[0.5, -2.0]]), torch.tensor([[0.1, 3.0]])
    assert lecam_loss(real, fake, held) == 0
    held.steps.fill_(LECAM_START)
    expected = ((0.5 + 0.4) ** 2 + 0) / 2 + ((0.7 - 0.1) ** 2 + 0) / 2
    assert lecam_loss(real, fake, held).item() == pytest.approx(expected)
