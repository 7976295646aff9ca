"""Sliced Wasserstein distance between patches of two image sets, at each scale of a Laplacian pyramid. No network."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from handful.config.sizes import Shape

PATCHES = 16_384
"""Patches a level. The paper takes 128 of each of 16,384 images; here the number is fixed and the images are few."""


PATCH_SIDE = 7


SMALLEST_SIDE = 16


DIRECTIONS = 512


DIRECTIONS_AT_ONCE = 128


FLATTEST = 12**-0.5
"""Grey levels: the deviation of what rounding to 8 bits adds. A channel flatter than this is taken for that flat."""


@final
class Patches:
    """Gather patches from a stream of images: the same number from every set, spread evenly over its images.

    Patch p lies in image ``floor(p * count / PATCHES)``, at a position that follows from the seed, the images' size and
    p alone. So a set is at distance 0 from itself, and sets of any two numbers of images can be compared. Holds 10 MB a
    level: float32, since a level has finer steps than the 8 bits of the images.

    Source: ProGAN (Karras et al. 2018), section 5 and appendix B.
    """

    levels: dict[int, Float32[Tensor, "p c 7 7"]]
    """By their shorter side, in pixels."""

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
            places = torch.tensor([(each >> level) - PATCH_SIDE + 1 for each in sides])
            longest = int(places.max())
            self.corners[side] = torch.randint(longest, (PATCHES, 2), generator=random) * places // longest

    def add(self, images: UInt8[Tensor, "b c h w"]) -> None:
        """Take the patches that lie in the next images of the set."""
        ends = torch.tensor([self.added, self.added + len(images)])
        first, last = torch.searchsorted(self.image, ends).tolist()
        image = self.image[first:last] - self.added
        for level in pyramid(images.float(), len(self.levels)):
            side = min(level.shape[2:])
            self.levels[side][first:last] = _cut(level, image, self.corners[side][first:last])
        self.added += len(images)


def swd(samples: Patches, reference: Patches) -> dict[int, float]:
    """Give the sliced Wasserstein distance of each level of the pyramid, by its side in pixels, times 1,000.

    The mean over random directions of the distance between the patches' projections. The largest level sees the finest
    detail, the smallest what is left: shapes and colours. Two halves of one set are not at distance 0: their distance
    is the least to hope for.

    Source: ProGAN (Karras et al. 2018), section 5. The authors normalise each set by its own mean and deviation, which
    hides a change of colour or contrast of the whole set; here both are normalised by the reference's.
    """
    for patches in (samples, reference):
        assert patches.added == patches.count, f"{patches.added} of {patches.count} images were added"
    return {side: 1000 * _distance(samples.levels[side], level) for side, level in reference.levels.items()}


def _distance(samples: Float32[Tensor, "p c s s"], reference: Float32[Tensor, "p c s s"]) -> float:
    """Normalise the channels of both sets by the reference, and compare their projections."""
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
    """Give the Wasserstein-1 distance of each pair of rows, seen as sets of numbers: sorted, they are matched."""
    # NumPy sorts rows of float32 four times as fast as torch.
    low, high = (torch.from_numpy(np.sort(rows.numpy(), axis=1)) for rows in (first, second))
    return (low - high).abs().mean(dim=1)


def halvings(shape: Shape) -> int:
    """Say how often both sides can be halved without a rest and without falling below ``SMALLEST_SIDE``."""
    height, width = shape[0] // 2, shape[1] // 2
    if shape[0] % 2 or shape[1] % 2 or min(height, width) < SMALLEST_SIDE:
        return 0
    return 1 + halvings((height, width))


def pyramid(images: Float[Tensor, "b c h w"], levels: int) -> list[Float[Tensor, "b c _ _"]]:
    """Split images into what each halving loses, finest first, and the small image that is left at the end.

    ``level + enlarge(next)`` from the end upwards gives the images back.

    Source: Burt and Adelson 1983; ProGAN (Karras et al. 2018), section 5.
    """
    bands = []
    for _ in range(levels - 1):
        half = _blur(images)[:, :, ::2, ::2]
        bands.append(images - enlarge(half))
        images = half
    return [*bands, images]


def enlarge(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double the sides: zeros between the pixels, then the blur, four times as bright."""
    batch, channels, height, width = images.shape
    spread = images.new_zeros(batch, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = 4 * images
    return _blur(spread)


def _blur(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Convolve with the binomial 1 4 6 4 1 over 16 along both sides; beyond the edge the image is mirrored."""
    images = F.pad(images, (2, 2, 2, 2), mode="reflect")
    # The kernel is 1 1 four times over: sums of neighbours, which take a tenth of the time of a convolution.
    for _ in range(4):
        images = images[:, :, 1:] + images[:, :, :-1]
        images = images[..., 1:] + images[..., :-1]
    return images / 256


def _cut(
    images: Float[Tensor, "b c h w"], image: Int64[Tensor, " p"], corners: Int64[Tensor, "p 2"]
) -> Float[Tensor, "p c 7 7"]:
    """Cut one patch for each entry of ``image`` and ``corners``, which hold its image, top row and left column."""
    row, column = (corners[:, :, None] + torch.arange(PATCH_SIDE)).unbind(dim=1)
    pixels: Tensor = images.permute(0, 2, 3, 1)[image[:, None, None], row[:, :, None], column[:, None, :]]
    return pixels.permute(0, 3, 1, 2)
