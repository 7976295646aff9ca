"""Laying one image over another."""

import pytest
import torch
import torch.nn.functional as F

from handful.metrics.alignment import Smoothed, Start, Window, align

WINDOW = Window(-0.75, 0.75, -0.75, 0.75, 16)


def picture(seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    values = F.interpolate(torch.randn(1, 3, 9, 9, generator=random), (64, 64), mode="bicubic", align_corners=True)
    return (values / 6 + 0.5).clamp(0, 1)


def seen(image: torch.Tensor, matrix: list[list[float]]) -> torch.Tensor:
    """Return what a picture shows where ``matrix`` maps each place."""
    places = F.affine_grid(torch.tensor([matrix]), [1, 3, 64, 64], align_corners=False)
    return F.grid_sample(image, places, "bicubic", "reflection", align_corners=False)


def left(sample: torch.Tensor, image: torch.Tensor, zoom: float = 1.0, sign: float = 1.0) -> float:
    one = torch.zeros(1, dtype=torch.int64)
    start = Start(*(torch.tensor([value]) for value in (sign, zoom, 0.0, 0.0)))
    return float(align(Smoothed(sample, (1.0, 1.15, 1.3)), one, Smoothed(image), one, start, WINDOW))


def test_the_same_picture_leaves_nothing_and_another_one_much():
    assert left(picture(), picture()) < 0.01
    assert left(picture(), picture(1)) > 0.4


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0.0, 0.08], [0.0, 1.0, -0.06]],  # shifted
        [[0.93, 0.0, 0.0], [0.0, 0.93, 0.0]],  # zoomed
        [[0.995, -0.08, 0.0], [0.08, 0.995, 0.0]],  # turned by 5 degrees
        [[1.0, 0.06, 0.0], [0.0, 0.95, 0.03]],  # sheared and squeezed
    ],
)
def test_an_affine_map_is_found(matrix):
    assert left(seen(picture(), matrix), picture()) < 0.06


def test_a_far_zoom_is_found_from_a_near_start():
    sample = seen(picture(), [[1 / 1.3, 0, 0.05], [0, 1 / 1.3, 0]])
    assert left(sample, picture(), zoom=1.3) < 0.06


def test_a_mirrored_picture_is_found_from_a_mirrored_start():
    assert left(picture().flip(-1), picture(), sign=-1.0) < 0.01
    assert left(picture().flip(-1), picture(), sign=1.0) > 0.3


def test_brightness_and_contrast_do_not_count_but_a_negative_does():
    assert left(0.7 * picture() + 0.2, picture()) < 0.2
    assert left(1 - picture(), picture()) > 0.7


def test_a_pair_does_not_depend_on_the_other_pairs():
    images = Smoothed(torch.cat([picture(seed) for seed in range(3)]))
    samples = Smoothed(torch.cat([seen(picture(seed), [[0.95, 0, 0.05], [0, 0.95, 0]]) for seed in range(3)]))
    one = torch.ones(3)
    start = Start(one, one, 0 * one, 0 * one)
    together = align(samples, torch.arange(3), images, torch.tensor([0, 2, 2]), start, WINDOW)
    for pair in range(3):
        row = slice(pair, pair + 1)
        alone = Start(*(values[row] for values in vars(start).values()))
        single = align(samples, torch.arange(3)[row], images, torch.tensor([0, 2, 2])[row], alone, WINDOW)
        torch.testing.assert_close(single, together[row], atol=1e-4, rtol=1e-3)
