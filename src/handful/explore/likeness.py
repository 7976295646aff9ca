"""How far pictures are from a photo: what is made small when a photo is projected, and what is reported of it."""

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
"""Pixels; LPIPS sees larger pictures averaged down to this, as its network was trained on such."""


SMALLEST_SIDE = 4
"""Pixels of the smallest scale at which pixels are compared."""


PIXELS = 0.5
"""Weight of the pixels beside LPIPS."""


SAME = 99.0
"""Decibels that are given for equal pictures."""


@final
class Likeness:
    """The distance of pictures from one photo: of their pixels at several scales, and LPIPS if there is a network.

    Source: StyleGAN2 (Karras et al. 2020), appendix D, for LPIPS at 256 px; the pixels are ours.
    """

    def __init__(self, target: Float[Tensor, "1 c h w"], perceptual: Perceptual | None) -> None:
        self.target, self.perceptual = target, perceptual
        with torch.no_grad():
            self.features = [perceptual.features(view) for view in rgb_views(reduced(target))] if perceptual else []

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Give what is to be made small, for each picture in [-1, 1]."""
        pixels = by_pixels(images, self.target)
        return pixels if self.perceptual is None else self.lpips(images) + PIXELS * pixels

    def lpips(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Give LPIPS; of pictures that are not RGB, the mean over their views."""
        assert self.perceptual is not None
        distances = [
            self.perceptual.distance(self.perceptual.features(view), target)
            for view, target in zip(rgb_views(reduced(images)), self.features, strict=True)
        ]
        return torch.stack(distances).mean(dim=0)


def reduced(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Average pictures down by a whole number until no side is longer than ``LARGEST_SIDE``."""
    return F.avg_pool2d(images, max(1, math.ceil(max(images.shape[2:]) / LARGEST_SIDE)))


def by_pixels(images: Float[Tensor, "b c h w"], target: Float[Tensor, "1 c h w"]) -> Float[Tensor, " b"]:
    """Give the mean squared difference, summed over scales: each halves the one before, down to 4 px."""
    difference = images - target
    total = difference.square().mean(dim=(1, 2, 3))
    while min(difference.shape[2:]) >= 2 * SMALLEST_SIDE:
        difference = F.avg_pool2d(difference, 2)
        total = total + difference.square().mean(dim=(1, 2, 3))
    return total


def psnr(image: UInt8[Tensor, "c h w"], target: UInt8[Tensor, "c h w"]) -> float:
    """Give the peak signal-to-noise ratio of two pictures, in decibels; at most ``SAME``."""
    error = float((image.double() - target.double()).square().mean())
    return min(SAME, 10 * math.log10(255**2 / error)) if error > 0 else SAME


def load_distance(name: DistanceName, folder: Path | None, device: torch.device) -> Perceptual | None:
    """Load LPIPS, or nothing for a distance of pixels alone; ``auto`` is LPIPS where its weights are on this machine.

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
    note(f"compared by pixels at several scales alone, since {missing} is not there; --distance lpips fetches it")
    return None
