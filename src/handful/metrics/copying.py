"""Find samples that are copies of training images.

A generator trained on a hundred images can improve every published score by memorising them. So each sample's distance
to its nearest training image is compared with the distance of that training image to its own neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from handful.metrics.distances import nearest

THUMBNAIL = 16
"""Side in pixels of the images that are compared pixel by pixel. Small, so noise and fine detail hardly count."""

NEIGHBOURS = 5
"""Nearest training images whose median distance is the scale of a training image."""

COPY = 0.4
"""A sample nearer than this share of the scale is a copy. dev/LOG.md shows where copies and new images lie."""


@final
@dataclass(frozen=True)
class Matches:
    """The nearest training image of each of n images."""

    ratio: Float64[Tensor, " n"]
    """Novelty: the distance over the training image's scale. 0 is the same image, 1 is as far as its neighbours."""
    index: Int64[Tensor, " n"]
    mirrored: Bool[Tensor, " n"]
    """Whether the mirrored training image is nearer."""

    @property
    def share(self) -> float:
        """Share of the images that are copies."""
        return float((self.ratio < COPY).double().mean())

    @property
    def novelty(self) -> float:
        """Median ratio."""
        return float(self.ratio.median())


@final
@dataclass(frozen=True)
class Around:
    """The ``k`` nearest training images of each of n images, nearest first; fields as in ``Matches``."""

    ratio: Float64[Tensor, "n k"]
    index: Int64[Tensor, "n k"]
    mirrored: Bool[Tensor, "n k"]


@final
class Space:
    """Training images as vectors in one space, mirrored ones included.

    The scale of a training image is the median distance to its five nearest others. One or two duplicates do not make
    it small. Images of a common kind (fifty yellow faces) get a smaller scale than unique ones.
    """

    def __init__(self, images: Float64[Tensor, "n d"], mirrored: Float64[Tensor, "n d"]) -> None:
        self.images, self.mirrored = images, mirrored
        self.count = len(images)
        k = min(NEIGHBOURS, self.count - 1)
        plain = nearest(images, images, k, exclude_self=True)
        turned = nearest(images, mirrored, k, exclude_self=True)
        distances = torch.cat([plain[0], turned[0]], dim=1)
        indices = torch.cat([plain[1], turned[1]], dim=1)
        self.scale = distances.gather(1, _nearest_images(distances, indices, k)).median(dim=1).values
        self.scale = self.scale.clamp(min=float(self.scale.median()) / 10)
        self.among = self._matches(plain[0][:, 0], plain[1][:, 0], turned[0][:, 0], turned[1][:, 0])

    def match(self, samples: Float64[Tensor, "m d"]) -> Matches:
        """Return the nearest training image of each sample."""
        plain, turned = nearest(samples, self.images, 1), nearest(samples, self.mirrored, 1)
        return self._matches(plain[0][:, 0], plain[1][:, 0], turned[0][:, 0], turned[1][:, 0])

    def around(self, samples: Float64[Tensor, "m d"], count: int) -> Around:
        """Return the ``count`` nearest training images of each sample; the first is that of ``match``."""
        plain, turned = nearest(samples, self.images, count), nearest(samples, self.mirrored, count)
        distances = torch.cat([plain[0], turned[0]], dim=1)
        indices = torch.cat([plain[1], turned[1]], dim=1)
        chosen = _nearest_images(distances, indices, count)
        index = indices.gather(1, chosen)
        return Around(self._ratio(distances.gather(1, chosen), index), index, chosen >= count)

    def _matches(
        self,
        plain: Float64[Tensor, " m"],
        plain_index: Int64[Tensor, " m"],
        turned: Float64[Tensor, " m"],
        turned_index: Int64[Tensor, " m"],
    ) -> Matches:
        mirrored = turned < plain
        index = torch.where(mirrored, turned_index, plain_index)
        return Matches(self._ratio(torch.minimum(plain, turned), index), index, mirrored)

    def _ratio(self, distance: Float64[Tensor, "*m"], index: Int64[Tensor, "*m"]) -> Float64[Tensor, "*m"]:
        # If all training images are equal, the scale is 0. Then an equal sample is a copy and any other is not.
        return torch.where(distance == 0, 0.0, distance / self.scale[index])


def _nearest_images(
    distances: Float64[Tensor, "n k"], indices: Int64[Tensor, "n k"], count: int
) -> Int64[Tensor, "n {count}"]:
    """Return the columns of the ``count`` smallest distances to different images.

    A row may list an image twice, but must list at least ``count`` different ones.
    """
    order = distances.argsort(dim=1, stable=True)
    indices = indices.gather(1, order)
    earlier = (indices[:, :, None] == indices[:, None, :]).tril(diagonal=-1).any(dim=2)
    return order.gather(1, earlier.byte().argsort(dim=1, stable=True))[:, :count]


def nearer(spaces: list[Matches]) -> Matches:
    """Return for each image its match in the space in which that is nearer."""
    ratio, which = torch.stack([matches.ratio for matches in spaces]).min(dim=0)
    index, mirrored = (
        torch.stack([getattr(matches, name) for matches in spaces]).gather(0, which[None])[0]
        for name in ("index", "mirrored")
    )
    return Matches(ratio, index, mirrored)


def thumbnails(images: UInt8[Tensor, "b c h w"]) -> Float64[Tensor, "b d"]:
    """Return images averaged down to 16 x 16 pixels in [-1, 1], one row for each image."""
    small = torch.nn.functional.adaptive_avg_pool2d(images.double() / 127.5 - 1, THUMBNAIL)
    return small.flatten(start_dim=1)
