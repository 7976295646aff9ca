"""The power of images at each frequency, and the charge for having another than the training images."""

import math

import numpy as np
import pytest
import torch

from handful import spectrum
from handful.images import from_bytes, to_bytes

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


@pytest.mark.parametrize("mirror", [False, True])
def test_what_is_wanted_is_the_mean_over_the_training_images(mirror):
    images = to_bytes(noise(70))
    shown = from_bytes(images)
    shown = torch.cat([shown, shown.flip(-1)]) if mirror else shown
    assert torch.allclose(spectrum.wanted(images, CPU, mirror=mirror), spectrum.power(shown), rtol=1e-4)


def test_of_many_images_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(spectrum, "MOST", 10)
    images = to_bytes(noise(35))
    assert torch.equal(
        spectrum.wanted(images, CPU, mirror=False), spectrum.wanted(images[::4].clone(), CPU, mirror=False)
    )


def test_the_charge_is_its_formula_and_nothing_where_spectra_agree():
    images, mean, wanted = noise(3), spectrum.power(noise(20, 1)), spectrum.power(noise(20, 2) * 0.5)
    floor = 1e-3 * wanted.median()
    excess = torch.log((mean + floor) / (wanted + floor)).clamp(min=0)
    expected = (excess * spectrum.power(images) / (mean + floor)).mean()
    assert spectrum.charge(images, mean, wanted) == pytest.approx(expected.item(), rel=1e-5)
    assert spectrum.charge(images, wanted, wanted) == 0
    assert spectrum.charge(images, wanted / 2, wanted) == 0
    assert spectrum.decibels(mean, wanted).item() == pytest.approx(10 * math.log10(4), abs=1.0)


def test_following_the_charge_removes_a_grid():
    """Pictures with stripes of two pixels learn to be like pictures without, and keep the rest."""
    real, made = noise(64), noise(64, 1)
    stripes = torch.tensor([1.0, -1.0]).repeat(12).expand(1, 1, 16, 24)
    made = (made + 0.5 * stripes).requires_grad_()
    wanted = spectrum.power(real)

    def off() -> float:
        return spectrum.decibels(spectrum.power(made.detach()), wanted).item()

    def strength() -> float:
        return (made.detach() * stripes).mean().item()

    before, striped = off(), strength()
    adam = torch.optim.Adam([made], 0.01)
    for _ in range(150):
        adam.zero_grad()
        spectrum.charge(made, spectrum.power(made.detach()), wanted).backward()
        adam.step()
    assert off() < before / 2
    assert abs(strength()) < striped / 2
