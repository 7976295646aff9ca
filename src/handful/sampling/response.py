"""How the low maps of a generator answer to its latent: what truncation and directions go by."""

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
"""Nominal size of the map whose answer is measured: small enough to be quick, and to be about shapes and colours."""

CELL = 2
"""Pixels of this map, along a side, that are taken together."""

DRAWS = 4
"""Latents drawn for that, for each number of a latent."""

AT_ONCE = 16
"""Latents whose maps are computed at once."""

RIDGE = 0.1
"""Share of the latents' own variance that is added where the map is regressed on them."""


@torch.no_grad()
def response(folded: FoldedGenerator, labels_of: Callable[[Sequence[int]], Labels | None]) -> Float64[Tensor, "z z"]:
    """Measure how far a low map moves as the latent does: ``B B^T``, for maps regressed on latents as ``z B``.

    Its eigenvectors are the directions in which latents count for the map, its eigenvalues by how much. Measured over
    1,024 points of all classes, their noise with them, which is the same every time. Takes a second at 64 px
    with few channels, 20 on two cores at 256 px and the paper's widths.

    Args:
        folded: The generator.
        labels_of: Gives the classes of seeds, where there are classes.
    """
    count, device = DRAWS * folded.latent, folded.to_image.weight.device
    maps, latents = [], []
    for start in range(0, count, AT_ONCE):
        seeds = range(start, min(start + AT_ONCE, count))
        z, noise = latent.from_seeds(seeds, folded.latent, folded.noise_shapes, device)
        low = folded.low_maps(z, noise, labels_of(seeds), MAP)[MAP]
        maps.append(F.avg_pool2d(low, CELL).flatten(1).cpu())
        latents.append(z.cpu())
    z, seen = torch.cat(latents).double(), torch.cat(maps).double()
    z, seen = z - z.mean(dim=0), seen - seen.mean(dim=0)
    ridge = RIDGE * count * torch.eye(z.shape[1], dtype=z.dtype)
    answer: Tensor = torch.linalg.solve(z.T @ z + ridge, z.T @ seen)  # [z d]
    return answer @ answer.T
