"""DiffAugment: seeded, differentiable, and each policy what its formula says."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handful.objective.augment import POLICIES, augment, color, draw, translation


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(9)) * 2 - 1


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_depends_on_its_generator_alone(policy):
    x = pictures()
    torch.manual_seed(1)
    first = augment(x, [policy], seeded(5))
    torch.manual_seed(2)
    assert torch.equal(first, augment(x, [policy], seeded(5)))
    assert not torch.equal(first, augment(x, [policy], seeded(6)))


def test_an_empty_policy_changes_nothing():
    assert torch.equal(augment(pictures(), (), seeded()), pictures())


def test_policies_are_applied_in_the_order_given():
    x = pictures()
    colors, shifts = draw(len(x), ("color", "translation"), seeded(3))
    assert torch.equal(augment(x, ("color", "translation"), seeded(3)), translation(color(x, colors), shifts))


def test_color_is_brightness_then_saturation_then_contrast():
    x = pictures(3).double()
    units = torch.rand(3, 3, generator=seeded(4)).double()
    made = color(x, units)
    brightness, saturation, contrast = units
    for image, result, b, s, c in zip(x, made, brightness, saturation, contrast, strict=True):
        expected = image + (b - 0.5)
        grey = expected.mean(0, keepdim=True)
        expected = grey + (expected - grey) * 2 * s
        expected = expected.mean() + (expected - expected.mean()) * (0.5 + c)
        assert torch.allclose(result, expected)


def test_brightness_saturation_and_contrast_reach_their_published_ranges():
    draws = torch.rand(3, 1000, generator=seeded())
    flat = augment(torch.zeros(1000, 3, 2, 2), ["color"], seeded())
    assert torch.allclose(flat[:, 0, 0, 0], draws[0] - 0.5, atol=1e-6)
    assert flat.max() > 0.49
    assert flat.min() < -0.49


def shifted(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    made = torch.zeros_like(image)
    for row, column in itertools.product(range(image.shape[1]), range(image.shape[2])):
        if 0 <= row - down < image.shape[1] and 0 <= column - right < image.shape[2]:
            made[:, row, column] = image[:, row - down, column - right]
    return made


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([8, 16]))
def test_a_translation_is_a_shift_of_at_most_an_eighth_with_zeros_behind_it(seed, size):
    x = pictures(3, size) + 3  # nowhere zero
    made = augment(x, ["translation"], seeded(seed))
    most = size // 8
    for image, result in zip(x, made, strict=True):
        shifts = itertools.product(range(-most, most + 1), repeat=2)
        candidates = [torch.equal(result, shifted(image, down, right)) for down, right in shifts]
        assert sum(candidates) == 1


def test_every_shift_comes_up():
    ramp = torch.arange(1.0, 17)[None, None, :, None].expand(2000, 1, 16, 16)
    made = augment(ramp, ["translation"], seeded())
    # Where the middle row went says what the shift was.
    assert set((9 - made[:, 0, 8, 8]).tolist()) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_pass_through_a_policy(policy):
    x = pictures(2, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: augment(y, [policy], seeded(7)), x)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_change_of_probability_zero_leaves_every_image_as_it_is(policy):
    x = pictures()
    assert torch.allclose(augment(x, [policy], seeded(2), torch.tensor(0.0)), x, atol=1e-6)


def test_the_probability_is_how_often_an_image_is_changed():
    x = pictures(1, 8).expand(2000, -1, -1, -1)
    changed = (augment(x, ["color"], seeded(2), torch.tensor(0.3)) - x).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.float().mean() == pytest.approx(0.3, abs=0.03)


def test_what_is_changed_only_at_times_does_not_leak():
    """Light and dark images can be told apart as long as some are left as they are.

    With the brightness of every image changed at random, both sets look alike. With four in five changed, one in five
    still shows its own brightness.
    """
    light, dark = (torch.full((4000, 3, 2, 2), level) for level in (0.05, -0.05))

    def share_at_light(images: torch.Tensor, probability: float) -> torch.Tensor:
        shown = augment(images, ["color"], seeded(3), torch.tensor(probability))
        return ((shown - 0.05).abs() < 0.01).all(dim=(1, 2, 3)).float().mean()

    assert share_at_light(light, 0.8) - share_at_light(dark, 0.8) > 0.15
    assert (share_at_light(light, 1.0) - share_at_light(dark, 1.0)).abs() < 0.05
