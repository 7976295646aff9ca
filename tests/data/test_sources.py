"""Folders are searched with all their links, whatever the names in them."""

import os

import pytest

from handful.data.dataset import load_folder
from handful.errors import UsageError
from pictures import BLUE, GREEN, SMALL, paint


@pytest.fixture
def folder(tmp_path):
    """Two good pictures, which any folder needs."""
    paint(tmp_path / "photos" / "a.png")
    paint(tmp_path / "photos" / "z.png", BLUE)
    return tmp_path / "photos"


def test_links_to_files_and_directories_are_followed(folder, tmp_path):
    paint(tmp_path / "elsewhere" / "far.png", GREEN)
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "one.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    assert load_folder(folder, SMALL).names == ("a.png", "linked/far.png", "one.png", "z.png")


def test_link_loops_end_and_each_directory_is_read_once_under_its_real_name(folder):
    paint(folder / "real" / "m.png")
    (folder / "real" / "up").symlink_to("..")
    for name in ("again", "unreal"):
        (folder / name).symlink_to("real")
    (folder / "self").symlink_to(".")
    assert load_folder(folder, SMALL).names == ("a.png", "real/m.png", "z.png")


@pytest.mark.parametrize(
    "name",
    ["naïve 写真 🦝.png", "é" * 125 + "x.png", "[red]a[bold].png", "two\nlines.png", os.fsdecode(b"byte-\xff.png")],
)
def test_any_name_is_read_and_can_be_printed(folder, name):
    paint(folder / "m.png").rename(folder / name)
    dataset = load_folder(folder, SMALL)
    assert name in dataset.names
    assert len(dataset.fingerprint) == 64
    (folder / name).write_bytes(b"broken")
    (problem,) = load_folder(folder, SMALL).skipped
    assert str(problem).isprintable()
    str(problem).encode()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no-such\\nplace does not exist .*no such file.*: check the path"):
        load_folder(tmp_path / "no-such\nplace", SMALL)


def test_a_file_in_place_of_a_folder_is_named(folder):
    with pytest.raises(UsageError, match=r"a\.png is a file: give the folder with the pictures"):
        load_folder(folder / "a.png", SMALL)
