"""The distance of reconstructions by EfficientNet's features."""

import pytest
import torch

from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.feature_distance import FeatureDistance
from handful.objective.losses import absolute_difference


@pytest.fixture(scope="module")
def distance() -> FeatureDistance:
    return FeatureDistance(EfficientNet(seed=2))


def smooth(count: int, seed: int, side: int = 64) -> torch.Tensor:
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def test_equal_images_are_at_no_distance_and_shifted_ones_at_more_than_their_pixels_say(distance):
    images = smooth(3, 0)
    assert distance(images, images).abs().max() < 1e-5
    shifted = images.roll(9, 3)
    assert distance(shifted, images).sum() > absolute_difference(shifted, images).sum() + 0.01


def test_features_are_compared_as_lpips_compares_them(distance):
    one, two = smooth(2, 0), smooth(2, 1)
    expected = torch.zeros(2, dtype=torch.float64)
    for first, second in zip(distance.backbone.taps(one), distance.backbone.taps(two), strict=True):
        units = [tap.double() / tap.double().square().sum(1, keepdim=True).sqrt() for tap in (first, second)]
        expected += (units[0] - units[1]).square().sum(1).mean((1, 2)) / 4
    assert distance.compare(one, two).double() == pytest.approx(expected, rel=1e-4)


def test_images_share_targets(distance):
    images, targets = smooth(6, 0), smooth(4, 1)
    alone = torch.cat([distance(images[at : at + 1], targets[at % 4 : at % 4 + 1]) for at in range(6)])
    assert distance(images, targets) == pytest.approx(alone, rel=1e-4)


def test_gradients_reach_images_only(distance):
    images, targets = smooth(6, 0).requires_grad_(), smooth(4, 1).requires_grad_()
    distance(images, targets).sum().backward()
    pixels = absolute_difference(again := images.detach().requires_grad_(), targets.detach())
    pixels.sum().backward()
    assert ((images.grad - again.grad).abs().amax((1, 2, 3)) > 0).all()
    assert targets.grad is None
    assert all(parameter.grad is None for parameter in distance.parameters())


def test_small_and_grey_images_are_compared_too(distance):
    small = smooth(3, 0, 32)
    assert distance.compare(small, small.roll(5, 3)).min() > 0
    grey = small.mean(1, keepdim=True)
    rgb = grey.expand(-1, 3, -1, -1)
    assert distance(grey, grey.roll(5, 3)) == pytest.approx(distance(rgb, rgb.roll(5, 3)), rel=1e-5)
