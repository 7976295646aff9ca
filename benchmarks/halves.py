"""Split folders of images in halves at random, and print how close and how varied one half is to the other.

    .venv/bin/python benchmarks/halves.py PHOTOS/emoji PHOTOS/raccoons ... [--splits 24] [--most 400] [--weights FOLDER]

Fresh real images should have a distance and a variety of 1 within the standard errors that handful gives. Each cell has
the mean over splits and, in brackets, the standard deviation over splits and the mean standard error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.metrics.features import load_extractor
from handful.metrics.measure import compare
from handful.metrics.reference import cached_features

NETWORKS = ("efficientnet", "squeezenet")
SCORES = ("distance", "variety")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--splits", type=int, default=24)
    parser.add_argument("--most", type=int, default=400, help="images of a folder")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    extractors = [load_extractor(name, torch.device("cpu"), options.weights) for name in NETWORKS]
    columns = [f"{score}, {network}" for score in SCORES for network in NETWORKS]
    print(f"| set, images a half | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for folder in options.photos:
        images = load_folder(folder, Geometry((options.size, options.size)), most=options.most).images
        cells = [split(cached_features(images, extractor), options.splits) for extractor in extractors]
        values = " | ".join(cell[score] for score in SCORES for cell in cells)
        print(f"| {folder.name}, {len(images) // 2} | {values} |", flush=True)


def split(features: Float64[Tensor, "n d"], splits: int) -> dict[str, str]:
    """Return the figures of one half against the other, over random splits, as text."""
    random, half = torch.Generator().manual_seed(0), len(features) // 2
    found = []
    for _ in range(splits):
        order = torch.randperm(len(features), generator=random)
        found.append(compare(features[order[:half]], features[order[half : 2 * half]]))
    cells = {}
    for score in SCORES:
        values = torch.tensor([each[score] for each in found])
        error = sum(each[f"{score}_error"] for each in found) / splits
        cells[score] = f"{values.mean():.2f} ({values.std():.2f}, {error:.2f})"
    return cells


if __name__ == "__main__":
    main()
