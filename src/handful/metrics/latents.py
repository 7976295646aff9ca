"""How smoothly pictures change along paths through the latent space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.images.grid import to_bytes
from handful.metrics.features import Extractor
from handful.networks import latent
from handful.sampling.model import Model

STEPS = 8
"""Steps of a path."""


@torch.no_grad()
def path_length(
    model: Model, extractor: Extractor, paths: int, spread: float, progress: Callable[[int, int], None]
) -> float:
    """Say how much pictures change along paths between two latents, and how evenly.

    The mean over steps of ``(STEPS * |f(t + 1) - f(t)|)^2``, over the mean squared distance of two training images. A
    path that goes straight and evenly from one picture to a typical other one has 1; a detour counts by its square; and
    where all the change comes in one jump, as between images learned by heart, it has ``STEPS``.

    Args:
        model: The generator.
        extractor: f.
        paths: How many; their ends are the latents of seeds 0 to ``2 * paths - 1``.
        spread: The mean squared distance of two training images in f.
        progress: Told how many paths of how many were walked.

    Source: after the perceptual path length of StyleGAN (Karras et al. 2019), section 4.1, which takes one tiny step on
    a path, in the features of LPIPS. Here whole paths are walked, since a jump is seldom in a tiny step, and the unit
    is that of the folder, so that figures of two folders can be compared.
    """
    total = 0.0
    for path in range(paths):
        frames = walk(model, (2 * path, 2 * path + 1), STEPS, class_of=path)
        rows = extractor(torch.cat(list(frames)))
        progress(path + 1, paths)
        total += float(rows.diff(dim=0).square().sum(dim=1).mean()) * STEPS**2
    return total / (paths * spread) if spread > 0 else math.inf


@torch.no_grad()
def walk(
    model: Model, ends: tuple[int, int], steps: int, noise_of: int = 0, class_of: int = 0
) -> Iterator[UInt8[Tensor, "1 c h w"]]:
    """Draw the pictures on the way from one seed's latent to another's, both ends among them.

    The way is an arc (``slerp``), on which latents stay as long as the generator knows them. The noise is that of one
    seed all the way, or the pictures would flicker; the class, where there are some, is that of one seed too.
    """
    drawn = partial(latent.from_seeds, latent=model.config.latent, noise_shapes=model.network.noise_shapes)
    z, _ = drawn(ends, device=model.device)
    _, first = drawn((noise_of,), device=model.device)
    labels = model.labels([class_of])
    for step in range(steps + 1):
        yield to_bytes(model.draw(latent.slerp(z[:1], z[1:], step / steps), first, labels)).cpu()
