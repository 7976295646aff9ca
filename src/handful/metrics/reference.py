"""The training images as the scores see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float64, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from handful.files import cache_folder, replacing
from handful.metrics.copying import Around, Matches, Space, nearer, thumbnails
from handful.metrics.features import Extractor
from handful.metrics.gather import BATCH, batches


@final
@dataclass(frozen=True)
class Reference:
    """Training images, their vectors, and how near they are to each other."""

    images: UInt8[Tensor, "n c h w"]
    features: Float64[Tensor, "n d"] | None
    """None without an extractor."""
    spaces: dict[str, Space]
    """The ways in which a sample can be near a training image: ``pixels``, and ``features`` where there are some."""

    @classmethod
    def of(
        cls,
        images: UInt8[Tensor, "n c h w"],
        extractor: Extractor | None,
        progress: Callable[[int, int], None],
    ) -> Reference:
        """Look at images and their mirror images.

        Args:
            images: All of them, in memory or mapped from a file.
            extractor: Gives the features, which are kept in a cache; without one, samples are compared with the images
                by their pixels alone.
            progress: Told how many images of how many were looked at.
        """
        small = [(thumbnails(batch), thumbnails(batch.flip(-1))) for batch in batches(images)]
        spaces = {"pixels": Space(*(torch.cat(each) for each in zip(*small, strict=True)))}
        if extractor is None:
            return cls(images, None, spaces)
        seen = look(images, extractor, progress)
        spaces["features"] = Space(seen["images"], seen["mirrored"])
        return cls(images, seen["images"], spaces)

    @property
    def among(self) -> Matches:
        """The nearest other training image of each training image."""
        return nearer([space.among for space in self.spaces.values()])

    def match(self, features: Float64[Tensor, "m d"] | None, thumbnails: Float64[Tensor, "m t"]) -> Matches:
        """Find the nearest training image of each sample, in the space in which it is nearer."""
        matches = [self.spaces["pixels"].match(thumbnails)]
        if features is not None:
            matches.append(self.spaces["features"].match(features))
        return nearer(matches)

    def around(self, features: Float64[Tensor, "m d"] | None, thumbnails: Float64[Tensor, "m t"], count: int) -> Around:
        """Find the ``count`` nearest training images of each sample, all in the space in which the first is nearer."""
        found = [self.spaces["pixels"].around(thumbnails, count)]
        if features is not None:
            found.append(self.spaces["features"].around(features, count))
        which = torch.stack([each.ratio[:, 0] for each in found]).argmin(dim=0)
        rows = torch.arange(len(which))
        ratio, index, mirrored = (
            torch.stack([getattr(each, name) for each in found])[which, rows] for name in ("ratio", "index", "mirrored")
        )
        return Around(ratio, index, mirrored)


def look(
    images: UInt8[Tensor, "n c h w"], extractor: Extractor, progress: Callable[[int, int], None]
) -> dict[str, Float64[Tensor, "n d"]]:
    """Give the features of images and of their mirror images, from the cache if they were looked at before."""
    path = cached(images, extractor)
    if path.is_file():
        try:
            return {name: rows.double() for name, rows in load_file(path).items()}
        except SafetensorError:
            path.unlink()  # cut short by a full disk, say; made anew
    seen: dict[str, list[Tensor]] = {"images": [], "mirrored": []}
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        seen["images"].append(extractor(batch))
        seen["mirrored"].append(extractor(batch.flip(-1)))
        progress(min(start + BATCH, len(images)), len(images))
    rows = {name: torch.cat(batches) for name, batches in seen.items()}
    try:
        with replacing(path) as temporary:
            # Networks compute in float32, so nothing is lost.
            save_file({name: each.float() for name, each in rows.items()}, temporary)
    except OSError:
        pass  # a home that cannot be written to only costs the time to look again
    return rows


def cached(images: UInt8[Tensor, "n c h w"], extractor: Extractor) -> Path:
    """Say where features of images are kept: below ``$HANDFUL_CACHE``, or the user's cache folder."""
    # A folder's fingerprint would not do: how files become pixels depends on size, fit and Pillow's version too.
    whole = hashlib.sha256(f"{extractor.name} {tuple(images.shape)}".encode())
    for batch in batches(images):  # a copy of them all may not fit
        whole.update(batch.contiguous().numpy().data)
    # Nor would the network's name: what it says of a ramp tells other weights and another version of it apart.
    ramp = torch.arange(3 * 64 * 64).remainder(256).to(torch.uint8).view(1, 3, 64, 64)
    whole.update(extractor(ramp).float().numpy().data)
    return cache_folder() / "features" / f"{whole.hexdigest()}.safetensors"
