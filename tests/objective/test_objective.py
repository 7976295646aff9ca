"""The objective of the two networks: its parts, and the augmentation that follows from the discriminator."""

import pytest
import torch

from handful.config.presets import tiny
from handful.networks.conv import shrink
from handful.objective import lattice, spectrum
from handful.objective.losses import AugmentedBatch, Objective, absolute_difference
from handful.training.state import State

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state_of(**options) -> State:
    usual = {"size": 32, "channels": 3, "batch": 4, "precision": "fp32", "device": "cpu", "projected_weight": 0.0}
    return State.fresh(tiny("-", **usual | options), CPU)


def batch(images: torch.Tensor) -> AugmentedBatch:
    measured = {"power": spectrum.power(images), "detail": lattice.sampled(images)}
    return AugmentedBatch(images, shrink(images, (16, 16)), measured=measured)


def noise(seed: int, count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=seeded(seed)) * 2 - 1


def test_the_discriminators_loss_is_the_hinge_loss_and_the_weighted_reconstruction():
    totals = {}
    for weight in (0.0, 2.0):
        state = state_of(reconstruction_weight=weight)
        objective = Objective(state.controls.config, state.controls, absolute_difference)
        real, fake = batch(noise(0)), batch(noise(1))
        totals[weight], parts = objective.discriminator(state.discriminator, real, lambda fake=fake: fake, seeded())
    assert totals[0.0].item() == pytest.approx(parts["discriminator"].item())
    assert (totals[2.0] - totals[0.0]).item() == pytest.approx(2 * parts["reconstruction"].item(), rel=1e-4)


def test_the_generators_loss_has_each_penalty_with_its_weight():
    state = state_of(spectrum_penalty=0.3, lattice_penalty=0.7)
    controls, fake = state.controls, batch(noise(1))
    controls.observe(torch.ones(4, 8), fake.measured)
    controls.update()
    targets = {"power": spectrum.power(0.1 * noise(2)), "detail": lattice.energies(0.1 * noise(3))}
    plain = Objective(controls.config, controls, absolute_difference)
    full = Objective(controls.config, controls, absolute_difference, targets)
    difference = full.generator(state.discriminator, fake) - plain.generator(state.discriminator, fake)
    expected = 0.3 * spectrum.penalty(fake.measured["power"], controls.means["power"], targets["power"])
    expected += 0.7 * lattice.penalty(fake.measured["detail"], controls.means["detail"], targets["detail"])
    assert expected > 0.1
    assert difference.item() == pytest.approx(expected.item(), rel=1e-3)


def test_augmentation_rises_when_a_discriminator_overfits_and_falls_when_it_cannot():
    state = state_of(width=8, learning_rate=5e-3, reconstruction=False, augment_ramp=200, augment_target=0.3)
    objective = Objective(state.controls.config, state.controls, absolute_difference)
    network, images = state.discriminator, noise(0)

    def train(steps: int, real, fake, learning: bool) -> list[float]:
        strengths = []
        for step in range(steps):
            shown = batch(fake(step))
            total, _ = objective.discriminator(network, batch(real(step)), lambda shown=shown: shown, seeded(step))
            state.controls.update()
            if learning:
                state.discriminator_optimizer.accumulate_grads(total)
                state.discriminator_optimizer.step()
            strengths.append(state.controls.augment.item())
        return strengths

    # Four images against flat grey: soon the discriminator is sure.
    risen = train(60, lambda _: images, lambda step: 0.2 * noise(step + 1), learning=True)
    assert state.controls.sign > 0.3
    assert risen[-1] > risen[-20] > 0
    # Real and generated change places: all that was learned is wrong.
    fallen = train(30, lambda step: 0.2 * noise(step + 1), lambda _: images, learning=False)
    assert state.controls.sign < 0.3
    assert fallen[-1] < risen[-1]
