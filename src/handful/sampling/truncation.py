"""Truncation for a generator without a mapping network: pictures drawn towards the mean."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
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
from handful.networks.generator import GATES, NOISY
from handful.networks.layers import Labels

HALF_RESPONSE = 4.0
"""Response, as a multiple of the mean response, at which a direction is pulled in by half."""

IMAGES_PER_BATCH = 16


@final
class Truncation:
    """Moves latents and gates towards their mean.

    A latent is pulled in only along the directions that low-resolution maps respond to, and then scaled back to its
    length. Plain scaling would give short latents, which the generator never saw in training and draws blurred
    (dev/log-2026-11.md, 2026-11-25). Gates of Skip-Layer Excitation move in a straight line towards their mean.

    Args:
        folded: The generator.
        response: How its low-resolution maps respond to latents (``sampling.response``).
    """

    def __init__(self, folded: FoldedGenerator, response: Float64[Tensor, "z z"]) -> None:
        self.folded = folded
        self.means: dict[int | None, Gates] = {}
        values, directions = torch.linalg.eigh(response)
        answers = values.clamp(min=0) / values.mean().clamp(min=1e-12)
        pull = (directions * (answers / (answers + HALF_RESPONSE))) @ directions.T
        self.pull = pull.float().to(folded.to_image.weight.device)

    def latents(self, z: Float[Tensor, "b z"], truncation: float) -> Float[Tensor, "b z"]:
        """Return truncated latents: 1 changes nothing, 0 moves the strongest directions to their mean."""
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
        """Return the gates that these inputs set, moved towards their mean: 1 changes nothing, 0 is the mean."""
        if labels is None:
            means = [self.mean_gates(None)] * len(z)
        elif labels.is_floating_point():
            means = [self.mixed_gates(shares) for shares in labels]
        else:
            means = [self.mean_gates(label) for label in labels.tolist()]
        own = self.folded.compute_gates(z, noise, labels)
        return {name: torch.lerp(torch.cat([mean[name] for mean in means]), own[name], truncation) for name in own}

    def mixed_gates(self, shares: Float[Tensor, " classes"]) -> Gates:
        """Return the mean gates of an image that is a mixture of classes."""
        means = [(float(share), self.mean_gates(label)) for label, share in enumerate(shares) if share > 0]
        names = list(self.folded.gates)
        return {name: torch.stack([share * mean[name] for share, mean in means]).sum(dim=0) for name in names}

    @torch.no_grad()
    def mean_gates(self, label: int | None) -> Gates:
        """Return the mean of each gate over many latents of one class; measured once."""
        if label not in self.means:
            folded, gates = self.folded, []
            for z, noise in self.inputs if folded.gates else []:
                labels = None if label is None else torch.full((len(z),), label, device=z.device)
                gates.append(folded.compute_gates(z, noise, labels))
            self.means[label] = {
                name: torch.cat([part[name] for part in gates]).mean(dim=0, keepdim=True) for name in folded.gates
            }
        return self.means[label]

    @cached_property
    def inputs(self) -> list[tuple[Tensor, list[Tensor]]]:
        """Latents that means are measured over, in batches, with the noise of the low maps that set gates."""
        folded, device = self.folded, self.folded.to_image.weight.device
        low = 2 * sum(size <= max(GATES.values()) for size in NOISY)
        seeds = range(CALIBRATION_SEED, CALIBRATION_SEED + budget.current.calibration_images)
        batches = []
        for first in range(0, len(seeds), IMAGES_PER_BATCH):
            chosen = seeds[first : first + IMAGES_PER_BATCH]
            z, noise = latent.from_seeds(chosen, folded.latent, folded.noise_shapes, device)
            batches.append((z, noise[:low]))
        return batches


def check_truncation(truncation: float) -> None:
    """Check that a truncation is from 0 to 1.

    Raises:
        UsageError: if it is not.
    """
    if not 0 <= truncation <= 1:
        raise UsageError(f"--truncation {truncation:g}: must be from 0, the mean, to 1, which leaves pictures alone")
