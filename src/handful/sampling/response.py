"""How low-resolution maps of a generator respond to its latent; truncation and directions are based on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from handful.networks import latent
from handful.networks.folded import FoldedGenerator
from handful.networks.layers import Labels

MAP = 16
"""Nominal size of the map that is measured: small, so it is quick and sees shapes and colours, not texture."""

CELL = 2
"""Side, in pixels of this map, of the squares that are averaged."""

LATENTS_PER_DIMENSION = 4

LATENTS_PER_BATCH = 16

RIDGE = 0.1
"""Ridge penalty of the regression, as a share of the latents' variance."""


@torch.no_grad()
def response(folded: FoldedGenerator, labels_of: Callable[[Sequence[int]], Labels | None]) -> Float64[Tensor, "z z"]:
    """Return how far a low-resolution map moves with the latent: ``B B^T``, with the map regressed as ``z B``.

    Its eigenvectors are the directions of the latent that matter for the map, its eigenvalues say how much. Measured on
    1,024 fixed seeds of all classes. Takes a second at 64 px with narrow networks, 20 seconds on two cores at 256 px
    and the paper's widths.

    Args:
        folded: The generator.
        labels_of: Returns the class numbers of seeds; None without classes.
    """
    count, device = LATENTS_PER_DIMENSION * folded.latent, folded.to_image.weight.device
    maps, latents = [], []
    for start in range(0, count, LATENTS_PER_BATCH):
        seeds = range(start, min(start + LATENTS_PER_BATCH, count))
        z, noise = latent.from_seeds(seeds, folded.latent, folded.noise_shapes, device)
        low = folded.low_maps(z, noise, labels_of(seeds), MAP)[MAP]
        maps.append(F.avg_pool2d(low, CELL).flatten(1).cpu())
        latents.append(z.cpu())
    z, features = torch.cat(latents).double(), torch.cat(maps).double()
    z, features = z - z.mean(dim=0), features - features.mean(dim=0)
    ridge = RIDGE * count * torch.eye(z.shape[1], dtype=z.dtype)
    weights: Tensor = torch.linalg.solve(z.T @ z + ridge, z.T @ features)  # [z d]
    return weights @ weights.T
