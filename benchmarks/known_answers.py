"""Degrade a folder of images in known ways, score each version against the other half, and print a table.

    .venv/bin/python benchmarks/known_answers.py PHOTOS [--size 64] [--features efficientnet] [--weights FOLDER]

Images with even numbers are the training images; those with odd numbers are what a perfect generator would draw. The
first rows degrade the odd ones. The last rows are made from the training images themselves: copies. Columns marked S
are through SqueezeNet, whose weight file is looked for in FOLDER.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.images.grid import to_image
from handful.metrics.evaluation import evaluate
from handful.progress import Quiet

Images = Float[Tensor, "n 3 h w"]


def noised(strength: float) -> Callable[[Images], Images]:
    """Add noise of this standard deviation, in grey levels."""
    return lambda images: images + strength * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def blurred(times: int) -> Callable[[Images], Images]:
    """Shrink by ``times`` and enlarge again."""
    return lambda images: F.interpolate(F.avg_pool2d(images, times), images.shape[-1], mode="bilinear")


def smoothed(pixels: float) -> Callable[[Images], Images]:
    """Blur by a Gaussian of this standard deviation."""
    offsets = torch.arange(-math.ceil(3 * pixels), math.ceil(3 * pixels) + 1)
    weights = torch.exp(-offsets.square() / (2 * pixels**2))
    kernel = (weights[:, None] * weights / weights.sum() ** 2).expand(3, 1, -1, -1)
    reach = len(offsets) // 2
    return lambda images: F.conv2d(F.pad(images, [reach] * 4, mode="reflect"), kernel, groups=3)


def checkered(strength: float, pixels: int) -> Callable[[Images], Images]:
    """Add and subtract this many grey levels, in squares of this side."""

    def change(images: Images) -> Images:
        row, column = (torch.arange(side) // pixels for side in images.shape[2:])
        return images + strength * (1 - 2 * ((row[:, None] + column) % 2))

    return change


def warped(share: float) -> Callable[[Images], Images]:
    """Move what is seen by about this share of the side, here and there in other directions: bodies break."""

    def change(images: Images) -> Images:
        random = torch.Generator().manual_seed(0)
        coarse = 2 * share * torch.randn(len(images), 2, 5, 5, generator=random)
        shifts = F.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
        straight = F.affine_grid(torch.eye(2, 3).expand(len(images), -1, -1), list(images.shape), align_corners=False)
        return F.grid_sample(images, straight + shifts, padding_mode="reflection", align_corners=False)

    return change


def recoloured(share: float) -> Callable[[Images], Images]:
    """Mix this share of each colour into the next one."""
    return lambda images: (1 - share) * images + share * images.roll(1, dims=1)


def shifted(pixels: int) -> Callable[[Images], Images]:
    """Shift images down and to the right; what leaves at one edge enters at the other."""
    return lambda images: images.roll((pixels, pixels), dims=(2, 3))


FRESH: dict[str, Callable[[Images], Images]] = {
    "the other half": lambda images: images,
    "noise, 8 grey levels": noised(8),
    "noise, 25 grey levels": noised(25),
    "smoothed, 1 px": smoothed(1),
    "blurred, 2 px": blurred(2),
    "blurred, 4 px": blurred(4),
    "checker of 6 grey levels, 4 px": checkered(6, 4),
    "warped, 3 %": warped(0.03),
    "warped, 6 %": warped(0.06),
    "recoloured, 10 %": recoloured(0.1),
    "recoloured, 40 %": recoloured(0.4),
    "shifted, 1/8": lambda images: shifted(images.shape[-1] // 8)(images),
    "half of them dropped, the rest twice": lambda images: torch.cat([images[: len(images) // 2]] * 2),
    "a tenth of them, ten times": lambda images: torch.cat([images[: len(images) // 10]] * 10),
    "one image again and again": lambda images: images[:1].expand(len(images), -1, -1, -1),
}
COPIED: dict[str, Callable[[Images], Images]] = {
    "the training images": lambda images: images,
    "the same, mirrored": lambda images: images.flip(-1),
    "the same, noise of 8": noised(8),
    "the same, a fifth of another": lambda images: 0.8 * images + 0.2 * images.roll(1, dims=0),
    "the same, half of another": lambda images: 0.5 * images + 0.5 * images.roll(1, dims=0),
}
COLUMNS = {
    "KID": "kid",
    "KID S": "squeezenet_kid",
    "distance": "distance",
    "distance S": "squeezenet_distance",
    "variety": "variety",
    "variety S": "squeezenet_variety",
    "FID": "fid",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "SWD": "swd",
    "copies": "copies",
    "novelty": "novelty",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--features", default="efficientnet")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    images = load_folder(options.photos, Geometry((options.size, options.size))).images
    training, fresh = images[::2], images[1::2]
    print(f"| {options.photos.name}, {options.size} px, {options.features} | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        write(training, Path(temporary) / "training")
        for source, changes in ((fresh, FRESH), (training, COPIED)):
            for name, change in changes.items():
                degraded = change(source.float()).round().clamp(0, 255).to(torch.uint8)
                samples = write(degraded, Path(temporary) / name.replace("/", " in "))
                scores = evaluate(
                    samples,
                    Path(temporary) / "training",
                    features=options.features,
                    weights=options.weights,
                    progress=Quiet(),
                ).scores
                print(f"| {name} | " + " | ".join(map(scores.text, COLUMNS.values())) + " |", flush=True)


def write(images: Tensor, folder: Path) -> Path:
    """Write images as PNG files, without the mark by which handful knows its own pictures."""
    folder.mkdir()
    for index, image in enumerate(images):
        to_image(image).save(folder / f"{index:04d}.png")
    return folder


if __name__ == "__main__":
    main()
