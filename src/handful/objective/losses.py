"""What the two networks are trained to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from handful.compute import shared_batch as shares
from handful.networks.build import Opponent
from handful.networks.discriminator import Chance, Decoders, DiscriminatorOutput, quadrant
from handful.networks.layers import shrink
from handful.objective.augment import Changes
from handful.objective.controls import LECAM_START, Controls

SMALLEST_MARGIN = 0.8


CHAIN_AT_LEAST = 0.1
"""What CHAIN's pull of the means is weighted by beside its probability (its code, for the smallest sets)."""


Distance = Callable[[Tensor, Tensor], Tensor]
"""Images ``[m c h w]`` and targets ``[n c h w]`` in [-1, 1] to the ``[m]`` distances of image i from target i modulo n,
for n to m images; gradients reach the images. So a target of several images is looked at once."""


class AugmentedBatch(NamedTuple):
    """A batch, as it is shown to the discriminator."""

    images: Float[Tensor, "b c h w"]
    """Changed by augmentation."""
    small: Float[Tensor, "b c s t"]
    plain: Float[Tensor, "b c h w"]
    """As they were before."""
    changes: Changes
    labels: Int64[Tensor, " b"] | None = None
    """The numbers of their classes, where there are classes."""

    def detach(self) -> AugmentedBatch:
        """Give the same, from which no gradient goes back."""
        return self._replace(images=self.images.detach(), small=self.small.detach(), plain=self.plain.detach())


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


def relativistic_loss(better: Float[Tensor, "b l"], worse: Float[Tensor, "b l"]) -> Float[Tensor, ""]:
    """Raise the logits of one batch above those of another, image by image: ``mean(softplus(worse - better))``.

    For the discriminator the real images are to be the better ones, for the generator the generated.

    Source: Jolicoeur-Martineau 2019, relativistic pairing, as R3GAN (Huang et al. 2024), equation 2, has it.
    """
    return F.softplus(worse - better).mean()


def gradient_penalty(network: Opponent, shown: AugmentedBatch, chance: Chance) -> Float[Tensor, ""]:
    """Measure how steep the discriminator is at a batch: the squared gradient of its mean logit, mean over images.

    With respect to the images as it sees them, small ones included. R1 where these are real, R2 where generated.

    Source: Mescheder et al. 2018, equation 9; R3GAN (Huang et al. 2024) for both at once. Theirs have one logit.
    """
    images, small = (each.detach().requires_grad_() for each in (shown.images, shown.small))
    # Not called as a module: what is compiled has no second derivative.
    logits = network.forward(images, small, chance._replace(role=None), shown.labels).logits
    # The projected discriminator does not look at the small images: there the gradient is 0.
    gradients = torch.autograd.grad(
        logits.mean(dim=1).sum(), [images, small], create_graph=True, materialize_grads=True
    )
    return torch.stack([gradient.square().sum() for gradient in gradients]).sum() / len(images)


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
    view: DiscriminatorOutput,
    images: Float[Tensor, "b c h w"],
    small: Float[Tensor, "b c s t"],
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
    part = shrink(quadrant(images, corner), (small.shape[2], small.shape[3]))
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
