"""Images are divided by the seed, in place, with their labels."""

import pytest
import torch

from handful.config.presets import tiny
from handful.data.classes import NO_CLASS, Classes
from handful.data.dataset import Dataset
from handful.data.training_set import TrainingSet, choose_held_out


def dataset_of(count: int, **options) -> Dataset:
    """Images that are told apart by their first pixel."""
    images = torch.zeros(count, 3, 8, 8, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count)
    return Dataset(images, tuple(f"{index}.png" for index in range(count)), "", (), (), {}, **options)


def numbers(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_images_are_divided_by_the_seed_and_keep_their_order():
    alike = Classes((), (0,) * 44)
    first, again, other = (
        TrainingSet.of(dataset_of(44), alike, tiny("photos", hold_back=0.1, seed=seed)) for seed in (0, 0, 1)
    )
    assert (len(first.images), len(first.held_out)) == (40, 4)
    assert numbers(first.images) == sorted(numbers(first.images))
    assert sorted(numbers(first.images) + numbers(first.held_out)) == list(range(44))
    assert numbers(first.held_out) == numbers(again.held_out) != numbers(other.held_out)


def test_labels_follow_their_images_and_images_of_no_class_are_left_out():
    labels = tuple((index % 3) - (index % 3 == 2) * 3 for index in range(90))
    found = TrainingSet.of(dataset_of(90), Classes(("a", "b"), labels), tiny("photos", hold_back=0.2))
    assert found.classes == ("a", "b")
    assert NO_CLASS in labels
    for images, own in ((found.images, found.labels), (found.held_out, found.held_out_labels)):
        assert [labels[number] for number in numbers(images)] == list(own)
        assert NO_CLASS not in own


def test_a_division_that_is_settled_is_kept():
    found = TrainingSet.of(dataset_of(50, held_out=5), Classes((), (0,) * 50), tiny("photos", hold_back=0.5))
    assert numbers(found.images) == list(range(45))
    assert numbers(found.held_out) == list(range(45, 50))


@pytest.mark.parametrize(("count", "share", "held"), [(39, 0.05, 0), (44, 0.0, 0), (44, 0.25, 11), (200, 0.5, 32)])
def test_how_many_images_are_held_out(count, share, held):
    kept, held_out = choose_held_out(Classes((), (0,) * count), tiny("photos", hold_back=share))
    assert (len(kept), len(held_out)) == (count - held, held)
