"""Hide copies of training images in known ways, and count how many are found; and how many fresh images are accused.

    python benchmarks/disguised_copies.py PHOTOS/emoji PHOTOS/cells [--size 64] [--splits 4]

Each folder is split in halves at random: one is the training images, the other what a perfect generator would draw.
At most 120 images a half. Two of our sets hold the same photo twice, cropped a little differently (``TWINS``, found by
eye): a fresh image whose twin is among the training images is a copy by any rule, so it is counted by itself.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.metrics.copying import Originals, thumbnails
from handful.progress import Quiet, shown_on

Images = UInt8[Tensor, "n 3 h w"]

TWINS = {
    "raccoons": "11 116, 65 98, 83 120, 50 52 74, 51 85, 21 45",
    "cells": "35 36, 196 228, 198 226, 199 225, 343 348, 339 351, 174 245, 200 224, 205 221",
}
"""Groups of images of one photo, by the first number in their names."""

MOST = 120
"""Images in a half."""


def moved(
    zoom: float = 1.0, shift: float = 0.0, warp: float = 0.0, mirror: bool = False, border: str = "reflection"
) -> Callable[[Images], Images]:
    """Zoom in, shift by a share of the side, bend by a share of the side at 4 x 4 places; in this order."""

    def change(images: Images) -> Images:
        count, _, height, width = images.shape
        down, across = (torch.linspace(-1, 1, 2 * side + 1)[1::2] for side in (height, width))
        rows, columns = torch.meshgrid(down, across, indexing="ij")
        signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(-(-count // 4), 1)[:count]
        places = torch.stack([columns, rows], dim=-1) / zoom + 2 * shift * signs[:, None, None]
        if warp:
            random = torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(0))
            bent = F.interpolate(random, (height, width), mode="bicubic", align_corners=True)
            places = places + 2 * warp * bent.movedim(1, -1)
        if mirror:
            places = places * torch.tensor([-1.0, 1.0])
        seen = F.grid_sample(images.float(), places, "bicubic", border, align_corners=False)
        return whole_bytes(seen)

    return change


def recoloured(images: Images) -> Images:
    """Change contrast by up to 20 % and brightness by up to 20 grey levels, each colour by itself."""
    random = torch.Generator().manual_seed(0)
    gain, offset = (2 * torch.rand(len(images), 3, 1, 1, generator=random) - 1 for _ in range(2))
    return whole_bytes(images * (1 + 0.2 * gain) + 20 * offset)


def noised(images: Images) -> Images:
    """Add noise with a deviation of 8 grey levels."""
    return whole_bytes(images + 8 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)))


def blurred(images: Images) -> Images:
    """Halve and double again."""
    half = F.avg_pool2d(images.float(), 2)
    return whole_bytes(F.interpolate(half, images.shape[-2:], mode="bilinear"))


def blended(share: float) -> Callable[[Images], Images]:
    """Mix this share of another image in."""
    return lambda images: whole_bytes((1 - share) * images + share * images.roll(1, dims=0))


def halves(dimension: int) -> Callable[[Images], Images]:
    """Replace one half by that of another image, without a seam being hidden."""

    def change(images: Images) -> Images:
        other = images.roll(len(images) // 3, dims=0)
        keep = images.shape[dimension] // 2
        first, second = images.narrow(dimension, 0, keep), other.narrow(dimension, keep, keep)
        return torch.cat([first, second], dim=dimension)

    return change


def whole_bytes(values: Float[Tensor, "n c h w"]) -> Images:
    """Round to what a file holds."""
    return values.round().clamp(0, 255).to(torch.uint8)


COPIES: dict[str, Callable[[Images], Images]] = {
    "exact": lambda images: images,
    "zoomed by 1.05": moved(zoom=1.05),
    "zoomed by 1.18": moved(zoom=1.18),
    "zoomed by 1.3": moved(zoom=1.3),
    "shifted by 7 %": moved(shift=0.07),
    "shifted by 12 %": moved(shift=0.12),
    "shifted by 12 %, black border": moved(shift=0.12, border="zeros"),
    "mirrored": lambda images: images.flip(-1),
    "mirrored, zoomed by 1.15, shifted by 5 %": moved(zoom=1.15, shift=0.05, mirror=True),
    "colour cast": recoloured,
    "warped by 1.5 %": moved(warp=0.015),
    "left half of one, right half of another": halves(3),
    "upper half of one, lower half of another": halves(2),
    "noise of 8 grey levels": noised,
    "blurred, 2 px": blurred,
    "a fifth of another blended in": blended(0.2),
    "half of another blended in": blended(0.5),
}
"""The last one is meant to be something new."""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--splits", type=int, default=4)
    options = parser.parse_args()
    columns = {}
    with shown_on(Quiet()):
        for folder in options.photos:
            dataset = load_folder(folder, Geometry((options.size, options.size)))
            groups = groups_of(dataset.names, TWINS.get(folder.name, ""))
            columns[folder.name] = shares(dataset.images, groups, options.splits)
    print("| flagged | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name in next(iter(columns.values())):
        print(f"| {name} | " + " | ".join(f"{cell(column[name])}" for column in columns.values()) + " |")


def shares(images: Images, groups: Tensor, splits: int) -> dict[str, Tensor]:
    """Return which copies were found and which fresh images accused, over all splits together."""
    flagged: dict[str, list[Tensor]] = {}
    for split in range(splits):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(split))
        half = min(MOST, len(images) // 2)
        training, fresh = order[:half], order[half : 2 * half]
        originals = Originals(thumbnails(images[training]))
        found = originals.match(thumbnails(images[fresh])).copied
        twin = torch.isin(groups[fresh], groups[training])
        flagged.setdefault("fresh images", []).append(found[~twin])
        flagged.setdefault("fresh images, but of a photo that was trained on", []).append(found[twin])
        if split < 2:
            for name, change in COPIES.items():
                matches = originals.match(thumbnails(change(images[training])))
                flagged.setdefault(name, []).append(matches.copied)
    return {name: torch.cat(values) for name, values in flagged.items()}


def groups_of(names: list[str], twins: str) -> Tensor:
    """Return a number for each image, the same for images of one photo."""
    numbers = [int(re.findall(r"\d+", name)[0]) if twins else index for index, name in enumerate(names)]
    first = {int(number): int(group.split()[0]) for group in twins.split(",") for number in group.split()}
    return torch.tensor([-1 - first[number] if number in first else index for index, number in enumerate(numbers)])


def cell(found: Tensor) -> str:
    """Write a share as the table shows it, with the count where that is small."""
    if len(found) == 0:
        return "-"
    return f"{int(found.sum())} of {len(found)}" if len(found) < 50 else f"{float(found.double().mean()):.1%}"


if __name__ == "__main__":
    main()
