"""How smoothly images change along paths through the latent space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.images.grid import to_bytes
from handful.metrics.features import Extractor
from handful.networks import latent
from handful.progress import advance
from handful.sampling.model import Model

STEPS = 8
"""Steps of a path."""


@torch.no_grad()
def path_length(model: Model, extractor: Extractor, paths: int, unit: float) -> float:
    """Return how much images change along paths between two latents, and how evenly.

    The mean over steps of ``(STEPS * |f(t + 1) - f(t)|)^2``, divided by ``unit``. A path that goes straight and evenly
    from one image to a typical other image has length 1. A detour counts by its square. If all the change comes in one
    jump, as between memorised images, the length is ``STEPS``.

    Args:
        model: The generator.
        extractor: f.
        paths: Number of paths; they connect the latents of seeds 0 to ``2 * paths - 1``.
        unit: Mean squared distance of two training images in f.

    Source: after the perceptual path length of StyleGAN (Karras et al. 2019), section 4.1, which takes one tiny step
    on a path, in the features of LPIPS. We walk whole paths, since a tiny step seldom meets a jump. Our unit makes two
    folders comparable.
    """
    total = 0.0
    for path in range(paths):
        frames = walk(model, (2 * path, 2 * path + 1), STEPS, class_seed=path)
        rows = extractor(torch.cat(list(frames)))
        advance("walking through the latent space", path + 1, paths)
        total += float(rows.diff(dim=0).square().sum(dim=1).mean()) * STEPS**2
    return total / (paths * unit) if unit > 0 else math.inf


@torch.no_grad()
def walk(
    model: Model, ends: tuple[int, int], steps: int, noise_seed: int = 0, class_seed: int = 0
) -> Iterator[UInt8[Tensor, "1 c h w"]]:
    """Draw the images on the way from one seed's latent to another's, including both ends.

    The way is an arc (``slerp``), which keeps latents at the length that the generator knows. The noise stays that of
    one seed, since images would flicker otherwise; the class, if there are classes, stays too.
    """
    from_seeds = partial(latent.from_seeds, latent=model.config.latent, noise_shapes=model.network.noise_shapes)
    z, _ = from_seeds(ends, device=model.device)
    _, noise = from_seeds((noise_seed,), device=model.device)
    labels = model.labels([class_seed])
    for step in range(steps + 1):
        yield to_bytes(model.draw(latent.slerp(z[:1], z[1:], step / steps), noise, labels)).cpu()
