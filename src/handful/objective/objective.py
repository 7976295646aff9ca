"""All that the two networks are trained to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handful.compute.streams import aside
from handful.config.train import TrainConfig
from handful.networks.build import Opponent
from handful.networks.chain import Role
from handful.networks.discriminator import Chance, Discriminator, DiscriminatorOutput
from handful.objective import lattice, spectrum
from handful.objective.controls import Controls
from handful.objective.losses import (
    CHAIN_AT_LEAST,
    AugmentedBatch,
    Distance,
    accuracy,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    lecam_loss,
    reconstruction_loss,
    relativistic_loss,
)


@final
class Objective:
    """What the two networks are trained to do, with all the parts that a run has."""

    def __init__(
        self, config: TrainConfig, controls: Controls, distance: Distance, wanted: dict[str, Tensor] | None = None
    ) -> None:
        self.config, self.controls, self.distance = config, controls, distance
        self.wanted = wanted or {}
        """What the training images have of what the controls watch, by the same names."""

    def discriminator(
        self,
        network: Opponent,
        real: AugmentedBatch,
        generate: Callable[[], AugmentedBatch],
        random: torch.Generator,
        *,
        penalise: bool = False,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Tell real from fake, and reconstruct the real: what to minimise, and its parts for the log.

        ``generate`` makes the generated images, as many as there are real ones. ``penalise`` says whether it is this
        step's turn to have the gradient penalty. The controls see the logits, and move when they are told to.
        """
        config = self.config

        def look(shown: AugmentedBatch, role: Role) -> tuple[AugmentedBatch, Chance, DiscriminatorOutput]:
            chance = network.chance(len(shown.images), random, role)
            return shown, chance, network(shown.images, shown.small, chance, shown.labels)

        generated = aside(lambda: look(generate().detach(), Role.FAKE), 0, real.images.device)
        _, chance, view = look(real, Role.REAL)
        rebuilt = torch.zeros((), device=real.images.device)
        if network.decoders is not None:
            corner = torch.randint(4, (), device=real.images.device, generator=random)
            rebuilt = reconstruction_loss(network.decoders, view, real.images, real.small, corner, self.distance)
        fake, other_chance, other = generated()
        shown, chances = (real, fake), (chance, other_chance)
        if config.loss == "hinge":
            told_apart = discriminator_loss(view.logits, other.logits, random)
        else:
            told_apart = relativistic_loss(view.logits, other.logits)
        total = told_apart + config.weight_of_reconstruction * rebuilt
        parts = {"discriminator": told_apart, "reconstruction": rebuilt}
        if config.lecam:
            parts["lecam"] = lecam_loss(view.logits, other.logits, self.controls)
            total = total + config.lecam * parts["lecam"]
        if network.chained:
            parts["chain"] = view.off_centre + other.off_centre
            weight = config.chain_weight * (self.controls.chain + CHAIN_AT_LEAST)
            total = total + weight * parts["chain"]
        if config.nice:
            parts["nice"] = view.unsteady + other.unsteady
            total = total + config.nice * parts["nice"]
        if config.augself:
            right = [self.guess(network, *each) for each in zip((view, other), shown, chances, strict=True)]
            parts["augself"] = F.mse_loss(*right[0]) + F.mse_loss(right[1][0], -right[1][1])
            total = total + config.augself * parts["augself"]
        if config.gradient_penalty:
            # In the turns of the others it is 0, so that the mean over steps is that of the penalty.
            parts["penalty"] = torch.zeros_like(total)
            if penalise:
                steep = [gradient_penalty(network, *each) for each in zip(shown, chances, strict=True)]
                parts["penalty"] = config.penalty_every * (steep[0] + steep[1])
                total = total + config.gradient_penalty / 2 * parts["penalty"]
        if "power" in self.wanted:
            parts["spectrum"] = spectrum.decibels(self.controls.means["power"], self.wanted["power"])
        if "detail" in self.wanted:
            parts["lattice"] = lattice.decibels(self.controls.means["detail"], self.wanted["detail"])
        parts |= accuracy(view.logits, other.logits) | self.controls.moving()
        self.controls.see(view.logits, other.logits, fake.plain)
        return total, parts

    def generator(
        self, network: Opponent, real: AugmentedBatch, fake: AugmentedBatch, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """Raise the score of what was generated."""
        config, chance = self.config, network.chance(len(fake.images), random, Role.DECEIVING)
        view = network(fake.images, fake.small, chance, fake.labels)
        if config.loss == "hinge":
            total = generator_loss(view.logits)
        else:
            with torch.no_grad():
                other = network.chance(len(real.images), random)
                known = network(real.images, real.small, other, real.labels).logits
            total = relativistic_loss(view.logits, known)
        if "power" in self.wanted:
            charged = spectrum.charge(fake.plain, self.controls.means["power"], self.wanted["power"])
            total = total + config.spectrum * charged
        if "detail" in self.wanted:
            charged = lattice.charge(fake.plain, self.controls.means["detail"], self.wanted["detail"])
            total = total + config.lattice * charged
        if config.nice:
            total = total + config.nice * view.unsteady
        if config.augself:
            guessed, changes = self.guess(network, view, fake, chance)
            total = total + config.augself * (F.mse_loss(guessed, changes) - F.mse_loss(guessed, -changes))
        return total

    def guess(
        self, network: Opponent, view: DiscriminatorOutput, shown: AugmentedBatch, chance: Chance
    ) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]:
        """Let the discriminator say how the colours of images were changed, and give how they were, from -1 to 1.

        Of real images it is to say what was done, of generated ones the opposite; the generator is to be taken for
        real here too.

        Source: AugSelf (Hou et al. 2023), section 4, with colours alone, as for its smallest sets.
        """
        assert isinstance(network, Discriminator)
        changes = 2 * shown.changes[self.config.augment.index("color")].T - 1
        return network.guessed(view.deep, shown.plain, chance._replace(role=None)), changes
