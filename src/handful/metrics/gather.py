"""Go through a set of images once, and keep what the scores need: features, thumbnails, patches, a few images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.data.order import evenly_spaced
from handful.metrics.copying import thumbnails
from handful.metrics.evenness import Detail
from handful.metrics.features import Extractor
from handful.metrics.periodicity import Spectrum
from handful.metrics.wasserstein import Patches
from handful.progress import advance

BATCH = 16
"""Images that a network sees together."""

KEPT_IMAGES = 256
"""Images kept as images, evenly spaced over the set."""


@final
@dataclass(frozen=True)
class Gathered:
    """What is kept of n images: 1.1 GB for 50,000 of them with Inception's features, whatever their size."""

    features: Float64[Tensor, "n d"] | None
    """None without an extractor."""
    second: Float64[Tensor, "n e"] | None
    """The features of a second network; None without it."""
    thumbnails: UInt8[Tensor, "n 3 64 64"]
    patches: Patches
    spectrum: Spectrum
    detail: Detail
    kept: UInt8[Tensor, "k c h w"]


def gather(
    images: Iterable[UInt8[Tensor, "b c h w"]],
    count: int,
    shape: tuple[int, int, int],
    extractor: Extractor | None,
    task: str,
    second: Extractor | None = None,
) -> Gathered:
    """Go through ``count`` images of these channels, height and width, with one batch in memory at a time.

    ``task`` is what the progress bar says. ``second`` is another network that sees the images.
    """
    patches, spectrum, detail = Patches(count, shape), Spectrum(shape[1:]), Detail()
    wanted = set(evenly_spaced(range(count), KEPT_IMAGES))
    networks: list[tuple[Extractor | None, list[Tensor]]] = [(extractor, []), (second, [])]
    small: list[Tensor] = []
    kept: list[Tensor] = []
    done = 0
    for batch in in_batches(images):
        for network, features in networks:
            if network is not None:
                features.append(network(batch))
        small.append(thumbnails(batch))
        patches.add(batch)
        spectrum.add(batch)
        detail.add(batch)
        kept += [image.clone() for index, image in enumerate(batch, start=done) if index in wanted]
        done += len(batch)
        advance(task, done, count)
    rows, other = (None if network is None else torch.cat(features) for network, features in networks)
    return Gathered(rows, other, torch.cat(small), patches, spectrum, detail, torch.stack(kept))


def batches(images: UInt8[Tensor, "n c h w"], size: int = BATCH) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """Split images in memory into batches of ``size``."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def in_batches(images: Iterable[UInt8[Tensor, "b c h w"]]) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """Join the batches of a stream to full ones; on a CPU, a generator gives one image at a time."""
    waiting: list[Tensor] = []
    for batch in images:
        waiting.append(batch)
        if sum(map(len, waiting)) >= BATCH:
            yield torch.cat(waiting)
            waiting.clear()
    if waiting:
        yield torch.cat(waiting)
