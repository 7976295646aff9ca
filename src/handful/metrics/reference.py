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
from handful.files import cache_folder, replacing
from handful.metrics.copying import Around, Matches, Space, nearer, thumbnails
from handful.metrics.features import Extractor
from handful.metrics.gather import BATCH, batches
from handful.progress import advance

FORMAT = "handful features"


@final
@dataclass(frozen=True)
class Reference:
    """Training images, their features, and how near they are to each other."""

    images: UInt8[Tensor, "n c h w"]
    features: Float64[Tensor, "n d"] | None
    """None without an extractor."""
    spaces: dict[str, Space]
    """Where distances are measured: ``pixels``, and ``features`` with an extractor."""
    second: Float64[Tensor, "n e"] | None = None
    """The features of a second network; None without it."""

    @classmethod
    def of(
        cls, images: UInt8[Tensor, "n c h w"], extractor: Extractor | None, second: Extractor | None = None
    ) -> Reference:
        """Measure images and their mirror images.

        Args:
            images: All of them, in memory or mapped from a file.
            extractor: Computes features, which are cached. Without it, samples are compared by pixels alone.
            second: Another network whose features are wanted. Copies are not searched in them.
        """
        small = [(thumbnails(batch), thumbnails(batch.flip(-1))) for batch in batches(images)]
        spaces = {"pixels": Space(*(torch.cat(parts) for parts in zip(*small, strict=True)))}
        other = None if second is None else cached_features(images, second)["images"]
        if extractor is None:
            return cls(images, None, spaces, other)
        rows = cached_features(images, extractor)
        spaces["features"] = Space(rows["images"], rows["mirrored"])
        return cls(images, rows["images"], spaces, other)

    @property
    def among(self) -> Matches:
        """Match each training image with the nearest other one."""
        return nearer([space.among for space in self.spaces.values()])

    def match(self, features: Float64[Tensor, "m d"] | None, thumbnails: Float64[Tensor, "m t"]) -> Matches:
        """Match each sample with its nearest training image, in the space in which that is nearer."""
        matches = [self.spaces["pixels"].match(thumbnails)]
        if features is not None:
            matches.append(self.spaces["features"].match(features))
        return nearer(matches)

    def around(self, features: Float64[Tensor, "m d"] | None, thumbnails: Float64[Tensor, "m t"], count: int) -> Around:
        """Return the ``count`` nearest training images of each sample, in the space in which the first is nearer."""
        spaces = [self.spaces["pixels"].around(thumbnails, count)]
        if features is not None:
            spaces.append(self.spaces["features"].around(features, count))
        which = torch.stack([space.ratio[:, 0] for space in spaces]).argmin(dim=0)
        rows = torch.arange(len(which))
        ratio, index, mirrored = (
            torch.stack([getattr(space, name) for space in spaces])[which, rows]
            for name in ("ratio", "index", "mirrored")
        )
        return Around(ratio, index, mirrored)


def cached_features(images: UInt8[Tensor, "n c h w"], extractor: Extractor) -> dict[str, Float64[Tensor, "n d"]]:
    """Return the features of images and of their mirror images, from the cache if they are there."""
    path = cache_file(images, extractor)
    if path.is_file():
        try:
            with open_tensors(path, FORMAT, "a cache of features") as file:
                shapes = {shape[0] for _, shape in file.layout.values()}
                if file.layout.keys() == {"images", "mirrored"} and shapes == {len(images)}:
                    return {name: rows.double() for name, rows in file.load().items()}
        except UsageError:
            pass  # damaged, or of an earlier version; computed again
    parts: dict[str, list[Tensor]] = {"images": [], "mirrored": []}
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        parts["images"].append(extractor(batch))
        parts["mirrored"].append(extractor(batch.flip(-1)))
        advance("computing features of the training images", min(start + BATCH, len(images)), len(images))
    rows = {name: torch.cat(chunks) for name, chunks in parts.items()}
    try:
        with replacing(path) as temporary:
            # Networks compute in float32, so nothing is lost.
            write_tensors(temporary, {name: values.float() for name, values in rows.items()}, FORMAT, {})
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
