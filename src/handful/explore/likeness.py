"""The distance of pictures from a photo: what a projection minimises, and what it reports."""

from __future__ import annotations

import math
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from handful.config.choices import DistanceName
from handful.errors import MissingWeightsError
from handful.images.channels import rgb_views
from handful.networks.pretrained import weights
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import note

LARGEST_SIDE = 256
"""Pixels. Larger pictures are averaged down to this for LPIPS, whose network was trained on such sizes."""

SMALLEST_SIDE = 4
"""Pixels of the smallest scale at which pictures are compared."""

PIXEL_WEIGHT = 0.5
"""Weight of the pixel distance beside LPIPS."""

LARGEST_PSNR = 99.0
"""Decibels, reported for equal pictures."""


@final
class Likeness:
    """The distance of pictures from one photo: mean squares at several scales, plus LPIPS if its weights are there.

    Source: StyleGAN2 (Karras et al. 2020), appendix D, for LPIPS at 256 px; the pixels are ours.
    """

    def __init__(self, target: Float[Tensor, "1 c h w"], perceptual: Perceptual | None) -> None:
        self.target, self.perceptual = target, perceptual
        with torch.no_grad():
            self.features = [perceptual.features(view) for view in rgb_views(reduced(target))] if perceptual else []

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return the distance of each picture in [-1, 1]."""
        pixels = pixel_distance(images, self.target)
        return pixels if self.perceptual is None else self.lpips(images) + PIXEL_WEIGHT * pixels

    def lpips(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Return LPIPS; for grey and RGBA pictures, the mean over their views as RGB."""
        assert self.perceptual is not None
        distances = [
            self.perceptual.distance(self.perceptual.features(view), target)
            for view, target in zip(rgb_views(reduced(images)), self.features, strict=True)
        ]
        return torch.stack(distances).mean(dim=0)


def reduced(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Average pictures down by a whole factor until no side is longer than ``LARGEST_SIDE``."""
    return F.avg_pool2d(images, max(1, math.ceil(max(images.shape[2:]) / LARGEST_SIDE)))


def pixel_distance(images: Float[Tensor, "b c h w"], target: Float[Tensor, "1 c h w"]) -> Float[Tensor, " b"]:
    """Return the mean squared difference, summed over scales that halve down to 4 px."""
    difference = images - target
    total = difference.square().mean(dim=(1, 2, 3))
    while min(difference.shape[2:]) >= 2 * SMALLEST_SIDE:
        difference = F.avg_pool2d(difference, 2)
        total = total + difference.square().mean(dim=(1, 2, 3))
    return total


def psnr(image: UInt8[Tensor, "c h w"], target: UInt8[Tensor, "c h w"]) -> float:
    """Return the peak signal-to-noise ratio of two pictures in decibels; at most ``LARGEST_PSNR``."""
    error = float((image.double() - target.double()).square().mean())
    return min(LARGEST_PSNR, 10 * math.log10(255**2 / error)) if error > 0 else LARGEST_PSNR


def load_distance(name: DistanceName, folder: Path | None, device: torch.device) -> Perceptual | None:
    """Load LPIPS, or return None to compare pixels only. ``auto`` is LPIPS if its weights are on this machine.

    Raises:
        WeightsError: if a weight file is damaged, or ``lpips`` was asked for and cannot be had.
    """
    if name == "pixels":
        return None

    try:
        return Perceptual.pretrained(folder, name == "lpips").to(device)
    except MissingWeightsError:
        if name == "lpips":
            raise
    missing = weights.VGG16 if weights.find(weights.VGG16, folder) is None else weights.LPIPS_VGG
    note(f"comparing pixels only, since {missing} is not on this machine; --distance lpips downloads it")
    return None
