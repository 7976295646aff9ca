"""The training images as samples are compared with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from handful.compute.tensor_files import open_tensors, write_tensors
from handful.errors import UsageError
from handful.files import cache_folder, is_readable, replacing
from handful.metrics.copying import Originals, thumbnails
from handful.metrics.features import Extractor
from handful.metrics.gather import BATCH, batches
from handful.progress import advance

FORMAT = "handful features"


@final
@dataclass(frozen=True)
class Reference:
    """Training images, their features, and where copies of them are searched."""

    images: UInt8[Tensor, "n c h w"]
    features: Float64[Tensor, "n d"] | None
    """None without an extractor."""
    originals: Originals
    second: Float64[Tensor, "n e"] | None = None
    """The features of a second network; None without it."""

    @classmethod
    def of(
        cls, images: UInt8[Tensor, "n c h w"], extractor: Extractor | None, second: Extractor | None = None
    ) -> Reference:
        """Measure images.

        Args:
            images: All of them, in memory or mapped from a file.
            extractor: Computes features, which are cached. None leaves them out.
            second: Another network whose features are wanted.
        """
        features, others = (
            None if network is None else cached_features(images, network) for network in (extractor, second)
        )
        originals = Originals(torch.cat([thumbnails(batch) for batch in batches(images)]))
        return cls(images, features, originals, others)


def cached_features(images: UInt8[Tensor, "n c h w"], extractor: Extractor) -> Float64[Tensor, "n d"]:
    """Return the features of images, from the cache if they are there."""
    path = cache_file(images, extractor)
    if is_readable(path):
        try:
            with open_tensors(path, FORMAT, "a cache of features") as file:
                shapes = {shape[0] for _, shape in file.layout.values()}
                if file.layout.keys() == {"images"} and shapes == {len(images)}:
                    return file.load()["images"].double()
        except UsageError:
            pass  # damaged, or of an earlier version; computed again
    parts: list[Tensor] = []
    for start in range(0, len(images), BATCH):
        parts.append(extractor(images[start : start + BATCH]))
        advance("computing features of the training images", min(start + BATCH, len(images)), len(images))
    rows = torch.cat(parts)
    try:
        with replacing(path) as temporary:
            # Networks compute in float32, so nothing is lost.
            write_tensors(temporary, {"images": rows.float()}, FORMAT, {})
    except OSError:
        pass  # without a writable cache, they are computed again next time
    return rows


def cache_file(images: UInt8[Tensor, "n c h w"], extractor: Extractor) -> Path:
    """Return where features of images are cached: below ``$HANDFUL_CACHE``, or the user's cache folder."""
    # A fingerprint of the folder is not enough: pixels also depend on size, fit and Pillow's version.
    whole = hashlib.sha256(f"{extractor.name} {tuple(images.shape)}".encode())
    for batch in batches(images):  # a copy of all may not fit into memory
        whole.update(batch.contiguous().numpy().data)
    # The network's name is not enough: its features of a ramp also tell weights and versions apart.
    ramp = torch.arange(3 * 64 * 64).remainder(256).to(torch.uint8).view(1, 3, 64, 64)
    whole.update(extractor(ramp).float().numpy().data)
    return cache_folder() / "features" / f"{whole.hexdigest()}.safetensors"
