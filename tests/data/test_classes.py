import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful.config.presets import tiny
from handful.data.classes import (
    MIN_CLASS_IMAGES,
    NO_CLASS,
    OTHER,
    class_folders,
    class_names_of,
    classes_from_folders,
    in_proportion,
)
from handful.data.order import batch_indices
from handful.data.training_set import choose_held_out
from handful.errors import UsageError


def images(**counts):
    """Names of so many images in each folder."""
    return [f"{folder}/{number:03d}.png" for folder, count in counts.items() for number in range(count)]


def test_the_first_folder_is_the_class_and_classes_are_in_alphabetical_order():
    found = classes_from_folders([*images(dogs=9), *images(cats=8), "cats/deep/down.png"])
    assert found.names == ("cats", "dogs")
    assert Counter(found.labels) == {0: 9, 1: 9}
    assert found.labels[0] == 1
    assert found.notes == ("2 classes, each shown equally often: cats 9, dogs 9",)


def test_small_classes_become_one_and_that_is_said():
    found = classes_from_folders(images(cats=20, dogs=20, newts=5, owls=4))
    assert found.names == ("cats", "dogs", OTHER)
    assert Counter(found.labels) == {0: 20, 1: 20, 2: 9}
    assert "merged into other: newts 5, owls 4" in found.notes[1]


def test_a_folder_that_is_called_other_takes_the_small_ones_in():
    found = classes_from_folders(images(cats=20, other=20, newts=5))
    assert found.names == ("cats", OTHER)
    assert Counter(found.labels) == {0: 20, 1: 25}


def test_classes_that_are_too_small_even_together_are_left_out_and_that_is_said():
    found = classes_from_folders(images(cats=20, dogs=20, newts=5))
    assert found.names == ("cats", "dogs")
    assert Counter(found.labels) == {0: 20, 1: 20, NO_CLASS: 5}
    assert "left out: newts 5" in found.notes[1]


@pytest.mark.parametrize("counts", [{"cats": 50}, {"cats": 50, "newts": 3}, {"newts": 3, "owls": 4}])
def test_fewer_than_two_classes_are_none_and_no_image_is_lost(counts):
    found = classes_from_folders(images(**counts))
    assert found.names == ()
    assert set(found.labels) == {0}
    assert "--labels folders has no effect" in found.notes[0]


def test_images_in_no_sub_folder_are_named():
    names = [f"{number}.png" for number in range(9)]
    with pytest.raises(UsageError, match=re.escape("9 images lie in no sub-folder (0.png, 1.png")) as caught:
        classes_from_folders([*names, *images(cats=9)])
    assert "or leave labels out" in str(caught.value)


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 30), min_size=1))
def test_each_class_that_is_left_is_large_enough(counts):
    found = classes_from_folders(images(**counts))
    assert len(found.labels) == sum(counts.values())
    sizes = Counter(found.labels)
    for number, _ in enumerate(found.names):
        assert sizes[number] >= MIN_CLASS_IMAGES
    assert len(found.names) != 1


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(8, 60), min_size=2), st.floats(0, 0.5), st.integers(0, 9))
def test_no_class_loses_more_than_half_to_those_held_back(counts, share, seed):
    found = classes_from_folders(images(**counts))
    kept, unseen = choose_held_out(found, tiny("photos", hold_back=share, seed=seed))
    assert sorted(kept + unseen) == list(range(len(found.labels)))
    left = Counter(found.labels[place] for place in kept)
    for number, size in Counter(found.labels).items():
        assert left[number] >= size / 2


def test_images_that_are_of_no_class_are_neither_trained_on_nor_held_back():
    found = classes_from_folders(images(cats=30, dogs=30, newts=5))
    kept, unseen = choose_held_out(found, tiny("photos"))
    assert len(unseen) == 3
    assert all(found.labels[place] != NO_CLASS for place in kept + unseen)


def test_classes_have_their_turns_as_often_and_images_of_a_class_too():
    members = [range(10), range(10, 14), range(14, 20)]
    seen = [image for step in range(40) for image in batch_indices(3, step, 3, members)]
    owner = {image: number for number, each in enumerate(members) for image in each}
    for start in range(0, len(seen), 3):
        assert {owner[image] for image in seen[start : start + 3]} == {0, 1, 2}
    for number, each in enumerate(members):
        mine = [image for image in seen if owner[image] == number]
        for start in range(0, len(mine) - len(each) + 1, len(each)):
            assert sorted(mine[start : start + len(each)]) == list(each)
    first = [owner[image] for image in seen]
    assert first[:3] != first[3:6] or first[3:6] != first[6:9]


def test_the_class_of_an_image_is_its_folder_or_else_the_one_for_others():
    names = ["cats/1.png", "newts/1.png", "1.png"]
    assert class_names_of(names, ("cats", "dogs")) == ["cats", None, None]
    assert class_names_of(names, ("cats", OTHER)) == ["cats", OTHER, OTHER]


def test_folders_that_all_images_have_in_common_are_no_class():
    deep = [f"photos/all/{name}" for name in images(cats=9, dogs=9)]
    assert classes_from_folders(deep) == classes_from_folders(images(cats=9, dogs=9))
    assert classes_from_folders([f"photos/{name}" for name in images(cats=9)]).names == ()
    assert class_folders(["cats/a/1.png", "cats/b/1.png"]) == ["a", "b"]
    assert class_folders(["cats/1.png", "cats/2.png"]) == ["cats", "cats"]
    assert class_folders([]) == []


def test_pictures_are_of_each_class_as_often_as_images_are():
    assert in_proportion(["b", "a", "a", "a"], 8) == ["a"] * 6 + ["b"] * 2
    assert in_proportion(["b", "a", "a", "a"], 2) == ["a", "a"]


@pytest.mark.parametrize("wrapped", ["", "set/"])
@pytest.mark.parametrize("splits", [("train", "val", "test"), ("Training", "Validation"), ("train", "holdout")])
def test_splits_are_no_classes_and_the_folders_below_them_are(splits, wrapped):
    names = [
        f"{wrapped}{split}/{animal}/{index}.png" for split in splits for animal in ("cat", "dog") for index in "0123"
    ]
    assert Counter(class_folders(names)) == {"cat": 4 * len(splits), "dog": 4 * len(splits)}
    assert classes_from_folders(names).names == ("cat", "dog")


def test_images_directly_in_splits_have_no_class():
    with pytest.raises(UsageError, match="20 images lie in no folder of a class, since train, val and test are splits"):
        classes_from_folders(images(train=10, test=10))


def test_a_split_beside_a_class_is_a_class():
    assert classes_from_folders(images(train=10, plane=10)).names == ("plane", "train")
