"""CHAIN: its formulas, and what its cumulative kind holds on to."""

import itertools

import pytest
import torch

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.networks import chain as module
from handful.networks.chain import Role, Running, chain, forget, update

ROLES = list(Role)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maps(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 5, 3, 3, generator=seeded(seed)) * torch.tensor([0.5, 1, 2, 3, 4])[:, None, None] + 0.3


def some(seed: int = 0) -> torch.Tensor:
    return torch.rand(4, 5, generator=seeded(seed)) < 0.5


def gradients(run, x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A map, what it is off centre by, and the gradient of a weighted sum of both."""
    x = x.clone().requires_grad_()
    changed, distance = run(x)
    ((changed * weight).sum() + 2 * distance).backward()
    return changed.detach(), distance.detach(), x.grad


def test_chain_is_its_formula():
    x, chosen = maps(), some()
    made, off_centre = chain(x, chosen)
    size = torch.stack([torch.sqrt((x[:, channel] ** 2).mean() + 1e-5) for channel in range(5)])
    for image, channel in itertools.product(range(4), range(5)):
        factor = size.min() / size[channel] if chosen[image, channel] else 1.0
        assert torch.allclose(made[image, channel], x[image, channel] * factor, atol=1e-6)
    assert off_centre.item() == pytest.approx(sum(x[:, c].mean().item() ** 2 for c in range(5)), rel=1e-5)


def test_chain_does_not_let_gradients_grow():
    x, towards = (3 * maps()).requires_grad_(), maps(1)
    (gradient,) = torch.autograd.grad(chain(x, torch.ones(4, 5, dtype=torch.bool))[0], x, towards)
    assert (gradient.square().sum((0, 2, 3)) <= towards.square().sum((0, 2, 3)) + 1e-5).all()


@pytest.mark.parametrize("role", ROLES)
def test_a_memory_of_nothing_makes_the_cumulative_kind_the_other(monkeypatch, role):
    """The gradient that is written out is then the one that autograd finds."""
    monkeypatch.setattr(module, "KEPT", 0.0)
    weight, chosen = torch.randn(4, 5, 3, 3, generator=seeded(9)), some()
    place = Running(5)
    found = gradients(lambda x: place.normalise(x, chosen, role), maps(), weight)
    wanted = gradients(lambda x: chain(x, chosen), maps(), weight)
    for one, two in zip(found, wanted, strict=True):
        assert torch.allclose(one, two, atol=1e-5)


def by_hand(steps, chosen):
    """What the maps and the gradients are, with running means kept in plain numbers, map by map."""
    square, along = {}, {}
    results = []
    for x, role, weight in steps:
        kind = min(role, 1)
        now = x.square().mean(dim=(0, 2, 3))
        joined = 0.9 * square.get(kind, 0) + 0.1 * now
        size = (joined + 1e-5).sqrt()
        y = x / size[:, None, None]
        mask = chosen[:, :, None, None]
        inner = weight * mask * size.min()
        joint = 0.9 * along.get(role, 0) + 0.1 * (inner * y).mean(dim=(0, 2, 3))
        gradient = weight * ~mask + inner / size[:, None, None] - (joint / size)[:, None, None] * y
        results.append((torch.where(mask, y * size.min(), x), gradient))
        along[role] = joint
        if role != Role.DECEIVING:
            square[kind] = joined
    return results, square, along


def test_running_means_are_kept_apart_by_role_and_move_with_each_step():
    place, chosen = Running(5), some()
    steps = [(maps(seed), ROLES[seed % 3], torch.randn(4, 5, 3, 3, generator=seeded(50 + seed))) for seed in range(9)]
    expected, square, along = by_hand(steps, chosen)
    for (x, role, weight), (changed, gradient) in zip(steps, expected, strict=True):
        x = x.clone().requires_grad_()
        made, _ = place.normalise(x, chosen, role)
        (made * weight).sum().backward()
        update([place])
        assert torch.allclose(made, changed, atol=1e-5)
        assert torch.allclose(x.grad, gradient, atol=1e-5)
    for kept, values in ((place.square, square), (place.along, along)):
        for role, value in values.items():
            assert torch.allclose(kept[role], value, atol=1e-6)


def test_nothing_moves_before_the_update_and_parts_count_as_one():
    whole, parts, chosen = Running(5), Running(5), some()
    x = torch.cat([maps(0), maps(1)])
    for place, pieces in ((whole, [x]), (parts, x.chunk(2))):
        place.square += 1
        for piece in pieces:
            place.normalise(piece, torch.cat([chosen, chosen])[: len(piece)], Role.REAL)
        assert torch.equal(place.square, torch.ones(2, 5))
        update([place])
    assert torch.allclose(whole.square, parts.square, atol=1e-6)
    assert not torch.allclose(whole.square[0], torch.ones(5))
    assert torch.equal(whole.square[1], torch.ones(5))


def test_what_was_seen_in_a_try_that_failed_is_forgotten():
    place = Running(5)
    place.normalise(maps(), some(), Role.FAKE)
    forget([place])
    update([place])
    assert torch.equal(place.square, torch.zeros(2, 5))


@pytest.mark.parametrize(("option", "value"), [("precision", "fp16"), ("compile", "on")])
def test_what_the_cumulative_kind_cannot_do_is_refused(option, value):
    with pytest.raises(UsageError, match=f"{option} {value}: is not for normalisation chain-cumulative"):
        TrainConfig("-", normalisation="chain-cumulative", **{option: value})
    tiny("-", normalisation="chain", **{option: value})
