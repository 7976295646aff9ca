"""The losses of the two networks."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from handful.compute import shared_batch
from handful.compute.streams import run_on_stream
from handful.config.train import TrainConfig
from handful.networks.conv import shrink
from handful.networks.discriminator import Decoders, Discriminator, DiscriminatorOutput, quadrant
from handful.networks.heads import Maps
from handful.objective import lattice, spectrum
from handful.objective.controls import Controls, Measured

MIN_MARGIN = 0.8
"""The margins of the hinge loss are drawn from U(0.8, 1)."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""Map images ``[m c h w]`` and targets ``[n c h w]`` in [-1, 1] to ``[m]`` distances, of image i from target i mod n.

m is a multiple of n or less, so a target that several images share is encoded once. Gradients reach the images only.
"""

Losses = dict[str, Float[Tensor, ""]]


class AugmentedBatch(NamedTuple):
    """A batch as the discriminator sees it."""

    images: Float[Tensor, "b c h w"]
    """Augmented."""
    small: Float[Tensor, "b c s t"]
    labels: Int64[Tensor, " b"] | None = None
    """Class numbers, where there are classes."""
    maps: Maps | None = None
    """What a frozen network sees in ``images``, where there are projected heads."""
    measured: Measured = MappingProxyType({})
    """What the penalties measure on generated images, before augmentation."""

    def detach(self) -> AugmentedBatch:
        """Return the same batch, through which no gradient flows."""
        maps = self.maps and (self.maps[0].detach(), self.maps[1].detach())
        measured = {name: value.detach() for name, value in self.measured.items()}
        return AugmentedBatch(self.images.detach(), self.small.detach(), self.labels, maps, measured)


@final
class Objective:
    """What the two networks minimise: one method per network.

    Args:
        config: The run's options.
        controls: Running statistics; read by the penalties, and given each batch.
        distance: Distance of a reconstruction from its image.
        targets: The training images' ``power`` and ``detail``, as ``Controls`` names them.
    """

    def __init__(
        self, config: TrainConfig, controls: Controls, distance: Distance, targets: dict[str, Tensor] | None = None
    ) -> None:
        self.config, self.controls, self.distance = config, controls, distance
        self.targets = targets or {}

    def discriminator(
        self,
        network: Discriminator,
        real: AugmentedBatch,
        generate: Callable[[], AugmentedBatch],
        random: torch.Generator,
    ) -> tuple[Float[Tensor, ""], Losses]:
        """Return the discriminator's loss and its parts for the log: tell real from fake, reconstruct the real.

        Args:
            network: The discriminator.
            real: Training images.
            generate: Returns as many generated images.
            random: For the margins and the quadrant.

        Source: FastGAN (Liu et al. 2021), equations 2 and 3.
        """

        def judge(batch: AugmentedBatch) -> tuple[AugmentedBatch, DiscriminatorOutput]:
            return batch, network(batch.images, batch.small, batch.labels)

        judged_fake = run_on_stream(lambda: judge(generate().detach()), 0, real.images.device)
        _, output = judge(real)
        reconstruction = torch.zeros((), device=real.images.device)
        if network.decoders is not None:
            corner = torch.randint(4, (), device=real.images.device, generator=random)
            reconstruction = reconstruction_loss(network.decoders, output, real, corner, self.distance)
        fake, fake_output = judged_fake()
        adversarial = discriminator_loss(output.logits, fake_output.logits, random)
        parts = {"discriminator": adversarial, "reconstruction": reconstruction}
        loss = adversarial + self.config.weight_of_reconstruction * reconstruction
        if network.projected is not None:
            parts["projected"] = discriminator_loss(network.projected(real.maps), network.projected(fake.maps), random)
            loss = loss + parts["projected"]
        if "power" in self.targets:
            parts["spectrum"] = spectrum.decibels(self.controls.means["power"], self.targets["power"])
        if "detail" in self.targets:
            parts["lattice"] = lattice.decibels(self.controls.means["detail"], self.targets["detail"])
        parts |= accuracy(output.logits, fake_output.logits) | self.controls.log_values()
        self.controls.observe(output.logits, fake.measured)
        return loss, parts

    def generator(self, network: Discriminator, fake: AugmentedBatch) -> Float[Tensor, ""]:
        """Return the generator's loss: raise the logits of its images and match statistics of the training images.

        Source: FastGAN (Liu et al. 2021), equation 4; the two penalties are ours.
        """
        output = network(fake.images, fake.small, fake.labels)
        loss = generator_loss(output.logits)
        if network.projected is not None:
            loss = loss + self.config.projected_weight * generator_loss(network.projected(fake.maps))
        measured, means, targets = fake.measured, self.controls.means, self.targets
        if "power" in targets:
            penalty = spectrum.penalty(measured["power"], means["power"], targets["power"])
            loss = loss + self.config.spectrum_penalty * penalty
        if "detail" in targets:
            penalty = lattice.penalty(measured["detail"], means["detail"], targets["detail"])
            loss = loss + self.config.lattice_penalty * penalty
        return loss


def discriminator_loss(
    real: Float[Tensor, "b l"], fake: Float[Tensor, "b l"], random: torch.Generator
) -> Float[Tensor, ""]:
    """Return the hinge loss ``mean(relu(m - real)) + mean(relu(m + fake))``, with margins m drawn from U(0.8, 1).

    Source: FastGAN (Liu et al. 2021), section 3.3, equation 3. The paper's margin is 1; the released code draws it.
    """

    def margin() -> Tensor:
        return MIN_MARGIN + (1 - MIN_MARGIN) * shared_batch.uniform(real.shape, random)

    return F.relu(margin() - real).mean() + F.relu(margin() + fake).mean()


def generator_loss(fake: Float[Tensor, "b l"]) -> Float[Tensor, ""]:
    """Return ``-mean(fake)``.

    Source: FastGAN (Liu et al. 2021), section 3.3, equation 4.
    """
    return -fake.mean()


def reconstruction_loss(
    decoders: Decoders,
    output: DiscriminatorOutput,
    real: AugmentedBatch,
    corner: Int64[Tensor, ""],
    distance: Distance,
) -> Float[Tensor, ""]:
    """Return the distance of the three reconstructions from what the discriminator saw, summed; mean over images.

    Targets are averaged down to the size of the reconstructions; the released code drops pixels.

    Source: FastGAN (Liu et al. 2021), section 3.2, equation 2. The paper crops at random; the released code takes one
    of four quadrants, the same for the whole batch.
    """
    whole, quarter, small = decoders(output, corner)
    part = shrink(quadrant(real.images, corner), (real.small.shape[2], real.small.shape[3]))
    # The image and the small image share the first target.
    distances = distance(torch.cat([whole, quarter, small]), torch.cat([real.small, part]))
    return distances.sum() / len(real.images)


def absolute_difference(images: Float[Tensor, "m c h w"], targets: Float[Tensor, "n c h w"]) -> Float[Tensor, " m"]:
    """Return each image's mean absolute difference from its target: the ``Distance`` without a network."""
    parts = torch.split(images, len(targets))
    return torch.cat([(part - targets[: len(part)]).abs().mean(dim=(1, 2, 3)) for part in parts])


@torch.no_grad()
def accuracy(real: Float[Tensor, "b l"], fake: Float[Tensor, "b l"]) -> Losses:
    """Return the share of real logits above zero and of fake logits below.

    If both are near 1, the discriminator tells them apart everywhere and may be overfitting.
    """
    return {"accuracy_real": (real > 0).float().mean(), "accuracy_fake": (fake < 0).float().mean()}
