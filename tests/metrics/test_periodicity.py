"""Grids in pictures are found, and what the training images have is not taken for one."""

import pytest
import torch
import torch.nn.functional as F

from handful.metrics.periodicity import Spectrum, excess_detail, excess_periodicity


def smooth(count: int, seed: int, size: int = 64) -> torch.Tensor:
    """Pictures of soft blobs, with a bright half that gives all of them a straight edge."""
    random = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, size // 8, size // 8, generator=random) * 160
    images = F.interpolate(small, size=size, mode="bicubic", antialias=True)
    images[..., size // 3 :] += 40
    return (images + 8 * torch.randn(images.shape, generator=random)).clamp(0, 255)


def spectrum(images: torch.Tensor) -> Spectrum:
    made = Spectrum((images.shape[2], images.shape[3]))
    for batch in images.round().to(torch.uint8).split(7):
        made.add(batch)
    return made


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("directions", ["rows", "both"])
def test_a_faint_grid_stands_out(period, directions):
    line = (torch.arange(64) % period < period // 2).float() * 6 - 3
    grid = line[:, None].expand(64, 64) if directions == "rows" else line[:, None] * line / 3
    training = spectrum(smooth(60, 0))
    assert excess_periodicity(spectrum(smooth(60, 1) + grid), training) > 8


def test_other_pictures_of_the_same_kind_have_no_grid():
    for seed in range(3):
        assert excess_periodicity(spectrum(smooth(60, seed)), spectrum(smooth(60, seed + 10))) < 2.5


def test_a_grid_that_the_training_images_have_too_is_none_of_the_generators():
    grid = (torch.arange(64) % 4 < 2).float() * 20
    with_grid = [spectrum(smooth(60, seed) + grid) for seed in (1, 2)]
    assert excess_periodicity(*with_grid) < 2.5
    assert excess_periodicity(with_grid[0], with_grid[0]) == 0


def test_a_gap_in_the_training_images_makes_no_grid_of_what_is_even():
    waves = torch.fft.rfft(smooth(60, 0), dim=-2)
    waves[..., -1, :] *= 0.1  # the finest from row to row, as a filter leaves it
    filtered = spectrum(torch.fft.irfft(waves, dim=-2).clamp(0, 255))
    assert excess_periodicity(spectrum(smooth(60, 1)), filtered) < 2.5
    rows = (torch.arange(64)[:, None] % 2).float() * 6 - 3
    assert excess_periodicity(spectrum(smooth(60, 1) + rows), filtered) > 8


def test_flat_and_very_small_images_are_no_error():
    flat = spectrum(torch.full((3, 3, 32, 32), 128.0))
    assert excess_periodicity(flat, flat) == 0
    tiny = spectrum(torch.full((3, 3, 8, 8), 128.0))
    assert excess_periodicity(tiny, tiny) is None
    assert excess_detail(flat, flat) == excess_detail(tiny, tiny) == 0


def test_detail_is_above_zero_for_grain_below_for_blur_and_zero_for_other_pictures_of_the_same_kind():
    images, training = smooth(60, 1), spectrum(smooth(60, 0))
    assert abs(excess_detail(spectrum(images), training)) < 0.5
    # Noise of deviation 8 is the detail that there is; twice its power is 3 dB.
    grain = 8 * torch.randn(images.shape, generator=torch.Generator().manual_seed(9))
    assert 2 < excess_detail(spectrum((images + grain).clamp(0, 255)), training) < 4
    assert excess_detail(spectrum(F.avg_pool2d(images, 3, 1, 1)), training) < -3
