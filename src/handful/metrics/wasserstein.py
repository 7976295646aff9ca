"""Sliced Wasserstein distance between the patches of two image sets, at each scale of a pyramid. No network."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from handful.config.sizes import Shape

PATCHES = 16_384
"""Patches of each level, whatever the number of images. The paper takes 128 of each of 16,384 images."""

PATCH_SIDE = 7

SMALLEST_SIDE = 16

DIRECTIONS = 512

DIRECTIONS_AT_ONCE = 128

FLATTEST = 12**-0.5
"""Grey levels: the standard deviation that rounding to 8 bits adds. Flatter channels count as this flat."""


@final
class Patches:
    """Gathers patches from a stream of images: the same number from every set, evenly spread over its images.

    Patch p lies in image ``floor(p * count / PATCHES)``. Its position depends on the seed, the image size and p alone.
    So a set is at distance 0 from itself, and sets with different numbers of images can be compared. Takes 10 MB for
    each level, in float32, since a level has finer steps than 8 bits.

    Source: ProGAN (Karras et al. 2018), section 5 and appendix B.
    """

    levels: dict[int, Float32[Tensor, "p c 7 7"]]
    """By their shorter side in pixels."""

    def __init__(self, count: int, shape: tuple[int, int, int], seed: int = 0) -> None:
        """Expect ``count`` images of these channels, height and width."""
        random = torch.Generator().manual_seed(seed)
        self.count = count
        self.added = 0
        self.image = torch.arange(PATCHES) * count // PATCHES
        self.levels = {}
        self.corners: dict[int, Int64[Tensor, "p 2"]] = {}
        channels, *sides = shape
        for level in range(halvings((sides[0], sides[1])) + 1):
            side = min(sides) >> level
            self.levels[side] = torch.empty(PATCHES, channels, PATCH_SIDE, PATCH_SIDE)
            positions = torch.tensor([(length >> level) - PATCH_SIDE + 1 for length in sides])
            most = int(positions.max())
            self.corners[side] = torch.randint(most, (PATCHES, 2), generator=random) * positions // most

    def add(self, images: UInt8[Tensor, "b c h w"]) -> None:
        """Add the patches of the next images of the set."""
        ends = torch.tensor([self.added, self.added + len(images)])
        first, last = torch.searchsorted(self.image, ends).tolist()
        image = self.image[first:last] - self.added
        for level in pyramid(images.float(), len(self.levels)):
            side = min(level.shape[2:])
            self.levels[side][first:last] = _cut(level, image, self.corners[side][first:last])
        self.added += len(images)


def swd(samples: Patches, reference: Patches) -> dict[int, float]:
    """Return the sliced Wasserstein distance of each level of the pyramid times 1,000, by its side in pixels.

    The mean over random directions of the distance between the projections of the patches. The largest level shows the
    finest detail, the smallest shows shapes and colours. Two halves of one set are not at distance 0: their distance
    is the best that samples can reach.

    Source: ProGAN (Karras et al. 2018), section 5. The authors normalise each set by its own mean and deviation, which
    hides a change of colour or contrast of the whole set. We normalise both sets by those of the reference.
    """
    for patches in (samples, reference):
        assert patches.added == patches.count, f"{patches.added} of {patches.count} images were added"
    return {side: 1000 * _distance(samples.levels[side], level) for side, level in reference.levels.items()}


def _distance(samples: Float32[Tensor, "p c s s"], reference: Float32[Tensor, "p c s s"]) -> float:
    """Return the distance between patches, with the channels of both sets normalised by the reference."""
    deviation, mean = torch.std_mean(reference, dim=(0, 2, 3), keepdim=True)
    scale = deviation.clamp(min=FLATTEST)
    sample_rows, reference_rows = (((patches - mean) / scale).flatten(1) for patches in (samples, reference))
    random = torch.Generator().manual_seed(0)
    directions = torch.randn(DIRECTIONS, reference_rows.shape[1], generator=random)
    directions /= directions.norm(dim=1, keepdim=True)
    distances = [
        wasserstein(chunk @ sample_rows.T, chunk @ reference_rows.T)
        for chunk in torch.split(directions, DIRECTIONS_AT_ONCE)
    ]
    return float(torch.cat(distances).mean())


def wasserstein(first: Float32[Tensor, "k n"], second: Float32[Tensor, "k n"]) -> Float32[Tensor, " k"]:
    """Return the Wasserstein-1 distance of each pair of rows, taken as sets of numbers."""
    # NumPy sorts rows of float32 four times as fast as torch.
    low, high = (torch.from_numpy(np.sort(rows.numpy(), axis=1)) for rows in (first, second))
    return (low - high).abs().mean(dim=1)


def halvings(shape: Shape) -> int:
    """Return how often both sides can be halved evenly without falling below ``SMALLEST_SIDE``."""
    height, width = shape[0] // 2, shape[1] // 2
    if shape[0] % 2 or shape[1] % 2 or min(height, width) < SMALLEST_SIDE:
        return 0
    return 1 + halvings((height, width))


def pyramid(images: Float[Tensor, "b c h w"], levels: int) -> list[Float[Tensor, "b c _ _"]]:
    """Split images into a Laplacian pyramid: what each halving loses, finest first, and the small image at the end.

    ``level + enlarge(next)``, from the end upwards, restores the images.

    Source: Burt and Adelson 1983; ProGAN (Karras et al. 2018), section 5.
    """
    bands = []
    for _ in range(levels - 1):
        half = _blur(images)[:, :, ::2, ::2]
        bands.append(images - enlarge(half))
        images = half
    return [*bands, images]


def enlarge(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double the sides: zeros between the pixels, times four, blurred."""
    batch, channels, height, width = images.shape
    spaced = images.new_zeros(batch, channels, 2 * height, 2 * width)
    spaced[:, :, ::2, ::2] = 4 * images
    return _blur(spaced)


def _blur(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Convolve with the binomial kernel 1 4 6 4 1 over 16 along both sides, with reflection padding."""
    images = F.pad(images, (2, 2, 2, 2), mode="reflect")
    # The kernel is (1 1) applied four times. Sums of neighbours take a tenth of the time of a convolution.
    for _ in range(4):
        images = images[:, :, 1:] + images[:, :, :-1]
        images = images[..., 1:] + images[..., :-1]
    return images / 256


def _cut(
    images: Float[Tensor, "b c h w"], image: Int64[Tensor, " p"], corners: Int64[Tensor, "p 2"]
) -> Float[Tensor, "p c 7 7"]:
    """Cut one patch for each entry of ``image``, its index, and of ``corners``, its top row and left column."""
    row, column = (corners[:, :, None] + torch.arange(PATCH_SIDE)).unbind(dim=1)
    pixels: Tensor = images.permute(0, 2, 3, 1)[image[:, None, None], row[:, :, None], column[:, None, :]]
    return pixels.permute(0, 3, 1, 2)
