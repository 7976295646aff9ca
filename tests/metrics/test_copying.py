"""Copies: what counts as one, and what does not."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.metrics.copying import COPY, Matches, Space, nearer, thumbnails
from handful.metrics.features import load_extractor
from handful.metrics.reference import Reference


def space(rows: torch.Tensor) -> Space:
    return Space(rows, rows + 1000)


def points(seed: int = 0, count: int = 20, size: int = 8) -> torch.Tensor:
    return torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_set_against_itself_is_all_copies():
    rows = points()
    matches = space(rows).match(rows)
    assert matches.share == 1
    assert matches.novelty == 0
    assert matches.index.tolist() == list(range(20))
    assert not matches.mirrored.any()


def test_a_mirrored_image_is_a_copy_and_is_said_to_be_mirrored():
    rows, turned = points(), points(1)
    matches = Space(rows, turned).match(turned[:5])
    assert matches.share == 1
    assert matches.mirrored.all()
    assert matches.index.tolist() == [0, 1, 2, 3, 4]


def test_novelty_is_the_distance_over_the_median_distance_to_the_five_nearest_others():
    rows = points()
    sample = rows[3:4] + 0.1
    matches = space(rows).match(sample)
    distances = torch.cdist(rows[3:4], rows)[0].sort().values
    # distances[0] is the image itself, so its five nearest others are 1 to 5, and their median is 3.
    assert matches.ratio.item() == pytest.approx(0.1 * 8**0.5 / distances[3].item())


def test_a_mirrored_neighbour_counts_as_a_neighbour_once():
    rows = points()
    symmetric = Space(rows, rows + 1e-9)  # each image and its mirror image are the same
    assert torch.allclose(symmetric.scale, space(rows).scale)


def test_images_do_not_count_as_their_own_mirrored_neighbours():
    rows = points()
    assert (Space(rows, rows + 1e-6).among.ratio > COPY).all()


def test_two_duplicates_in_the_folder_are_seen_among_the_training_images_and_do_not_hide_copies():
    rows = points()
    rows[1] = rows[0]
    folder = space(rows)
    assert folder.among.share == pytest.approx(2 / 20)
    assert folder.match(rows[:1] + 0.01).ratio.item() < COPY


def test_a_folder_of_equal_images_still_tells_copies_from_others():
    rows = torch.ones(12, 4, dtype=torch.float64)
    matches = space(rows).match(torch.stack([torch.ones(4), torch.full((4,), 2.0)]).double())
    assert matches.ratio[0] == 0
    assert matches.ratio[1] == float("inf")


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 100), st.floats(-50, 50))
def test_novelty_does_not_depend_on_the_unit_or_the_origin(unit, origin):
    rows, samples = points(), points(2)
    before = space(rows).match(samples).ratio
    after = space(rows * unit + origin).match(samples * unit + origin).ratio
    assert torch.allclose(before, after, rtol=1e-6)


def test_the_nearer_of_two_spaces_decides():
    one = Matches(torch.tensor([0.1, 0.9], dtype=torch.float64), torch.tensor([3, 4]), torch.tensor([True, False]))
    other = Matches(torch.tensor([0.5, 0.2], dtype=torch.float64), torch.tensor([5, 6]), torch.tensor([False, True]))
    both = nearer([one, other])
    assert both.ratio.tolist() == [0.1, 0.2]
    assert both.index.tolist() == [3, 6]
    assert both.mirrored.tolist() == [True, True]


def test_thumbnails_are_means_of_areas_in_the_range_of_images():
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[:, 0, :16, :16] = 255
    small = thumbnails(image).view(3, 16, 16)
    assert small[0, :8, :8].eq(1).all()
    assert small[1:].eq(-1).all()


def spoiled(images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Copies as a generator makes them: not quite."""
    real = images.float()
    random = torch.Generator().manual_seed(0)
    return {
        "noise": (real + 8 * torch.randn(real.shape, generator=random)).clamp(0, 255).byte(),
        "blur": F.interpolate(F.avg_pool2d(real, 2), scale_factor=2, mode="bilinear").byte(),
        "brighter": (real + 10).clamp(0, 255).byte(),
        "mirrored": images.flip(-1),
        "a fifth of another": (0.8 * real + 0.2 * real.roll(1, 0)).byte(),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "among"), [("cells", 0.03), ("raccoons", 0.08), ("emoji", 0.08)])
def test_on_real_images_spoiled_copies_are_copies_and_fresh_images_are_not(data, name, among):
    images = load_folder(data / name, Geometry((64, 64))).images[:120]
    training, fresh = images[::2], images[1::2]
    extractor = load_extractor("random", torch.device("cpu"))
    reference = Reference.of(training, extractor)

    def share(samples):
        return reference.match(torch.cat([extractor(part) for part in samples.split(16)]), thumbnails(samples)).share

    assert reference.among.share <= among
    assert share(fresh) <= among
    for kind, samples in spoiled(training).items():
        assert share(samples) > 0.85, kind
    # Half of two images each is something new.
    assert share((training.float().add(training.roll(1, 0).float()) / 2).byte()) < 0.15
