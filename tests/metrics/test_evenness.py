"""Dots that no frequency stands out for are found by where detail lies."""

import pytest
import torch
import torch.nn.functional as F

from handful.metrics.evenness import Detail, excess_unevenness
from handful.metrics.periodicity import Spectrum, excess_periodicity
from handful.objective.lattice import energies


def smooth(count: int, seed: int, size: int = 64) -> torch.Tensor:
    """Soft blobs with fine grain, and an edge that all pictures have at the same place."""
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, size // 8, size // 8, generator=random) * 160
    images = F.interpolate(small, size=size, mode="bicubic", antialias=True)
    images[..., size // 3 :] += 40
    return images + 8 * torch.randn(images.shape, generator=random)


def dots(count: int, seed: int, period: int, strength: float = 8, size: int = 64) -> torch.Tensor:
    """Dots at the corners of cells, bright or dark as chance has it."""
    random = torch.Generator().manual_seed(seed)
    cells = torch.randn(count, 1, size // period, size // period, generator=random)
    cell = torch.zeros(period, period)
    cell[: period // 2, : period // 2] = strength
    return torch.kron(cells, cell)


def detail(images: torch.Tensor, batch: int = 7) -> Detail:
    made = Detail()
    for some in images.round().clamp(0, 255).to(torch.uint8).split(batch):
        made.add(some)
    return made


def spectrum(images: torch.Tensor) -> Spectrum:
    made = Spectrum((64, 64))
    made.add(images.round().clamp(0, 255).to(torch.uint8))
    return made


@pytest.mark.parametrize("period", [2, 4, 8])
def test_dots_of_both_signs_are_found_and_have_no_frequency(period):
    training, samples = smooth(80, 0), smooth(80, 1) + dots(80, 2, period)
    assert excess_unevenness(detail(samples), detail(training)) > 0.8
    assert excess_periodicity(spectrum(samples), spectrum(training)) < 2.5


def test_other_pictures_of_the_same_kind_are_even():
    for seed in range(3):
        assert excess_unevenness(detail(smooth(80, seed)), detail(smooth(80, seed + 10))) < 0.3


def test_dots_that_the_training_images_have_too_are_none_of_the_generators():
    samples, training = (smooth(80, seed) + dots(80, seed + 2, 4) for seed in (0, 1))
    assert excess_unevenness(detail(samples), detail(training)) < 0.3


@pytest.mark.parametrize("batch", [1, 2, 80])
def test_halves_are_the_same_however_images_come(batch):
    images = (smooth(15, 1) + dots(15, 2, 4)).round().clamp(0, 255)
    for half in (0, 1):
        expected = energies(images[half::2] / 127.5 - 1)
        assert torch.allclose(detail(images, batch).mean(half).float(), expected, rtol=1e-3)


def test_flat_and_very_small_images_are_no_error():
    flat = detail(torch.full((4, 3, 32, 32), 128.0))
    assert excess_unevenness(flat, flat) == 0
    tiny = detail(torch.full((4, 3, 16, 16), 128.0))
    assert excess_unevenness(tiny, tiny) is None
