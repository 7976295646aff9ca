"""The running statistics of a run, and the augmentation strength that follows from them."""

import pytest
import torch

from handful.config.presets import tiny
from handful.objective.controls import Controls
from handful.objective.lattice import sampled
from handful.objective.spectrum import power

CPU = torch.device("cpu")
SURE, UNSURE = torch.ones(4, 3), -torch.ones(4, 3)


def controls(**options) -> Controls:
    """Those of a run without penalties, unless it asks for them."""
    return Controls(tiny("-", **{"spectrum_penalty": 0.0, "lattice_penalty": 0.0} | options), CPU)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_augmentation_rises_while_the_discriminator_is_sure_and_falls_when_it_is_not():
    held = controls(augment_schedule="adaptive", augment_probability=0.8, augment_ramp=100, augment_target=0.6)
    was_sure = []
    for logits in [SURE] * 30 + [UNSURE] * 20:
        before = held.augment.item()
        held.observe(logits, {})
        held.update()
        was_sure.append(held.sign.item() > 0.6)
        expected = max(0.0, before + (0.008 if was_sure[-1] else -0.008))
        assert held.augment.item() == pytest.approx(expected, abs=1e-6)
    assert was_sure[29]
    assert not was_sure[-1]
    for _ in range(2000):
        held.observe(SURE, {})
        held.update()
    assert held.augment.item() == pytest.approx(0.8)


def test_a_constant_schedule_does_not_move_and_logs_nothing():
    held = controls(augment_schedule="constant", augment_probability=1.0)
    assert held.probability is None
    held.observe(SURE, {})
    held.update()
    assert held.augment == 1
    assert held.log_values() == {}


@pytest.mark.parametrize(
    ("option", "name", "measure"), [("spectrum_penalty", "power", power), ("lattice_penalty", "detail", sampled)]
)
def test_means_are_over_all_images_at_first_and_running_ones_later(option, name, measure):
    held = controls(**{option: 0.3}, size=32)
    mean = held.means[name]
    shown = [torch.randn(2, 3, 32, 32, generator=seeded(seed)) for seed in range(4)]
    for pair in (shown[:2], shown[2:]):
        for micro_batch in pair:
            held.observe(SURE[:2], held.measure(micro_batch))
        held.update()
    assert torch.allclose(mean, torch.stack([*map(measure, shown)]).mean(dim=0), rtol=1e-4)
    assert held.state()[name] is mean
    held.steps.fill_(1_000)
    before = mean.clone()
    held.observe(SURE[:2], held.measure(shown[0]))
    held.update()
    assert torch.allclose(mean, torch.lerp(before, measure(shown[0]), 0.01), rtol=1e-4)
