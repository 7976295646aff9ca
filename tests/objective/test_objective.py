"""The parts of the objective beyond the paper, and how their strengths follow the discriminator."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from handful.config.presets import tiny
from handful.networks.discriminator import Discriminator, DiscriminatorOutput
from handful.networks.layers import shrink
from handful.networks.residual import LargeDownBlock, ResidualDownBlock
from handful.objective.augment import apply, draw
from handful.objective.controls import CHAIN_TARGET, NICE_TARGET
from handful.objective.losses import AugmentedBatch, absolute_difference, gradient_penalty, relativistic_loss
from handful.objective.objective import Objective
from handful.training.state import State

CPU = torch.device("cpu")


def given(fake: AugmentedBatch) -> Callable[[], AugmentedBatch]:
    return lambda: fake


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state_of(**options) -> State:
    return State.fresh(
        tiny("-", **{"size": 32, "channels": 3, "batch": 4, "precision": "fp32", "device": "cpu"} | options), CPU
    )


def objective_of(state: State) -> Objective:
    return Objective(state.controls.config, state.controls, absolute_difference)


def shown(images: torch.Tensor, changes: torch.Tensor | None = None) -> AugmentedBatch:
    return AugmentedBatch(images, shrink(images, (16, 16)), images, [torch.rand(3, 4) if changes is None else changes])


def noise(seed: int, count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=seeded(seed)) * 2 - 1


def test_the_relativistic_loss_is_its_formula_and_looks_at_pairs():
    better, worse = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])
    expected = (torch.log1p(torch.tensor(-0.5).exp()) + torch.log1p(torch.tensor(5.0).exp())) / 2
    assert relativistic_loss(better, worse).item() == pytest.approx(expected.item())
    assert relativistic_loss(better + 7, worse + 7).item() == pytest.approx(expected.item(), rel=1e-5)
    assert relativistic_loss(worse, better) < relativistic_loss(better, worse)


def linear(weight: torch.Tensor, small_weight: torch.Tensor):
    """A discriminator whose mean logit is a linear function of what it sees."""

    def forward(images, small, chance, labels):
        score = (images * weight).sum(dim=(1, 2, 3)) + (small * small_weight).sum(dim=(1, 2, 3))
        logits = score[:, None] + torch.linspace(-1, 1, 50)
        maps = images.new_zeros(len(images), 1, 16, 16)
        return DiscriminatorOutput(logits, maps, maps[..., :8, :8], maps[..., :8, :8], *torch.zeros(2))

    return forward


def test_the_gradient_penalty_is_the_squared_slope(monkeypatch):
    state = state_of()
    weight = torch.randn(3, 32, 32, generator=seeded()).requires_grad_()
    small_weight = torch.randn(3, 16, 16, generator=seeded(1))
    monkeypatch.setattr(state.discriminator, "forward", linear(weight, small_weight))
    penalty = gradient_penalty(state.discriminator, shown(noise(2)), state.discriminator.chance(4, seeded()))
    expected = weight.square().sum() + small_weight.square().sum()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, 2 * weight)


def test_the_penalty_of_a_discriminator_falls_along_its_gradient():
    state = state_of()
    batch = shown(noise(0))

    def steepness() -> torch.Tensor:
        return gradient_penalty(state.discriminator, batch, state.discriminator.chance(4, seeded()))

    before = steepness()
    for _ in range(5):
        state.discriminator_optimizer.minimise(steepness() + 0 * everything(state.discriminator, batch))
    assert steepness() < 0.9 * before


def everything(network: Discriminator, batch: AugmentedBatch) -> torch.Tensor:
    """A number that depends on every weight, so that each has a gradient."""
    view = network(batch.images, batch.small, network.chance(4, seeded()))
    return view.logits.mean() + sum(each.mean() for each in network.decoders(view, torch.tensor(0)))


def test_a_step_that_has_the_penalty_has_it_for_those_between():
    state = state_of(gradient_penalty=0.7, penalty_every=5)
    objective = objective_of(state)
    results = []
    for penalise in (False, True):
        real, fake = shown(noise(0)), shown(noise(1))
        results.append(objective.discriminator(state.discriminator, real, given(fake), seeded(), penalise=penalise))
    (without, parts), (penalised, more) = results
    assert parts["penalty"] == 0
    chances = state.discriminator.chance(4, seeded())
    steep = [gradient_penalty(state.discriminator, batch, chances) for batch in (real, fake)]
    assert more["penalty"].item() == pytest.approx(5 * sum(steep).item(), rel=1e-4)
    assert (penalised - without).item() == pytest.approx(0.35 * more["penalty"].item(), rel=1e-3)


def test_the_relativistic_generator_is_shown_real_images_too():
    state = state_of(loss="relativistic")
    fake = noise(1).requires_grad_()
    losses = [
        objective_of(state).generator(state.discriminator, shown(noise(seed)), shown(fake), seeded()) for seed in (2, 3)
    ]
    assert losses[0] != losses[1]
    assert torch.autograd.grad(losses[0], fake)[0].abs().sum() > 0


@pytest.mark.parametrize("kind", [ResidualDownBlock, LargeDownBlock])
def test_factors_multiply_the_channels_of_an_image_at_the_three_places(kind):
    block = kind(3, 4)
    x, ones = torch.randn(2, 3, 8, 8, generator=seeded()), torch.ones(3, 2, 4)
    plain, _ = block(x)
    assert torch.allclose(block(x, None, ones)[0], plain)
    none = ones.clone()
    none[1:] = 0  # what either path ends with
    assert block(x, None, none)[0].abs().sum() == 0
    one_image = ones.clone()
    one_image[:, 0] = 0
    made, _ = block(x, None, one_image)
    assert made[0].abs().sum() == 0
    assert made[1].abs().sum() > 0


def test_nice_does_nothing_while_its_noise_is_0_and_then_disturbs_the_deep_map():
    state = state_of(nice=1.0)
    discriminator, images = state.discriminator, noise(0)
    small = shrink(images, (16, 16))

    def view(seed: int) -> DiscriminatorOutput:
        return discriminator(images, small, discriminator.chance(4, seeded(seed)))

    assert view(1).unsteady == 0
    assert torch.equal(view(1).logits, view(2).logits)
    state.controls.noise.fill_(0.1)
    little = view(1).unsteady.item()
    assert not torch.equal(view(1).logits, view(2).logits)
    state.controls.noise.fill_(0.2)
    assert 1.5 * little < view(1).unsteady.item() < 8 * little  # it grows as a square


def test_nices_weight_asks_both_players_for_steadiness():
    made = []
    for weight in (0.5, 1.5):
        state = state_of(nice=weight)
        state.controls.noise.fill_(0.3)
        objective, real, fake = objective_of(state), shown(noise(0)), shown(noise(1))
        total, parts = objective.discriminator(state.discriminator, real, given(fake), seeded())
        generator = objective.generator(state.discriminator, real, fake, seeded())
        view = state.discriminator(fake.images, fake.small, state.discriminator.chance(4, seeded()))
        made.append((total, parts["nice"], generator, view.unsteady))
    (low, unsteady, judged, disturbed), (high, same, judged_more, _) = made
    assert unsteady == same > 0
    assert (high - low).item() == pytest.approx(unsteady.item(), rel=1e-4)
    assert (judged_more - judged).item() == pytest.approx(disturbed.item(), rel=1e-4)


def test_augself_wants_the_change_of_real_images_and_the_opposite_of_generated_ones(monkeypatch):
    state = state_of(augself=0.5)
    plain = state_of()
    changes = torch.rand(3, 4, generator=seeded(4))
    centred = 2 * changes.T - 1
    monkeypatch.setattr(state.discriminator, "guessed", lambda deep, images, chance: centred)
    real, fake = shown(noise(0), changes), shown(noise(1), changes)
    total, parts = objective_of(state).discriminator(state.discriminator, real, given(fake), seeded())
    right, wrong = F.mse_loss(centred, centred), F.mse_loss(centred, -centred)
    assert parts["augself"].item() == pytest.approx((right + wrong).item())
    assert total.item() == pytest.approx(
        (parts["discriminator"] + 2 * parts["reconstruction"] + 0.5 * wrong).item(), rel=1e-5
    )
    assert plain.controls.config.augself == 0
    network = state.discriminator
    raised = objective_of(state).generator(network, real, fake, seeded())
    bare = -network(fake.images, fake.small).logits.mean()
    assert (raised - bare).item() == pytest.approx(-0.5 * wrong.item(), rel=1e-4)


def test_what_augself_reads_off_is_learned():
    state = state_of(augself=1.0, augment=("color",), learning_rate=2e-3)
    images = noise(0)
    objective = objective_of(state)
    random = seeded(5)
    first = []
    for _ in range(40):
        pair = []
        for plain in (images, -images):
            changes = draw(4, ("color",), random)
            changed = apply(plain, ("color",), changes)
            pair.append(AugmentedBatch(changed, shrink(changed, (16, 16)), plain, changes))
        total, parts = objective.discriminator(state.discriminator, pair[0], given(pair[1]), random)
        first.append(parts["augself"].item())
        state.discriminator_optimizer.minimise(total)
    assert sum(first[-10:]) < 0.8 * sum(first[:10])


@pytest.mark.parametrize(
    ("options", "name", "target"),
    [
        ({"normalisation": "chain"}, "chain", CHAIN_TARGET),
        ({"augment_schedule": "adaptive", "augment_ramp": 200, "augment_target": 0.3}, "augment", 0.3),
        ({"nice": 1.0}, "noise", NICE_TARGET),
    ],
)
def test_strengths_rise_when_a_discriminator_learns_its_images_by_heart_and_fall_when_it_cannot(options, name, target):
    state = state_of(learning_rate=5e-3, reconstruction=False, **options)
    objective, network = objective_of(state), state.discriminator
    images = noise(0)

    def show(steps: int, real, fake, learning: bool) -> list[float]:
        seen = []
        for step in range(steps):
            total, _ = objective.discriminator(network, shown(real(step)), given(shown(fake(step))), seeded(step))
            state.controls.update()
            if learning:
                state.discriminator_optimizer.minimise(total)
            seen.append(getattr(state.controls, name).item())
        return seen

    # Four images against a flat grey: soon there is nothing left to doubt.
    risen = show(100, lambda _: images, lambda step: 0.2 * noise(step + 1), learning=True)
    assert state.controls.sign > target
    assert risen[-1] > risen[-20] > 0
    # What was real is now generated: all that was learned is wrong.
    fallen = show(40, lambda step: 0.2 * noise(step + 1), lambda _: images, learning=False)
    assert state.controls.sign < target
    assert fallen[-1] < fallen[-5]
