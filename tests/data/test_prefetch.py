"""Batches are read before they are asked for, from a file or from memory."""

import pytest
import torch

from handful.data.cache import allocate_in_file, mapped_file
from handful.data.prefetch import Prefetcher, batch_reader

CPU = torch.device("cpu")


def pixels(count: int = 41) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=random)


def test_batches_are_read_ahead_and_are_those_asked_for_whatever_was_expected(tmp_path):
    images = allocate_in_file(tmp_path / "images.uint8", (41, 3, 8, 8))
    images.copy_(pixels())
    assert mapped_file(images[:30]) == tmp_path / "images.uint8"
    draw = batch_reader(images, CPU)
    assert isinstance(draw, Prefetcher)
    asked = [torch.tensor(numbers) for numbers in ([0, 5], [3, 3], [40, 1], [2, 9])]
    for now, coming in zip(asked, [*asked[1:3], asked[0], asked[1]], strict=True):
        assert torch.equal(draw(now, coming), images[now])


def test_images_in_memory_are_drawn_at_once():
    images = pixels()
    assert mapped_file(images) is None
    assert not isinstance(batch_reader(images, CPU), Prefetcher)


def test_a_failure_in_the_thread_is_raised_where_the_batch_is_asked_for():
    draw = Prefetcher(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), pinned=False)
    draw(torch.tensor([0]), torch.tensor([9]))
    with pytest.raises(IndexError, match="out of bounds"):
        draw(torch.tensor([9]), torch.tensor([0]))
