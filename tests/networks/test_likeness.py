"""The distance of reconstructions by EfficientNet's features."""

import pytest
import torch

from handful.compute import shared_batch
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.likeness import SHARE, FeatureDistance
from handful.objective.losses import absolute_difference

RANDOM = torch.Generator()


@pytest.fixture(scope="module")
def distance() -> FeatureDistance:
    return FeatureDistance(EfficientNet(seed=2))


def smooth(count: int, seed: int, side: int = 64) -> torch.Tensor:
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def test_equal_images_are_at_no_distance_and_shifted_ones_at_more_than_their_pixels_say(distance):
    images = smooth(3, 0)
    assert distance(images, images, RANDOM).abs().max() < 1e-5
    shifted = images.roll(9, 3)
    assert distance(shifted, images, RANDOM).sum() > absolute_difference(shifted, images).sum() + 0.01


def test_features_are_compared_as_lpips_compares_them(distance):
    one, two = smooth(2, 0), smooth(2, 1)
    expected = torch.zeros(2, dtype=torch.float64)
    for first, second in zip(distance.backbone.taps(one), distance.backbone.taps(two), strict=True):
        units = [tap.double() / tap.double().square().sum(1, keepdim=True).sqrt() for tap in (first, second)]
        expected += (units[0] - units[1]).square().sum(1).mean((1, 2)) / 4
    assert distance.compare(one, two).double() == pytest.approx(expected, rel=1e-4)


def test_the_mean_over_draws_is_the_distance_of_all_images(distance):
    images, targets = smooth(6, 0), smooth(4, 1)
    random = torch.Generator().manual_seed(0)
    drawn = torch.stack([distance(images, targets, random) for _ in range(200)]).mean(0)
    whole = absolute_difference(images, targets) + distance.compare(images, targets[[0, 1, 2, 3, 0, 1]])
    assert torch.allclose(drawn, whole, rtol=0.2)
    assert float(drawn.sum()) == pytest.approx(float(whole.sum()), rel=0.03)


def test_one_image_in_three_is_looked_at_and_gradients_reach_images_only(distance):
    images, targets = smooth(6, 0).requires_grad_(), smooth(4, 1).requires_grad_()
    distance(images, targets, RANDOM.manual_seed(0)).sum().backward()
    pixels = absolute_difference(again := images.detach().requires_grad_(), targets.detach())
    pixels.sum().backward()
    looked_at = (images.grad - again.grad).abs().amax((1, 2, 3)) > 0
    assert looked_at.sum() == len(images) // SHARE
    assert targets.grad is not None  # of the mean absolute difference, whose targets are training images
    assert all(parameter.grad is None for parameter in distance.parameters())


def test_micro_batches_look_at_what_the_whole_batch_looks_at(distance):
    reconstructions, targets = smooth(12, 0).view(3, 4, 3, 64, 64), smooth(8, 1).view(2, 4, 3, 64, 64)
    whole = distance(reconstructions.flatten(0, 1), targets.flatten(0, 1), RANDOM.manual_seed(5)).view(3, 4)
    for index in range(2):
        part = slice(2 * index, 2 * index + 2)
        with shared_batch.micro_batches(2, index):
            parts = [images[:, part].flatten(0, 1) for images in (reconstructions, targets)]
            alone = distance(*parts, RANDOM.manual_seed(5)).view(3, 2)
        assert alone == pytest.approx(whole[:, part], abs=1e-5)


def test_small_and_grey_images_are_compared_too(distance):
    small = smooth(3, 0, 32)
    assert distance.compare(small, small.roll(5, 3)).min() > 0
    grey = small.mean(1, keepdim=True)
    assert distance.compare(grey, grey.roll(5, 3)) == pytest.approx(
        distance.compare(*(images.expand(-1, 3, -1, -1) for images in (grey, grey.roll(5, 3)))), rel=1e-5
    )
