"""Grids and grain that a generator leaves in its images, found in their power spectrum. No network."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.config.sizes import Shape
from handful.objective.spectrum import grid_places, longest_period, power, ring


@final
class Spectrum:
    """Gathers the mean power spectrum of a stream of images."""

    def __init__(self, shape: Shape) -> None:
        """Expect images of this height and width."""
        self.shape = shape
        height, width = shape
        self.total = torch.zeros(height, width // 2 + 1, dtype=torch.float64)
        self.count = 0

    def add(self, images: UInt8[Tensor, "b c h w"]) -> None:
        """Add images."""
        self.total += power(images.cpu().double()) * len(images)
        self.count += len(images)

    def mean(self) -> Float64[Tensor, "h f"]:
        """Return the mean power at each frequency, over half the plane."""
        return self.total / self.count

    def rounding(self) -> float:
        """Return the power that rounding to 8 bits adds to every frequency. Less than that is invisible."""
        lines = [torch.hann_window(side, periodic=False, dtype=torch.float64) for side in self.shape]
        return float(lines[0].square().sum() * lines[1].square().sum()) / 12


def excess_periodicity(samples: Spectrum, reference: Spectrum) -> float | None:
    """Return by how many decibels samples stand out at the frequencies of a grid, beyond the training images.

    A frequency stands out by its power over the median of those around it. The largest difference counts, over all
    frequencies with periods of 2, 4, 8 or 16 pixels along one side or both. Up to 2, from few images: no grid. 10: ten
    times the power of the surroundings. None if images are too small.

    Source: that upsampling leaves such peaks is Odena et al. 2016, "Deconvolution and checkerboard artifacts", and
    Durall et al. 2020, "Watch your up-convolution"; the score is ours.
    """
    longest = longest_period(samples.shape)
    if longest is None:
        return None
    at, around = grid_places(samples.total, longest)
    least, compared = samples.rounding(), ring(samples.total.device)

    def standing_out(power: Float64[Tensor, "h f"]) -> Float64[Tensor, "r c"]:
        surroundings = power[around][..., compared].median(dim=-1).values
        return 10 * torch.log10((power[at] + least) / (surroundings + least))

    # A gap in the training images' spectrum, as a filter leaves it, does not make a grid of samples without it.
    difference = standing_out(samples.mean()) - standing_out(reference.mean()).clamp(min=0)
    most = float(difference.flatten()[1:].max())  # the first is the mean brightness
    return max(0.0, most) if math.isfinite(most) else None


def excess_detail(samples: Spectrum, reference: Spectrum) -> float:
    """Return by how many decibels the finest octave of samples has more power than that of the training images.

    These are the frequencies with periods below 4 pixels along at least one side. Near 0: as fine as the training
    images. Above: grain, or lattices too irregular for ``excess_periodicity``; 3 is twice the power. Below: blur.

    Source: ours; that generators miss these frequencies is Durall et al. 2020, "Watch your up-convolution".
    """
    height, width = samples.shape
    rows = torch.fft.fftfreq(height, dtype=torch.float64).abs()
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    # Columns stand for themselves and their negatives, but for the first, and the last of an even width.
    times = 1 + ((columns > 0) & (columns < 1 / 2)).double()
    weight = times * ((rows[:, None] > 1 / 4) | (columns > 1 / 4))
    of_samples, of_training = (
        float(((spectrum.mean() + spectrum.rounding()) * weight).sum()) for spectrum in (samples, reference)
    )
    return 10 * math.log10(of_samples / of_training)
