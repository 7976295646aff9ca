"""Find samples that are copies of training images, in disguise too.

A generator trained on a hundred images can improve every published score by memorising them, and what it was trained
with (mirrored, moved, zoomed, recoloured images) is how its copies look. So each sample is laid over the training
images that are most like it (``alignment``), whole and in quarters. A copy is much nearer to one training image than
to the next ones.

Source: that a copy is told by its distance relative to the next ones: Carlini et al. 2023, section 4.2. Laying images
over each other, quarters and the limits are ours; benchmarks/known_answers.py shows what they find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from handful.data.order import evenly_spaced
from handful.images.channels import over_white
from handful.metrics.alignment import Smoothed, Window
from handful.metrics.lookalikes import NEXT, ZOOMS, Bank, Lookalikes
from handful.progress import advance

SIDE = 64
"""Side in pixels of the images that are compared."""

LEAST_SCALE = 0.25
"""Least scale of a sample, as a share of the median one: the same photo four times in a folder hides no copy of it."""

COPY = 0.4
"""Largest limit of the novelty of a copy. On no set of ours is a fresh image below it, unless it shows the same photo
as a training image (docs/metrics.md)."""

SAME = 0.1
"""Novelty below which two training images are one photo, whatever the set."""

TAIL = 1.6
"""Times the way from the median novelty of training images down to that of the nearest tenth, in logarithms, at which
hardly any is left. Under a normal distribution it would be 2 % of them; real ones have shorter tails."""

RARE = 0.01
"""Quantile of training images by their parts; half of it is the limit, since so few images show it only roughly."""

COMPARED = 5_000
"""Training images, at most, among which originals are searched: 2 GB of memory. Of more, evenly spaced ones."""

CALIBRATED = 500
"""Training images, at most, that are compared with the others to set the limits."""

EQUAL = 0.002
"""Added to every distance, as a share of contrast: smaller differences are rounding."""

WHOLE = Window(-0.75, 0.75, -0.75, 0.75, 16)
"""Its margin holds what a shift brought in."""

QUARTERS = (
    Window(-0.92, -0.08, -0.92, -0.08, 16),
    Window(-0.92, -0.08, 0.08, 0.92, 16),
    Window(0.08, 0.92, -0.92, -0.08, 16),
    Window(0.08, 0.92, 0.08, 0.92, 16),
)

SUSPECT = 0.8
"""Novelty of the quarters, before they are aligned, from which they are not: no copy comes near it."""

BATCH = 64
"""Samples compared at once: pairs of them and their nearest training images take some 100 MB."""


def thumbnails(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 64 64"]:
    """Return images as they are compared: 64 x 64 pixels, whatever their shape; RGBA over white."""
    small = F.interpolate(over_white(images).float(), (SIDE, SIDE), mode="area")
    return small.round().to(torch.uint8)


@final
@dataclass(frozen=True)
class Matches:
    """How near n samples are to training images."""

    novelty: Float64[Tensor, " n"]
    """Distance to the nearest training image over that to the next ones: 0 is the same picture, about 1 a new one."""
    parts: Float64[Tensor, " n"]
    """The same for the four quarters together, each of which may be from another image."""
    index: Int64[Tensor, " n"]
    """The nearest training image; of a composite, that of the quarter that is most alike."""
    mirrored: Bool[Tensor, " n"]
    """Whether that image was mirrored."""
    whole: Bool[Tensor, " n"]
    """Whether a sample is a copy of one training image."""
    composite: Bool[Tensor, " n"]
    """Whether it is none, but its quarters are."""

    @property
    def copied(self) -> Bool[Tensor, " n"]:
        """Return which samples are copies, whole or in parts."""
        return self.whole | self.composite

    @property
    def nearest(self) -> Float64[Tensor, " n"]:
        """Return the novelty, or that of the parts where only they tell a copy."""
        return self.parts.where(self.composite, self.novelty)

    @property
    def share(self) -> float:
        """Share of the samples that are copies."""
        return float(self.copied.double().mean())


@final
@dataclass(frozen=True)
class Around:
    """The ``k`` nearest training images of each of n samples, nearest first."""

    novelty: Float64[Tensor, "n k"]
    """Distance over that to the nearest five after the first."""
    index: Int64[Tensor, "n k"]
    mirrored: Bool[Tensor, "n k"]


@final
class Originals:
    """Training images among which the original of a copy is searched.

    The limits below which a sample is a copy are at most ``COPY``, and lower where training images themselves are
    nearer to each other: each is compared with all others. The limit of whole images comes from the bulk of them, since
    the few that show one scene or photo, as in some sets, would pull it down to where copies pass. That of parts comes
    from the nearest of them, since parts (the same eyes in many faces) do repeat within a set.
    """

    def __init__(self, small: UInt8[Tensor, "n 3 64 64"]) -> None:
        """Compare thumbnails with each other.

        Raises:
            ValueError: if there are fewer than 3.
        """
        if len(small) < 3:
            raise ValueError(f"copies need at least 3 training images to compare, not {len(small)}")
        self.places = torch.tensor(evenly_spaced(range(len(small)), COMPARED))
        """Index of each image compared among all that were given."""
        small = small[self.places]
        self.images = Smoothed(small.float() / 255)
        self.windows = [Bank(small.float() / 255, window) for window in (WHOLE, *QUARTERS)]
        chosen = torch.tensor(evenly_spaced(range(len(small)), CALIBRATED))
        compared = self._compare(small[chosen], chosen, "comparing training images with each other")
        self.least_scale = LEAST_SCALE * float(compared.scale.median())
        novelty = self._novelty(compared.distance, compared.scale)
        apart = novelty[novelty >= SAME]
        self.limit = min(COPY, _usual(apart)) if len(apart) else COPY
        distinct = compared.parts[novelty >= self.limit]
        self.parts_limit = min(COPY, float(distinct.quantile(RARE)) / 2) if len(distinct) else 0.0
        self.among = self._judge(compared)
        """How near training images are to each other, for at most ``CALIBRATED`` of them."""

    def match(self, small: UInt8[Tensor, "m 3 64 64"]) -> Matches:
        """Return how near samples, as thumbnails, are to the training images."""
        return self._judge(self._compare(small, None, "looking for copies"))

    def likeness(self, matches: Matches) -> Float64[Tensor, " m"]:
        """Return how near samples are to being copies: below 1 they are. Orders whole copies and composites."""
        tiny = 1e-6
        return torch.minimum(matches.novelty / max(self.limit, tiny), matches.parts / max(self.parts_limit, tiny))

    def around(self, small: UInt8[Tensor, "m 3 64 64"], count: int) -> Around:
        """Return the ``count`` nearest training images of each sample, whole images against whole images."""
        samples = Smoothed(small.float() / 255, ZOOMS)
        near = self.windows[0].candidates(small, max(count, NEXT + 1), None)
        near = self.windows[0].align(near, samples, self.images)
        novelty = self._novelty(near.distance[:, :count], near.scale()[:, None])
        return Around(novelty, self.places[near.index[:, :count]], near.mirrored[:, :count])

    def _compare(self, small: UInt8[Tensor, "m 3 64 64"], own: Int64[Tensor, " m"] | None, task: str) -> _Comparison:
        """Compare samples; ``own`` are the training images that they are, which do not count."""
        parts = []
        for start in range(0, len(small), BATCH):
            rows = slice(start, start + BATCH)
            parts.append(self._compare_batch(small[rows], None if own is None else own[rows]))
            advance(task, min(start + BATCH, len(small)), len(small))
        return _Comparison(
            *(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True))
        )

    def _compare_batch(self, small: UInt8[Tensor, "b 3 64 64"], own: Int64[Tensor, " b"] | None) -> _Comparison:
        samples = Smoothed(small.float() / 255, ZOOMS)
        whole, *quarters = (window.candidates(small, NEXT + 1, own) for window in self.windows)
        whole = self.windows[0].align(whole, samples, self.images)
        parts, part, turned = _together(quarters)
        suspect = parts < SUSPECT
        if suspect.any():
            chosen = samples.of(suspect)
            aligned = [
                window.align(quarter.of(suspect), chosen, self.images)
                for window, quarter in zip(self.windows[1:], quarters, strict=True)
            ]
            parts[suspect], part[suspect], turned[suspect] = _together(aligned)
        return _Comparison(
            distance=whole.distance[:, 0],
            scale=whole.scale(),
            parts=parts,
            index=self.places[whole.index[:, 0]],
            mirrored=whole.mirrored[:, 0],
            part=self.places[part],
            part_mirrored=turned,
        )

    def _novelty(self, distance: Float64[Tensor, "*n"], scale: Float64[Tensor, "*#n"]) -> Float64[Tensor, "*n"]:
        return (distance + EQUAL) / (scale.clamp(min=self.least_scale) + EQUAL)

    def _judge(self, compared: _Comparison) -> Matches:
        novelty = self._novelty(compared.distance, compared.scale)
        whole = novelty < self.limit
        composite = (compared.parts < self.parts_limit) & ~whole
        return Matches(
            novelty=novelty,
            parts=compared.parts,
            index=compared.part.where(composite, compared.index),
            mirrored=compared.part_mirrored.where(composite, compared.mirrored),
            whole=whole,
            composite=composite,
        )


@final
@dataclass(frozen=True)
class _Comparison:
    """What ``Matches`` come from; ``part`` is the training image of the quarter that is most alike."""

    distance: Float64[Tensor, " n"]
    scale: Float64[Tensor, " n"]
    parts: Float64[Tensor, " n"]
    index: Int64[Tensor, " n"]
    mirrored: Bool[Tensor, " n"]
    part: Int64[Tensor, " n"]
    part_mirrored: Bool[Tensor, " n"]


def _together(
    quarters: list[Lookalikes],
) -> tuple[Float64[Tensor, " b"], Int64[Tensor, " b"], Bool[Tensor, " b"]]:
    """Return the novelty of four quarters, and the nearest image of the quarter that is most alike.

    Distances are added in squares: quarters that all images share, such as plain corners, hardly count.
    """
    first = torch.stack([quarter.distance[:, 0] for quarter in quarters])
    scale = torch.stack([quarter.scale() for quarter in quarters])
    parts = (first.square().mean(dim=0).sqrt() + EQUAL) / (scale.square().mean(dim=0).sqrt() + EQUAL)
    closest = ((first + EQUAL) / (scale + EQUAL)).argmin(dim=0)
    rows = torch.arange(first.shape[1])
    index, mirrored = (torch.stack([getattr(each, name)[:, 0] for each in quarters]) for name in ("index", "mirrored"))
    return parts, index[closest, rows], mirrored[closest, rows]


def _usual(novelty: Float64[Tensor, " n"]) -> float:
    """Return a novelty that hardly any of these images would be below, if most of them are no copies."""
    low, middle = novelty.quantile(torch.tensor([0.1, 0.5], dtype=novelty.dtype)).tolist()
    return float(middle * (low / middle) ** TAIL)
