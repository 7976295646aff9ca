"""Grids and grain that a generator leaves in its pictures, found in their power spectrum. No network."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.config.sizes import Shape
from handful.objective.spectrum import INNER, OUTER, longest_period


@final
class Spectrum:
    """Gather the mean power spectrum of a stream of images, each less its mean and under a Hann window."""

    def __init__(self, shape: Shape) -> None:
        lines = [torch.hann_window(side, periodic=False, dtype=torch.float64) for side in shape]
        self.window = lines[0][:, None] * lines[1]
        self.total = torch.zeros(shape, dtype=torch.float64)
        self.count = 0
        """Of the channels of all images."""

    def add(self, images: UInt8[Tensor, "b c h w"]) -> None:
        """Take in the next images."""
        exact = images.cpu().double()
        exact = (exact - exact.mean(dim=(2, 3), keepdim=True)) * self.window
        self.total += torch.fft.fft2(exact).abs().square().sum(dim=(0, 1))
        self.count += len(images) * images.shape[1]

    def mean(self) -> Float64[Tensor, "h w"]:
        """Give the mean power at each frequency."""
        return self.total / self.count

    def rounding(self) -> float:
        """Give what rounding to 8 bits adds to every frequency; less than that is nothing that can be seen."""
        return float(self.window.square().sum()) / 12


def excess_periodicity(samples: Spectrum, reference: Spectrum) -> float | None:
    """Say by how many decibels samples stand out at the frequencies of a grid, beyond the training images.

    A frequency stands out by its power over the median of those around it. Of all frequencies with periods of 2, 4, 8
    or 16 pixels along one side or both, the one with the largest difference counts. Near 0 (a decibel or two, from few
    images): no grid of their own; 10: a power ten times that of the surroundings. None if images are too small.

    Source: that upsampling leaves such peaks is Odena et al. 2016, "Deconvolution and checkerboard artifacts", and
    Durall et al. 2020, "Watch your up-convolution"; the figure is ours.
    """
    height, width = samples.total.shape
    longest = longest_period((height, width))
    if longest is None:
        return None
    rows = range(0, height, height // longest)
    # A frequency and its negative are the same; those on the axes are looked at once.
    columns = range(0, width // 2 + 1, width // longest)
    places = [(row, column) for row in rows for column in columns if (row, column) != (0, 0)]
    offsets = range(-OUTER, OUTER + 1)
    ring = [(dy, dx) for dy in offsets for dx in offsets if max(abs(dy), abs(dx)) > INNER]

    def standing_out(power: Float64[Tensor, "h w"]) -> Float64[Tensor, " p"]:
        row, column = torch.tensor(places).T
        near = torch.stack([power[(row + dy) % height, (column + dx) % width] for dy, dx in ring])
        return 10 * torch.log10((power[row, column] + tiny) / (near.median(dim=0).values + tiny))

    tiny, mean = samples.rounding(), [each.mean() for each in (samples, reference)]
    # What is even stands out of a gap that training images have, as a filter leaves it, and is no grid.
    difference = float((standing_out(mean[0]) - standing_out(mean[1]).clamp(min=0)).max())
    return max(0.0, difference) if math.isfinite(difference) else None


def excess_detail(samples: Spectrum, reference: Spectrum) -> float:
    """Say by how many decibels the finest octave of samples has more power than that of the training images.

    Those are the frequencies with periods below 4 pixels along at least one side. Near 0: as fine as the training
    images. Above: grain, or lattices too irregular for ``excess_periodicity``; 3 is twice the power. Below: blur.

    Source: ours; that generators miss these frequencies is Durall et al. 2020, "Watch your up-convolution".
    """
    height, width = samples.total.shape
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64).abs() for side in (height, width))
    finest = (rows[:, None] > 1 / 4) | (columns > 1 / 4)
    of_samples, of_training = (float((each.mean() + each.rounding())[finest].sum()) for each in (samples, reference))
    return 10 * math.log10(of_samples / of_training)
