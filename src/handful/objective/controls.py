"""What a run holds on to about its discriminator, and the strengths that follow from it as training goes.

Few images are learned by heart sooner or later, and the discriminator's logits show it. So the strength of what holds
it back, augmentation and CHAIN, can follow how sure it is of the images that it trains on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from handful.compute import shared_batch as shares
from handful.config.train import TrainConfig
from handful.objective import lattice
from handful.objective.spectrum import power

SIGN_KEPT = 0.9
"""Share of the mean sign that a step keeps (CHAIN's code)."""


LOGIT_KEPT = 0.99
"""Share of the mean logits that a step keeps (LeCam's code), and of the mean power."""


CHAIN_TARGET = 0.5
"""Mean sign of real logits that CHAIN aims at (its code)."""


CHAIN_SPEED = 0.001
"""What CHAIN's probability changes by in a step (its code)."""


NICE_TARGET = 0.6
"""Mean sign of real logits that NICE's noise aims at; its value is not published, so it is ADA's."""


NICE_IMAGES = 500_000
"""Images in which the deviation of NICE's noise goes from 0 to 1 at most; likewise ADA's."""


LECAM_START = 1_000
"""Steps after which the mean logits are worth holding to (LeCam's code)."""


def measures(config: TrainConfig) -> dict[str, Callable[[Tensor], Tensor]]:
    """Give by name what a run watches of its generated images, and holds against the training images'."""
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    if config.spectrum:
        found["power"] = power
    if config.lattice:
        found["detail"] = lattice.sampled
    return found


class Controls:
    """Numbers that a step reads and moves; all of them stay on the device and where they are in memory.

    Attributes:
        steps: Steps seen.
        sign: Running mean of the sign of real logits: 1 if the discriminator is sure of the training images.
        real, fake: Running means of the logits.
        augment: Probability of each change of augmentation.
        chain: Probability that CHAIN normalises; the discriminator's own.
        noise: Deviation of NICE's noise; the discriminator's own.
        means: Running means of what generated images have: ``power`` at each frequency with ``--spectrum``, ``detail``
            at each place with ``--lattice``.
    """

    def __init__(self, config: TrainConfig, chain: Float[Tensor, ""], noise: Float[Tensor, ""]) -> None:
        self.config = config
        self.steps, self.sign, self.real, self.fake = (torch.zeros_like(chain) for _ in range(4))
        first = config.augment_probability if config.augment_schedule == "constant" else 0.0
        self.augment = torch.full_like(chain, first)
        self.chain, self.noise = chain, noise
        self.seen: list[Float[Tensor, " 3"]] = []
        self.measures = measures(config)
        blank = torch.zeros(1, 1, *config.shape, device=chain.device)
        self.means = {name: measure(blank) for name, measure in self.measures.items()}
        self.measured: dict[str, list[Tensor]] = {name: [] for name in self.measures}

    @property
    def probability(self) -> Float[Tensor, ""] | None:
        """How often each change of augmentation is made; none where every image is changed."""
        always = self.config.augment_schedule == "constant" and self.config.augment_probability == 1
        return None if always else self.augment

    def moving(self) -> dict[str, Float[Tensor, ""]]:
        """Give copies of the strengths that move in this run, for the log."""
        moving = {}
        if self.config.augment_schedule != "constant":
            moving["augment_probability"] = self.augment.clone()
        if self.config.chained:
            moving["chain_probability"] = self.chain.clone()
        if self.config.nice:
            moving["nice_noise"] = self.noise.clone()
        return moving

    @torch.no_grad()
    def see(
        self, real: Float[Tensor, "b l"], fake: Float[Tensor, "b l"], generated: Float[Tensor, "b c h w"] | None = None
    ) -> None:
        """Note the logits of a step, or of one of the equal parts of its batch, and what was generated."""
        self.seen.append(torch.stack([real.sign().mean(), real.mean(), fake.mean()]))
        if generated is not None:
            for name, measure in self.measures.items():
                self.measured[name].append(measure(generated))

    def forget(self) -> None:
        """Forget what was noted since the last update."""
        self.seen.clear()
        for values in self.measured.values():
            values.clear()

    @torch.no_grad()
    def update(self) -> None:
        """Take in what was seen of a step.

        Source: ADA (Karras et al. 2020), section 3, and its released schedules; CHAIN (Ni and Koniusz 2024) and LeCam
        (Tseng et al. 2021), as their code has them; NICE (Ni and Koniusz 2023), whose constants are not published.
        """
        self.steps += 1
        sign, *logits = shares.mean(torch.stack(self.seen).mean(dim=0))
        first = torch.clamp(1 / self.steps, min=1 - LOGIT_KEPT)  # a running mean would start from zero
        for name, mean in self.means.items():
            mean.lerp_(shares.mean(torch.stack(self.measured[name]).mean(dim=0)), first)
        self.forget()
        self.sign.lerp_(sign, 1 - SIGN_KEPT)
        for mean, logit in zip((self.real, self.fake), logits, strict=True):
            mean.lerp_(logit, first)
        most, ramp = self.config.augment_probability, self.config.augment_ramp
        if self.config.augment_schedule == "linear":
            self.augment.copy_(torch.clamp(self.steps / ramp, max=1) * most)
        elif self.config.augment_schedule == "adaptive":
            self.augment += (self.sign - self.config.augment_target).sign() * (most / ramp)
            self.augment.clamp_(0, most)
        if self.config.chained:
            self.chain += (self.sign - CHAIN_TARGET).sign() * CHAIN_SPEED
            self.chain.clamp_(0, 1)
        if self.config.nice:
            self.noise += (self.sign - NICE_TARGET).sign() * (self.config.whole_batch / NICE_IMAGES)
            self.noise.clamp_(0, 1)

    def state(self) -> dict[str, Tensor]:
        """Give by name all that the next step depends on: the living tensors, not copies."""
        names = ("steps", "sign", "real", "fake", "augment", "chain", "noise")
        return {name: getattr(self, name) for name in names} | self.means
