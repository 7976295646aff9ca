"""How unevenly detail lies on the lattice of pixels, and the penalty for it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from handful.images.grid import from_bytes, to_bytes
from handful.objective import lattice

CPU = torch.device("cpu")
FILTERS = ([[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]], [[0, -1, 0], [-1, 4, -1], [0, -1, 0]])


def noise(count: int, seed: int = 0, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def dotted(count: int, seed: int) -> torch.Tensor:
    """Noise that is the stronger in pixels of even rows and columns: dots of both signs, so no mean pattern."""
    even = (torch.arange(32)[:, None] % 2 == 0) & (torch.arange(48) % 2 == 0)
    return noise(count, seed) * torch.where(even, 1.0, 0.4)


@pytest.mark.parametrize(("size", "sizes"), [((16, 24), 0), ((32, 48), 1), ((64, 128), 2), ((256, 192), 3)])
def test_cells_are_of_as_many_sizes_as_repeat_often_enough(size, sizes):
    assert lattice.energies(noise(1, size=size)).shape == (4 * sizes, 4, 4)


def test_energies_are_those_of_four_filters_at_each_place():
    images = noise(3, size=(64, 96))
    found = lattice.energies(images).view(2, 4, 4, 4)
    for level in range(2):
        exact = F.avg_pool2d(images, 2**level).double().numpy()
        for kind, weights in enumerate(map(np.array, FILTERS)):
            side = len(weights)
            rows, columns = ((length - side + 1) // 4 * 4 for length in exact.shape[2:])
            for row, column in ((0, 0), (1, 2), (3, 3)):
                seen = [
                    (exact[:, :, y : y + side, x : x + side] * weights).sum(axis=(2, 3))
                    for y in range(row, rows, 4)
                    for x in range(column, columns, 4)
                ]
                assert found[level, kind, row, column].item() == pytest.approx(np.square(seen).mean(), rel=1e-5)


def test_one_channel_of_each_image_is_a_fair_sample():
    images = noise(6, size=(32, 32)) * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    channels = torch.stack([image[number % 3][None] for number, image in enumerate(images)])
    assert torch.equal(lattice.sampled(images), lattice.energies(channels))


def test_the_target_is_the_mean_over_the_training_images_and_their_mirror_images():
    images = to_bytes(dotted(70, 0))
    shown = from_bytes(images)
    mirrored = (lattice.energies(shown) + lattice.energies(shown.flip(-1))) / 2
    for mirror, expected in ((False, lattice.energies(shown)), (True, mirrored)):
        assert torch.allclose(lattice.target(images, CPU, mirror=mirror), expected, rtol=1e-4)


def test_noise_lies_evenly_and_dots_without_a_mean_pattern_do_not():
    plain, other = (lattice.energies(noise(60, seed)) for seed in (1, 2))
    assert lattice.decibels(plain, other) < 0.1
    assert lattice.decibels(lattice.energies(dotted(60, 3)), other) > 0.8
    # What the training images have themselves is not counted.
    assert lattice.decibels(lattice.energies(dotted(60, 3)), lattice.energies(dotted(60, 4))) < 0.1


@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
@pytest.mark.parametrize("times", [2, 4])
def test_enlarging_noise_is_uneven(kind, times):
    small = noise(60, 5, (32 // times, 48 // times))
    large = F.interpolate(small, scale_factor=times, mode=kind)
    assert lattice.decibels(lattice.energies(large), lattice.energies(noise(60, 1))) > 1


def test_the_penalty_is_its_formula_and_zero_where_places_agree():
    had, mean, target = (lattice.energies(x) for x in (dotted(3, 0), dotted(20, 1), noise(20, 2)))
    expected = 0.0
    for kind, so_far, right in zip(had, mean, target, strict=True):
        over = ((so_far + lattice.ROUNDING_ENERGY) / (right + lattice.ROUNDING_ENERGY)).log()
        expected += ((over - over.mean()) * kind / (so_far + lattice.ROUNDING_ENERGY)).mean().item()
    assert lattice.penalty(had, mean, target).item() == pytest.approx(expected, rel=1e-4)
    assert lattice.penalty(had, mean, mean) == 0
    assert lattice.unevenness(4 * target, target).abs().max() < 1e-3, "more detail, but as much at each place"


def test_the_penalty_is_the_gradient_of_half_the_variance_over_places():
    images, target = dotted(8, 0)[:, :1].clone().requires_grad_(), lattice.energies(noise(20, 2))
    variance = lattice.unevenness(lattice.energies(images), target).square().mean(dim=(1, 2)).sum() / 2
    (expected,) = torch.autograd.grad(variance, images)
    energies = lattice.energies(images)
    (found,) = torch.autograd.grad(lattice.penalty(energies, energies.detach(), target), images)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-8)


def test_following_the_penalty_makes_dots_even_and_keeps_the_detail():
    made, target = dotted(64, 1).requires_grad_(), lattice.energies(noise(64, 2))
    before, detail = lattice.energies(made.detach()), lattice.energies(made.detach()).mean()
    adam = torch.optim.Adam([made], 0.003)
    for _ in range(100):
        adam.zero_grad()
        energies = lattice.energies(made)
        lattice.penalty(energies, energies.detach(), target).backward()
        adam.step()
    after = lattice.energies(made.detach())
    assert lattice.decibels(after, target) < lattice.decibels(before, target) / 2
    assert 0.7 < after.mean() / detail < 1.4


def test_flat_and_very_small_images_are_no_error():
    flat = lattice.energies(torch.zeros(2, 3, 32, 32))
    assert lattice.decibels(flat, flat) == 0
    assert lattice.penalty(flat, flat, lattice.energies(noise(4, size=(32, 32)))).isfinite()
    tiny = noise(2, size=(16, 16))
    none = lattice.target(to_bytes(tiny), CPU, mirror=True)
    assert lattice.decibels(none, none) == lattice.penalty(none, none, none) == 0
