"""The losses, against their formulas written out."""

import torch

from handful.config.generator import GeneratorConfig
from handful.networks.conv import shrink
from handful.networks.discriminator import Discriminator, quadrant
from handful.networks.generator import initialise
from handful.objective.losses import (
    AugmentedBatch,
    absolute_difference,
    accuracy,
    discriminator_loss,
    generator_loss,
    reconstruction_loss,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_hinge_has_a_margin_between_0_8_and_1_for_each_logit():
    real, fake = torch.zeros(100, 50), torch.zeros(100, 50)
    loss = discriminator_loss(real, fake, seeded())
    draws = torch.rand(2, 100, 50, generator=seeded())
    assert torch.allclose(loss, 2 * (0.8 + 0.2 * draws.mean()))


def test_the_hinge_asks_nothing_of_logits_beyond_the_margin():
    real = torch.tensor([[1.0, 5.0], [2.0, 1.0]])
    assert discriminator_loss(real, -real, seeded()) == 0
    assert discriminator_loss(-real, real, seeded()) > 3


def test_the_hinge_pushes_real_up_and_fake_down():
    real, fake = torch.zeros(2, 50, requires_grad=True), torch.zeros(2, 50, requires_grad=True)
    discriminator_loss(real, fake, seeded()).backward()
    assert torch.allclose(real.grad, torch.full((2, 50), -0.01))
    assert torch.allclose(fake.grad, torch.full((2, 50), 0.01))


def test_the_generator_raises_the_mean_logit():
    fake = torch.tensor([[1.0, -3.0]], requires_grad=True)
    loss = generator_loss(fake)
    assert loss == 1
    loss.backward()
    assert torch.equal(fake.grad, torch.tensor([[-0.5, -0.5]]))


def test_accuracy_is_the_share_of_logits_on_the_right_side():
    shares = accuracy(torch.tensor([[1.0, -1.0, 2.0, 3.0]]), torch.tensor([[1.0, -1.0, 2.0, 3.0]]))
    assert shares["accuracy_real"] == 0.75
    assert shares["accuracy_fake"] == 0.25


def test_a_reconstruction_is_compared_with_the_whole_the_part_and_the_small_image():
    discriminator = Discriminator(GeneratorConfig(size=64, width=8))
    initialise(discriminator, seeded())
    images = torch.rand(2, 3, 64, 64, generator=seeded(1)) * 2 - 1
    small = shrink(images, (32, 32))
    view = discriminator(images, small)
    seen = []

    def distance(made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append((made, target))
        return absolute_difference(made, target)

    corner = torch.tensor(3)
    loss = reconstruction_loss(discriminator.decoders, view, AugmentedBatch(images, small), corner, distance)
    made = discriminator.decoders(view, corner)
    targets = small, images[:, :, 32:, 32:], small
    ((images_seen, targets_seen),) = seen
    for place, (image, expected) in enumerate(zip(made, targets, strict=True)):
        assert torch.allclose(images_seen[2 * place : 2 * place + 2], image)
        wanted = torch.arange(2 * place, 2 * place + 2) % len(targets_seen)
        assert torch.allclose(targets_seen[wanted], expected)
    expected = sum((image - target).abs().mean() for image, target in zip(made, targets, strict=True))
    assert torch.allclose(loss, expected)


def test_the_part_is_decoded_from_the_same_quadrant_of_the_features():
    discriminator = Discriminator(GeneratorConfig(size=64, width=8))
    initialise(discriminator, seeded())
    images = torch.rand(2, 3, 64, 64, generator=seeded(1))
    view = discriminator(images, shrink(images, (32, 32)))
    for corner in range(4):
        part = discriminator.decoders(view, torch.tensor(corner))[1]
        assert torch.allclose(part, discriminator.decoders.part(quadrant(view.wide, torch.tensor(corner))))


def test_shrinking_averages_areas():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(shrink(x, (2, 2)), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
