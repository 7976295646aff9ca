"""The power of images at each frequency, and the penalty for power that training images lack."""

import math

import numpy as np
import pytest
import torch

from handful.images.grid import from_bytes, to_bytes
from handful.objective import spectrum

CPU = torch.device("cpu")


def noise(count: int, seed: int = 0, size: tuple[int, int] = (16, 24)) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_power_is_that_of_the_windowed_transform():
    images = noise(4)
    window = np.hanning(16)[:, None] * np.hanning(24)
    exact = images.double().numpy()
    exact = (exact - exact.mean(axis=(2, 3), keepdims=True)) * window
    expected = (np.abs(np.fft.fft2(exact)) ** 2).mean(axis=(0, 1))[:, :13]
    assert np.allclose(spectrum.power(images).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("size", [(8, 12), (6, 9), (5, 7)])
def test_the_gradient_of_power_is_that_of_its_formula(size):
    images = noise(2, 0, size).double().requires_grad_()
    assert torch.autograd.gradcheck(spectrum.power, images)


@pytest.mark.parametrize("mirror", [False, True])
def test_the_target_is_the_mean_over_the_training_images(mirror):
    images = to_bytes(noise(70))
    shown = from_bytes(images)
    shown = torch.cat([shown, shown.flip(-1)]) if mirror else shown
    assert torch.allclose(spectrum.target(images, CPU, mirror=mirror), spectrum.power(shown), rtol=1e-4)


def test_of_many_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(spectrum, "MAX_MEASURED_IMAGES", 10)
    images = to_bytes(noise(35))
    assert torch.equal(
        spectrum.target(images, CPU, mirror=False), spectrum.target(images[::4].clone(), CPU, mirror=False)
    )


def test_the_penalty_is_its_formula_and_zero_where_spectra_agree():
    power, mean, target = (spectrum.power(x) for x in (noise(3), noise(20, 1), noise(20, 2) * 0.5))
    floor = 1e-3 * target.median()
    excess = torch.log((mean + floor) / (target + floor)).clamp(min=0)
    excess_power = excess * power / (mean + floor)
    # Two pixels apart, along each side and both; more power than the target around them.
    expected = excess_power.mean() + excess_power[::8, ::12].mean()
    assert spectrum.penalty(power, mean, target) == pytest.approx(expected.item(), rel=1e-5)
    assert spectrum.penalty(power, target, target) == 0
    assert spectrum.penalty(power, target / 2, target) == 0
    assert spectrum.decibels(mean, target).item() == pytest.approx(10 * math.log10(4), abs=1.0)


def test_images_too_small_for_grids_are_penalised_for_their_spectrum_alone():
    power, mean, target = (spectrum.power(noise(3, seed, (8, 12))) for seed in (0, 1, 2))
    floor = 1e-3 * target.median()
    excess_power = torch.log((mean + floor) / (target + floor)).clamp(min=0) * power / (mean + floor)
    assert spectrum.penalty(power, mean, target) == pytest.approx(excess_power.mean().item(), rel=1e-5)


@pytest.mark.parametrize(("size", "longest"), [((64, 128), 8), ((48, 32), 4), ((128, 128), 16)])
def test_surroundings_are_those_in_the_whole_plane(size, longest):
    images = noise(2, 3, size)
    window = np.hanning(size[0])[:, None] * np.hanning(size[1])
    exact = images.double().numpy()
    whole = (np.abs(np.fft.fft2((exact - exact.mean(axis=(2, 3), keepdims=True)) * window)) ** 2).mean(axis=(0, 1))
    half = spectrum.power(images)
    at, around = spectrum.grid_places(half, longest)
    found, here = spectrum.surroundings(half, around), half[at]
    assert found.shape == (longest, longest // 2 + 1)
    near = [(y, x) for y in range(-3, 4) for x in range(-3, 4) if max(abs(y), abs(x)) > 1]
    for row in range(longest):
        for column in range(longest // 2 + 1):
            y, x = row * size[0] // longest, column * size[1] // longest
            assert here[row, column] == pytest.approx(whole[y, x], rel=1e-3, abs=1e-6)
            ring = [whole[(y + dy) % size[0], (x + dx) % size[1]] for dy, dx in near]
            assert found[row, column] == pytest.approx(np.mean(ring), rel=1e-3)


def checkered(size: int, contrast: float, ground: float = 1.0) -> torch.Tensor:
    places = torch.arange(size)
    return ground * noise(24, 4, (size, size)) + contrast * (1 - 2 * ((places + places[:, None]) % 2))


def test_a_grid_costs_about_as_much_in_a_large_image():
    """Whose frequencies are 16 times as many."""
    costs = []
    for size in (64, 256):
        mean, target = (spectrum.power(x) for x in (checkered(size, 8 / size), noise(24, 4, (size, size))))
        costs.append(spectrum.penalty(mean, mean, target).item())
    assert costs[0] > 0.05
    assert 0.25 < costs[1] / costs[0] < 4


def test_a_grid_on_ground_that_is_too_smooth_costs_too():
    target = spectrum.power(noise(24, 4, (128, 128)))
    smooth, with_grid = (spectrum.power(checkered(128, contrast, ground=0.2)) for contrast in (0.0, 0.005))
    assert (with_grid < target).all(), "less than the target everywhere"
    assert spectrum.penalty(with_grid, with_grid, target) > 0.01
    assert spectrum.penalty(smooth, smooth, target) == pytest.approx(0, abs=1e-6)


def test_following_the_penalty_removes_a_grid():
    """Pictures with stripes of two pixels learn to be like pictures without, and keep the rest."""
    real, made = noise(64), noise(64, 1)
    stripes = torch.tensor([1.0, -1.0]).repeat(12).expand(1, 1, 16, 24)
    made = (made + 0.5 * stripes).requires_grad_()
    target = spectrum.power(real)

    def off() -> float:
        return spectrum.decibels(spectrum.power(made.detach()), target).item()

    def strength() -> float:
        return (made.detach() * stripes).mean().item()

    before, striped = off(), strength()
    adam = torch.optim.Adam([made], 0.01)
    for _ in range(150):
        adam.zero_grad()
        power = spectrum.power(made)
        spectrum.penalty(power, power.detach(), target).backward()
        adam.step()
    assert off() < before / 2
    assert abs(strength()) < striped / 2
