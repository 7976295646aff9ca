"""DiffAugment: seeded, differentiable, and each policy what its formula says."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handful.augment import POLICIES, augment, color, cutout, translation


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(9)) * 2 - 1


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_depends_on_its_generator_alone(policy):
    x = pictures()
    torch.manual_seed(1)
    first = POLICIES[policy](x, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(first, POLICIES[policy](x, seeded(5)))
    assert not torch.equal(first, POLICIES[policy](x, seeded(6)))


def test_an_empty_policy_changes_nothing():
    assert torch.equal(augment(pictures(), (), seeded()), pictures())


def test_policies_are_applied_in_the_order_given():
    x = pictures()
    random = seeded(3)
    assert torch.equal(augment(x, ("color", "translation"), seeded(3)), translation(color(x, random), random))


def test_color_is_brightness_then_saturation_then_contrast():
    x = pictures(3).double()
    made = color(x, seeded(4))
    brightness, saturation, contrast = torch.rand(3, 3, generator=seeded(4)).double()
    for image, result, b, s, c in zip(x, made, brightness, saturation, contrast, strict=True):
        expected = image + (b - 0.5)
        grey = expected.mean(0, keepdim=True)
        expected = grey + (expected - grey) * 2 * s
        expected = expected.mean() + (expected - expected.mean()) * (0.5 + c)
        assert torch.allclose(result, expected)


def test_brightness_saturation_and_contrast_reach_their_published_ranges():
    draws = torch.rand(3, 1000, generator=seeded())
    flat = color(torch.zeros(1000, 3, 2, 2), seeded())
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
    made = translation(x, seeded(seed))
    most = size // 8
    for image, result in zip(x, made, strict=True):
        shifts = itertools.product(range(-most, most + 1), repeat=2)
        candidates = [torch.equal(result, shifted(image, down, right)) for down, right in shifts]
        assert sum(candidates) == 1


def test_every_shift_comes_up():
    ramp = torch.arange(1.0, 17)[None, None, :, None].expand(2000, 1, 16, 16)
    made = translation(ramp, seeded())
    # Where the middle row went says what the shift was.
    assert set((9 - made[:, 0, 8, 8]).tolist()) == {-2, -1, 0, 1, 2}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_cutout_blanks_one_rectangle_of_at_most_half_a_side(seed):
    made = cutout(torch.ones(4, 3, 16, 16), seeded(seed))
    for image in made:
        hole = image[0] == 0
        assert torch.equal(image == 0, hole.expand(3, -1, -1))
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None, :])
        assert 1 <= rows.sum() <= 8
        assert 1 <= columns.sum() <= 8


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_pass_through_a_policy(policy):
    x = pictures(2, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: POLICIES[policy](y, seeded(7)), x)
