"""Copies: what counts as one, in disguise too, and what does not."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.metrics import copying, lookalikes
from handful.metrics.copying import COPY, Originals, thumbnails

PATH = Path(__file__).parents[2] / "benchmarks/disguised_copies.py"
spec = importlib.util.spec_from_file_location("disguised_copies", PATH)
disguised = importlib.util.module_from_spec(spec)
spec.loader.exec_module(disguised)


def blobs(count: int, seed: int = 0) -> torch.Tensor:
    """Draw smooth random pictures, 64 x 64 pixels, none like another."""
    random = torch.Generator().manual_seed(seed)
    values = F.interpolate(torch.randn(count, 3, 8, 8, generator=random), (64, 64), mode="bicubic")
    return (128 + 60 * values).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def training() -> torch.Tensor:
    return blobs(24)


@pytest.fixture(scope="module")
def originals(training) -> Originals:
    return Originals(training)


def test_a_set_against_itself_is_all_copies(originals, training):
    matches = originals.match(training)
    assert matches.share == 1
    assert matches.index.tolist() == list(range(24))
    assert not matches.mirrored.any()
    assert matches.novelty.max() < 0.1


def test_other_pictures_are_no_copies_and_their_novelty_is_near_one(originals):
    matches = originals.match(blobs(24, seed=1))
    assert matches.share == 0
    assert 0.8 < matches.novelty.median() < 1


@pytest.mark.parametrize("name", [name for name in disguised.COPIES if "half" not in name])
def test_a_disguise_does_not_hide_a_copy(originals, training, name):
    matches = originals.match(disguised.COPIES[name](training))
    assert matches.share == 1
    assert matches.index.tolist() == list(range(24))
    assert matches.mirrored.tolist() == [name.startswith("mirrored")] * 24


def test_half_and_half_is_a_copy_in_parts_and_names_an_image_that_a_part_is_from(originals, training):
    change = disguised.COPIES["left half of one, right half of another"]
    matches = originals.match(change(training))
    assert matches.composite.double().mean() > 0.9
    assert torch.equal(matches.copied, matches.composite | matches.whole)
    assert torch.equal(matches.nearest[matches.composite], matches.parts[matches.composite])
    own = torch.arange(24)
    assert ((matches.index == own) | (matches.index == own.roll(8)))[matches.composite].all()


def test_a_blend_of_two_images_is_new(originals, training):
    assert originals.match(disguised.COPIES["half of another blended in"](training)).share < 0.1


def test_a_photo_that_is_there_twice_is_seen_among_the_training_images_and_hides_no_copy(training):
    shifted = disguised.COPIES["shifted by 7 %"]
    folder = Originals(torch.cat([training, shifted(training[:1])]))
    assert folder.among.share == pytest.approx(2 / 25)
    assert folder.limit == COPY
    assert folder.match(shifted(training)).share == 1


def test_limits_are_lower_where_training_images_are_near_each_other(training):
    # Twelve pairs that differ by a fifth, as drawings of one character do: no pair is a copy.
    pairs = torch.cat([training[:12], (0.8 * training[:12] + 0.2 * training[12:]).to(torch.uint8)])
    kin = Originals(pairs)
    assert kin.limit < COPY
    assert kin.among.share < 0.1
    assert kin.match(pairs).share == 1


@pytest.mark.parametrize("times", [2, 3, 8])
def test_a_photo_that_is_there_many_times_hides_no_copy_of_it(training, times):
    folder = Originals(torch.cat([training, *[training[:1]] * times]))
    assert folder.match(disguised.COPIES["zoomed by 1.18"](training)).whole.all()


def test_where_only_colours_differ_a_copy_is_one_of_the_same_colour():
    flat = 20 * torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 64, 64)
    folder = Originals(flat)
    assert folder.among.share == 0
    assert folder.match(flat).share == 1


def test_a_picture_does_not_depend_on_the_others_in_its_batch(originals, training, monkeypatch):
    samples = torch.cat([training[:3], blobs(6, seed=2)])
    together = originals.match(samples)
    monkeypatch.setattr(copying, "BATCH", 2)
    apart = originals.match(samples)
    torch.testing.assert_close(together.novelty, apart.novelty, atol=1e-4, rtol=1e-3)
    assert torch.equal(together.copied, apart.copied)


def test_of_a_large_set_evenly_spaced_images_are_compared(training, monkeypatch):
    monkeypatch.setattr(copying, "COMPARED", 12)
    monkeypatch.setattr(lookalikes, "BLOCK", 5)
    some = Originals(training)
    matches = some.match(training)
    assert matches.share == pytest.approx(0.5)
    assert set(matches.index.tolist()) <= set(some.places.tolist())
    assert matches.index[some.places].tolist() == some.places.tolist()


def test_the_nearest_come_first_and_begin_with_the_match(originals):
    samples = blobs(4, seed=3)
    around, matches = originals.around(samples, lookalikes.NEXT + 1), originals.match(samples)
    assert torch.equal(around.index[:, 0], matches.index)
    torch.testing.assert_close(around.novelty[:, 0], matches.novelty, atol=1e-4, rtol=1e-3)
    assert (around.novelty.diff(dim=1) >= 0).all()
    assert all(len(set(row)) == lookalikes.NEXT + 1 for row in around.index.tolist())


def test_likeness_orders_copies_before_others(originals, training):
    matches = originals.match(torch.cat([training[:4], blobs(4, seed=4)]))
    assert ((originals.likeness(matches) < 1) == matches.copied).all()


def test_fewer_than_three_images_cannot_be_compared(training):
    with pytest.raises(ValueError, match="at least 3 training images"):
        Originals(training[:2])


def test_thumbnails_are_means_of_areas_and_put_transparency_over_white():
    image = torch.zeros(1, 4, 128, 96, dtype=torch.uint8)
    image[:, 0, :64] = image[:, 3, :64] = 255
    small = thumbnails(image)
    assert small.shape == (1, 3, 64, 64)
    assert small[0, :, :32].flatten(1).float().mean(dim=1).tolist() == [255, 0, 0]
    assert small[0, :, 32:].eq(255).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cells", "raccoons", "emoji"])
def test_on_real_images_copies_are_found_and_fresh_images_are_not_accused(data, name):
    dataset = load_folder(data / name, Geometry((64, 64)))
    groups = disguised.groups_of(dataset.names, disguised.TWINS.get(name, ""))[:90]
    training, fresh = dataset.images[:90:2], dataset.images[1:90:2]
    originals = Originals(thumbnails(training))
    alone = ~torch.isin(groups[1::2], groups[::2])
    assert originals.match(thumbnails(fresh)).copied[alone].double().mean() < 0.05
    for kind in ("zoomed by 1.18", "shifted by 7 %", "colour cast", "mirrored, zoomed by 1.15, shifted by 5 %"):
        assert originals.match(thumbnails(disguised.COPIES[kind](training))).share > 0.94, kind
    assert originals.match(thumbnails(disguised.COPIES["half of another blended in"](training))).share < 0.1
