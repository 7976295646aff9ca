"""Latents and noise maps: all that a picture is drawn from, by seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handful.compute import shared_batch as shares
from handful.config.sizes import Shape
from handful.errors import UsageError
from handful.seeds import Purpose, fold


def draw(
    count: int, latent: int, noise_shapes: Sequence[Shape], random: torch.Generator
) -> tuple[Float[Tensor, "b z"], list[Float[Tensor, "b 1 _ _"]]]:
    """Draw latents and noise maps from the standard normal distribution, on the generator's device.

    Source: FastGAN (Liu et al. 2021), section 3.1; the noise is one map per site, shared by the channels.
    """
    z = shares.normal((count, latent), random)
    noise = [shares.normal((count, 1, *shape), random) for shape in noise_shapes]
    return z, noise


def from_seeds(
    seeds: Sequence[int], latent: int, noise_shapes: Sequence[Shape], device: torch.device
) -> tuple[Float[Tensor, "b z"], list[Float[Tensor, "b 1 _ _"]]]:
    """Draw each image's latent and noise from its own seed, so that they do not depend on the other images.

    Drawn on the CPU whatever the device, so that a seed means the same picture everywhere.
    """
    random = [torch.Generator().manual_seed(fold(Purpose.PICTURE, seed)) for seed in seeds]
    drawn = [draw(1, latent, noise_shapes, each) for each in random]
    z = torch.cat([latents for latents, _ in drawn]).to(device)
    noise = [torch.cat(maps).to(device) for maps in zip(*(maps for _, maps in drawn), strict=True)]
    return z, noise


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse a list that no pictures can be drawn from.

    Raises:
        UsageError: if it is empty, or a seed is negative.
    """
    if len(seeds) == 0:
        raise UsageError("no seeds were given: ask for at least one")
    if min(seeds) < 0:
        raise UsageError(f"seed {min(seeds)}: must not be negative")


def slerp(start: Float[Tensor, "b z"], end: Float[Tensor, "b z"], share: float) -> Float[Tensor, "b z"]:
    """Go a share of the way from one latent to another along the arc between their directions.

    Source: White 2016, "Sampling generative networks", section 2.1; lengths are interpolated, not only directions.
    """
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    first, last = F.normalize(start, dim=1), F.normalize(end, dim=1)  # all zeros have no direction, and stay zeros
    angle = (first * last).sum(dim=1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    direction: Tensor = (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()
    return direction * torch.lerp(lengths[0], lengths[1], share)
