"""What the two networks are trained to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from handful import shares
from handful.blocks import shrink
from handful.config import TrainConfig
from handful.controls import LECAM_START, Controls
from handful.discriminator import Decoders, Discriminator, View, quadrant

SMALLEST_MARGIN = 0.8
CHAIN_AT_LEAST = 0.1
"""What CHAIN's pull of the means is weighted by beside its probability (its code, for the smallest sets)."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""Images ``[m 3 h w]`` and targets ``[n 3 h w]`` in [-1, 1] to the ``[m]`` distances of image i from target i modulo n,
for n to m images; gradients reach the images. So a target of several images is looked at once."""


def discriminator_loss(
    real: Float[Tensor, "b l"], fake: Float[Tensor, "b l"], random: torch.Generator
) -> Float[Tensor, ""]:
    """Push real logits above a margin and fake ones below minus a margin, drawn for each logit from U(0.8, 1).

    ``mean(relu(m - real)) + mean(relu(m + fake))``

    Source: FastGAN (Liu et al. 2021), section 3.3, equation 3. The paper's margin is 1; the released code draws it.
    """

    def margin() -> Tensor:
        return SMALLEST_MARGIN + (1 - SMALLEST_MARGIN) * shares.uniform(real.shape, random)

    return F.relu(margin() - real).mean() + F.relu(margin() + fake).mean()


def generator_loss(fake: Float[Tensor, "b l"]) -> Float[Tensor, ""]:
    """Raise the logits of generated images: ``-mean(fake)``.

    Source: FastGAN (Liu et al. 2021), section 3.3, equation 4.
    """
    return -fake.mean()


def lecam_loss(real: Float[Tensor, "b l"], fake: Float[Tensor, "b l"], controls: Controls) -> Float[Tensor, ""]:
    """Hold real logits near where fake ones have been or below, and fake ones near where real ones have been or above.

    ``mean(relu(real - mean_fake)^2) + mean(relu(mean_real - fake)^2)``, from step 1,000 on.

    Source: LeCam (Tseng et al. 2021), as its code has it.
    """
    started = (controls.steps >= LECAM_START).float()
    apart = F.relu(real - controls.fake).square().mean() + F.relu(controls.real - fake).square().mean()
    return started * apart


def reconstruction_loss(
    decoders: Decoders,
    view: View,
    images: Float[Tensor, "b 3 h w"],
    small: Float[Tensor, "b 3 s s"],
    corner: Int64[Tensor, ""],
    distance: Distance,
) -> Float[Tensor, ""]:
    """Compare what the decoders make of a view with what was viewed: the whole, one quadrant, the small image.

    The mean over images of the sum of the three distances. The targets are brought to the decoders' size by averaging
    areas; the released code drops pixels.

    Source: FastGAN (Liu et al. 2021), section 3.2, equation 2. The paper cuts its part anywhere, the released code one
    of four quadrants, the same for the whole batch.
    """
    whole, quarter, reduced = decoders(view, corner)
    part = shrink(quadrant(images, corner), small.shape[-1])
    # The whole and the small image have one target, the first.
    distances = distance(torch.cat([whole, quarter, reduced]), torch.cat([small, part]))
    return distances.sum() / len(images)


def absolute_difference(images: Float[Tensor, "m c h w"], targets: Float[Tensor, "n c h w"]) -> Float[Tensor, " m"]:
    """Give the mean absolute difference of images from their targets, the ``Distance`` where LPIPS is not wanted."""
    parts = torch.split(images, len(targets))
    return torch.cat([(part - targets[: len(part)]).abs().mean(dim=(1, 2, 3)) for part in parts])


@torch.no_grad()
def accuracy(real: Float[Tensor, "b l"], fake: Float[Tensor, "b l"]) -> dict[str, Float[Tensor, ""]]:
    """Give the shares of real logits above and of fake logits below zero.

    Near 1 both: the discriminator tells them apart everywhere, and may be learning the images by heart.
    """
    return {"accuracy_real": (real > 0).float().mean(), "accuracy_fake": (fake < 0).float().mean()}


@final
class Objective:
    """What the two networks are trained to do, with all the parts that a run has."""

    def __init__(self, config: TrainConfig, controls: Controls, distance: Distance) -> None:
        self.config, self.controls, self.distance = config, controls, distance

    def discriminator(
        self,
        network: Discriminator,
        real: Float[Tensor, "b 3 h w"],
        real_small: Float[Tensor, "b 3 s s"],
        fake: Float[Tensor, "b 3 h w"],
        fake_small: Float[Tensor, "b 3 s s"],
        random: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Tell real from fake, and reconstruct the real: what to minimise, and its parts for the log."""
        view = network(real, real_small, network.chance(len(real), random))
        other = network(fake.detach(), fake_small.detach(), network.chance(len(fake), random))
        parts = {"discriminator": discriminator_loss(view.logits, other.logits, random)}
        total = parts["discriminator"]
        parts["reconstruction"] = torch.zeros_like(total)
        if network.decoders is not None:
            corner = torch.randint(4, (), device=real.device, generator=random)
            rebuilt = reconstruction_loss(network.decoders, view, real, real_small, corner, self.distance)
            parts["reconstruction"] = rebuilt
            total = total + self.config.reconstruction_weight * rebuilt
        if self.config.lecam:
            parts["lecam"] = lecam_loss(view.logits, other.logits, self.controls)
            total = total + self.config.lecam * parts["lecam"]
        if network.chained:
            parts["chain"] = view.off_centre + other.off_centre
            weight = self.config.chain_weight * (self.controls.chain + CHAIN_AT_LEAST)
            total = total + weight * parts["chain"]
        parts |= accuracy(view.logits, other.logits) | self.controls.moving()
        self.controls.update(view.logits.detach(), other.logits.detach())
        return total, parts

    def generator(
        self,
        network: Discriminator,
        fake: Float[Tensor, "b 3 h w"],
        fake_small: Float[Tensor, "b 3 s s"],
        random: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Raise the score of what was generated."""
        return generator_loss(network(fake, fake_small, network.chance(len(fake), random)).logits)
