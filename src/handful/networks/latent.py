"""Latents and noise maps: all that an image is generated from, drawn by seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handful.compute import shared_batch
from handful.config.sizes import Shape
from handful.errors import UsageError
from handful.seeds import Purpose, fold


def draw(
    count: int, latent: int, noise_shapes: Sequence[Shape], random: torch.Generator
) -> tuple[Float[Tensor, "b z"], list[Float[Tensor, "b 1 _ _"]]]:
    """Draw latents and noise maps from the standard normal distribution, on the device of ``random``.

    Source: FastGAN (Liu et al. 2021), section 3.1; all channels share a noise map.
    """
    z = shared_batch.normal((count, latent), random)
    noise = [shared_batch.normal((count, 1, *shape), random) for shape in noise_shapes]
    return z, noise


def from_seeds(
    seeds: Sequence[int], latent: int, noise_shapes: Sequence[Shape], device: torch.device
) -> tuple[Float[Tensor, "b z"], list[Float[Tensor, "b 1 _ _"]]]:
    """Draw each image's latent and noise from its own seed, so that they do not depend on the other images.

    They are drawn on the CPU, so that a seed gives the same image on every device.
    """
    generators = [torch.Generator().manual_seed(fold(Purpose.PICTURE, seed)) for seed in seeds]
    inputs = [draw(1, latent, noise_shapes, random) for random in generators]
    z = torch.cat([z for z, _ in inputs]).to(device)
    noise = [torch.cat(maps).to(device) for maps in zip(*(maps for _, maps in inputs), strict=True)]
    return z, noise


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse an empty list of seeds and negative seeds.

    Raises:
        UsageError: if it is empty, or a seed is negative.
    """
    if len(seeds) == 0:
        raise UsageError("no seeds were given: ask for at least one")
    if min(seeds) < 0:
        raise UsageError(f"seed {min(seeds)}: must not be negative")


def slerp(start: Float[Tensor, "b z"], end: Float[Tensor, "b z"], fraction: float) -> Float[Tensor, "b z"]:
    """Return the latent at a fraction, 0 to 1, of the arc between two latents; lengths are interpolated linearly.

    Source: White 2016, "Sampling generative networks", section 2.1, which interpolates directions only.
    """
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    first, last = F.normalize(start, dim=1), F.normalize(end, dim=1)  # zeros have no direction, and stay zeros
    angle = (first * last).sum(dim=1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    direction: Tensor = (((1 - fraction) * angle).sin() * first + (fraction * angle).sin() * last) / angle.sin()
    return direction * torch.lerp(lengths[0], lengths[1], fraction)
