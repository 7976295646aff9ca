"""Running statistics of a run, and the augmentation strength that follows from them.

On few images the discriminator overfits sooner or later, and its logits show it: adaptive augmentation (ADA) follows
how sure it is of the training images. The penalties compare running means of generated images with those of the
training images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from handful.compute import shared_batch
from handful.config.train import TrainConfig
from handful.objective import lattice, spectrum

SIGN_DECAY = 0.9
"""Share of the mean sign of real logits that a step keeps."""

MEAN_DECAY = 0.99
"""Share of the running means of generated images that a step keeps."""

Measured = Mapping[str, Tensor]
"""What the penalties measure on a batch, by name."""


def measures(config: TrainConfig) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return by name the functions that the penalties measure generated images by."""
    named: dict[str, Callable[[Tensor], Tensor]] = {}
    if config.spectrum_penalty:
        named["power"] = spectrum.power
    if config.lattice_penalty:
        named["detail"] = lattice.sampled
    return named


class Controls:
    """Running statistics that a step reads and updates; they stay on the device and keep their place in memory.

    Attributes:
        steps: Steps seen.
        sign: Running mean of the sign of real logits; 1 means that the discriminator is sure of the training images.
        augment: Probability of each augmentation.
        means: Running means over generated images, by the names of ``measures``.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.steps, self.sign = torch.zeros((), device=device), torch.zeros((), device=device)
        first = config.augment_probability if config.augment_schedule == "constant" else 0.0
        self.augment = torch.full((), first, device=device)
        self.measures = measures(config)
        blank = torch.zeros(1, 1, *config.shape, device=device)
        self.means = self.measure(blank)
        self.signs: list[Float[Tensor, ""]] = []
        self.measured: dict[str, list[Tensor]] = {name: [] for name in self.measures}

    @property
    def probability(self) -> Float[Tensor, ""] | None:
        """Probability of each augmentation; None if every image is always augmented."""
        always = self.config.augment_schedule == "constant" and self.config.augment_probability == 1
        return None if always else self.augment

    def log_values(self) -> dict[str, Float[Tensor, ""]]:
        """Return copies of the strengths that change during this run."""
        return {} if self.config.augment_schedule == "constant" else {"augment_probability": self.augment.clone()}

    def measure(self, images: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Return what the penalties measure on generated images; gradients reach the images."""
        return {name: measure(images) for name, measure in self.measures.items()}

    @torch.no_grad()
    def observe(self, real: Float[Tensor, "b l"], measured: Measured) -> None:
        """Record the real logits and what was measured on generated images, in a step or one of its micro-batches."""
        self.signs.append(real.sign().mean())
        for name, value in measured.items():
            self.measured[name].append(value)

    def discard(self) -> None:
        """Discard what was observed since the last update."""
        self.signs.clear()
        for values in self.measured.values():
            values.clear()

    @torch.no_grad()
    def update(self) -> None:
        """Update the running means and the augmentation from what was observed during a step.

        Source: ADA (Karras et al. 2020), section 3, and its released schedule.
        """
        self.steps += 1
        share = torch.clamp(1 / self.steps, min=1 - MEAN_DECAY)  # so that the initial zeros are forgotten at once
        for name, mean in self.means.items():
            mean.lerp_(shared_batch.all_reduce_mean(torch.stack(self.measured[name]).mean(dim=0)), share)
        self.sign.lerp_(shared_batch.all_reduce_mean(torch.stack(self.signs).mean()), 1 - SIGN_DECAY)
        self.discard()
        if self.config.augment_schedule == "adaptive":
            most = self.config.augment_probability
            self.augment += (self.sign - self.config.augment_target).sign() * (most / self.config.augment_ramp)
            self.augment.clamp_(0, most)

    def state(self) -> dict[str, Tensor]:
        """Return by name all that the next step depends on: the tensors themselves, not copies."""
        return {"steps": self.steps, "sign": self.sign, "augment": self.augment} | self.means
