"""Truncation: pictures drawn towards the mean, for a generator that has no mapping network to truncate after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from handful.config import budget
from handful.errors import UsageError
from handful.networks import latent
from handful.networks.calibrate import CALIBRATION_SEED
from handful.networks.folded import FoldedGenerator, Gates
from handful.networks.layers import Labels

HALF = 4.0
"""A direction is drawn in half as far as it could be where low maps answer to it with this many times the mean
variance: twice as far as to a random one."""

AT_ONCE = 16
"""Images whose gates are measured at once."""


@final
class Truncation:
    """Draws latents and gates towards their mean.

    A latent is drawn in only along the directions that low maps answer to, each by how much they do, and then brought
    back to its length: a shorter one, as plain scaling gives, the generator never saw, and what it makes of that is
    blurred (dev/LOG.md, 2026-11-25). Gates of Skip-Layer Excitation go in a straight line towards their mean.

    Args:
        folded: The generator.
        response: How its low maps answer to latents (``response``).
    """

    def __init__(self, folded: FoldedGenerator, response: Float64[Tensor, "z z"]) -> None:
        self.folded = folded
        self.means: dict[int | None, Gates] = {}
        values, directions = torch.linalg.eigh(response)
        answers = values.clamp(min=0) / values.mean().clamp(min=1e-12)
        pull = (directions * (answers / (answers + HALF))) @ directions.T
        self.pull = pull.float().to(folded.to_image.weight.device)

    def latents(self, z: Float[Tensor, "b z"], truncation: float) -> Float[Tensor, "b z"]:
        """Draw latents in: 1 changes nothing, at 0 the directions that count most are at their mean."""
        inner = z - (1 - truncation) * (z @ self.pull)
        drawn: Tensor = F.normalize(inner, dim=1) * z.norm(dim=1, keepdim=True)
        return drawn

    def gates(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None,
        truncation: float,
    ) -> Gates:
        """Give the gates that these inputs set, drawn towards their mean: 0 leaves the mean, 1 changes nothing."""
        if labels is None:
            means = [self.mean_gates(None)] * len(z)
        elif labels.is_floating_point():
            means = [self.mixed_gates(shares) for shares in labels]
        else:
            means = [self.mean_gates(label) for label in labels.tolist()]
        own = self.folded.compute_gates(z, noise, labels)
        return {name: torch.lerp(torch.cat([mean[name] for mean in means]), own[name], truncation) for name in own}

    def mixed_gates(self, shares: Float[Tensor, " classes"]) -> Gates:
        """Give the mean gates of an image that is of several classes, by its shares of them."""
        means = [(float(share), self.mean_gates(label)) for label, share in enumerate(shares) if share > 0]
        names = list(self.folded.gates)
        return {name: torch.stack([share * mean[name] for share, mean in means]).sum(dim=0) for name in names}

    @torch.no_grad()
    def mean_gates(self, label: int | None) -> Gates:
        """Give the mean of each gate over many latents, of one class where there are some; measured once."""
        if label not in self.means:
            folded, device = self.folded, self.folded.to_image.weight.device
            seeds = range(CALIBRATION_SEED, CALIBRATION_SEED + budget.current.calibration_images)
            seen = []
            for first in range(0, len(seeds), AT_ONCE):
                z, noise = latent.from_seeds(seeds[first : first + AT_ONCE], folded.latent, folded.noise_shapes, device)
                labels = None if label is None else torch.full((len(z),), label, device=device)
                seen.append(folded.compute_gates(z, noise, labels))
            self.means[label] = {
                name: torch.cat([each[name] for each in seen]).mean(dim=0, keepdim=True) for name in folded.gates
            }
        return self.means[label]


def check_truncation(truncation: float) -> None:
    """Refuse a truncation that is none.

    Raises:
        UsageError: if it is not from 0 to 1.
    """
    if not 0 <= truncation <= 1:
        raise UsageError(f"--truncation {truncation:g}: must be from 0, the mean, to 1, which leaves pictures alone")
