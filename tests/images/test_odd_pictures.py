"""Hundreds of odd files: each has the colours that its maker meant, or is refused in words."""

import re
from pathlib import Path

import numpy as np
import pytest

from handful.config.geometry import Geometry
from handful.data.checkup.examine import check
from handful.data.dataset import Dataset, load_folder
from odd.case import Odd
from odd.folder import table, write


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> tuple[dict[str, Odd], Dataset]:
    """All files, and what was read of them."""
    folder = tmp_path_factory.mktemp("odd")
    return write(folder), load_folder(folder, Geometry((48, 64), 4, "squash"))


def test_every_file_is_read_or_refused_in_words(odd):
    files, dataset = odd
    why = {file.path.as_posix(): file.why for file in dataset.skipped}
    assert len(files) >= 300
    for name, file in files.items():
        assert bool(file.refused) == (name in why), f"{name}: {why.get(name, 'read')}"
        assert re.search(file.refused, why.get(name, "")), f"{name}: {why[name]}"
        assert "<_io" not in why.get(name, "")


def test_every_picture_has_the_colours_that_its_maker_meant(odd):
    files, dataset = odd
    wrong = []
    for name, image in zip(dataset.names, dataset.images.numpy(), strict=True):
        for colour, column in ((files[name].left, 12), (files[name].right, 52)):
            alpha = colour[3]
            expected = np.array([value * alpha / 255 for value in colour[:3]] + [alpha])
            if np.abs(image[:, 24, column] - expected).max() > files[name].levels + 0.5:
                wrong.append(f"{name}: {image[:, 24, column]} in place of {expected}")
    assert wrong == []


def test_check_takes_and_refuses_the_same_files(odd, tmp_path):
    _files, dataset = odd
    write(tmp_path)
    folder = check(tmp_path, 64, "squash").folder
    assert {file.name for file in folder.files} == set(dataset.names)
    assert {str(file) for file in folder.skipped} == {str(file) for file in dataset.skipped}


def test_the_document_has_the_table_of_these_files():
    pytest.importorskip("pillow_heif")
    assert table() in (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
