"""The training images most like a window of a sample, whatever its disguise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from handful.metrics.alignment import Smoothed, Start, Window, align

COARSE = 16
"""Side in pixels of the images among which those to be aligned are chosen."""

NEXT = 5
"""Training images after the nearest one whose median distance is the scale of a sample."""

BLOCK = 256
"""Training images compared at once."""

ZOOMS = (1.0, 1.15, 1.3)

SHIFTS = (-0.24, -0.12, 0.0, 0.12, 0.24)
"""In halves of a side."""


@final
@dataclass(frozen=True)
class Lookalikes:
    """The training images nearest to a window of each of b samples, nearest first."""

    distance: Float64[Tensor, "b k"]
    index: Int64[Tensor, "b k"]
    ways: Float[Tensor, "b k 4"]
    """Where the window lies in each: mirrored or not (-1, 1), zoom, and shift down and across."""

    @property
    def mirrored(self) -> Bool[Tensor, "b k"]:
        """Return which of them are mirrored."""
        return self.ways[:, :, 0] < 0

    def of(self, chosen: Bool[Tensor, " b"]) -> Lookalikes:
        """Return those of some samples."""
        return Lookalikes(self.distance[chosen], self.index[chosen], self.ways[chosen])

    def scale(self) -> Float64[Tensor, " b"]:
        """Return the median distance to those after the first; one or two of the same photo do not make it small."""
        return self.distance[:, 1 : NEXT + 1].median(dim=1).values


@final
class Bank:
    """What a window of a copy can look like: the window of each training image, mirrored or not, zoomed and shifted."""

    def __init__(self, images: Float[Tensor, "n 3 s s"], window: Window) -> None:
        self.window = window
        points = max(6, round(COARSE * (window.bottom - window.top) / 2))
        self.grid = Window(window.top, window.bottom, window.left, window.right, points).grid()
        ways = [(s, z, d, a) for s in (1.0, -1.0) for z in ZOOMS for d in SHIFTS for a in SHIFTS]
        self.ways = torch.tensor(ways)
        coarse = F.adaptive_avg_pool2d(images, COARSE)
        rows = []
        for sign, zoom, down, across in ways:
            places = torch.stack([sign * (self.grid[0] / zoom + across), self.grid[1] / zoom + down], dim=-1)
            rows.append(_row(coarse, places).half())
        self.rows = torch.stack(rows, dim=1)
        self.lengths = torch.cat([block.float().square().sum(dim=2) for block in torch.split(self.rows, BLOCK)])

    def candidates(self, small: UInt8[Tensor, "b 3 64 64"], count: int, own: Int64[Tensor, " b"] | None) -> Lookalikes:
        """Choose the images most like each sample at the coarse size; ``own`` are not to be chosen."""
        wanted = _row(F.adaptive_avg_pool2d(small.float() / 255, COARSE), self.grid.movedim(0, -1))
        blocks = []
        for rows, lengths in zip(torch.split(self.rows, BLOCK), torch.split(self.lengths, BLOCK), strict=True):
            like = (wanted @ rows.float().flatten(0, 1).T).view(len(wanted), len(rows), -1)
            blocks.append((lengths - 2 * like).min(dim=2))
        least, way = (torch.cat(values, dim=1) for values in zip(*blocks, strict=True))
        if own is not None:
            least[torch.arange(len(own)), own] = torch.inf
        count = min(count, len(self.rows) - (own is not None))
        squared, index = least.topk(count, largest=False)
        distance = (squared + wanted.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt() / wanted.shape[1] ** 0.5
        return Lookalikes(distance.double(), index, self.ways[way.gather(1, index)])

    def align(self, found: Lookalikes, samples: Smoothed, images: Smoothed) -> Lookalikes:
        """Lay each sample over its candidates, and sort them by what is left."""
        count, ways = found.index.shape[1], found.ways.flatten(0, 1)
        sample = torch.arange(len(found.index)).repeat_interleave(count)
        distance = align(samples, sample, images, found.index.flatten(), Start(*ways.unbind(dim=1)), self.window)
        distance, order = distance.double().view(-1, count).sort(dim=1)
        return Lookalikes(
            distance, found.index.gather(1, order), found.ways.gather(1, order[:, :, None].expand(-1, -1, 4))
        )


def _row(images: Float[Tensor, "n 3 s s"], places: Float[Tensor, "p p 2"]) -> Float[Tensor, "n d"]:
    """Return what images show at some places, each colour less its mean and over its contrast."""
    seen = F.grid_sample(images, places.expand(len(images), -1, -1, -1), align_corners=False, padding_mode="border")
    seen = seen - seen.mean(dim=(2, 3), keepdim=True)
    return (seen / (seen.square().mean(dim=(2, 3), keepdim=True).sqrt() + 0.04)).flatten(1)
