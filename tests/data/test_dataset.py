"""A folder of pictures becomes one tensor, whatever lies in the folder."""

import io
import os
import random
import shutil
import stat
import struct
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.data.grey_bits import measure_bits
from handful.data.order import natural_key
from handful.data.photos import ENDINGS, Photos
from handful.data.sources import open_photos
from handful.data.survey import choose_channels, read_shapes
from handful.errors import UsageError
from handful.progress import Quiet, shown_on
from pictures import BLUE, GREEN, RED, SMALL, noise, paint, pixel, reasons


@pytest.fixture
def folder(tmp_path):
    """Two good pictures, which any folder needs."""
    paint(tmp_path / "photos" / "a.png")
    paint(tmp_path / "photos" / "z.png", BLUE)
    return tmp_path / "photos"


def test_pictures_come_as_one_contiguous_uint8_tensor_in_the_order_of_their_names(folder):
    paint(folder / "b" / "inside.png", GREEN)
    dataset = load_folder(folder, SMALL)
    assert dataset.names == ("a.png", "b/inside.png", "z.png")
    assert dataset.images.shape == (3, 3, 8, 8)
    assert dataset.images.dtype == torch.uint8
    assert dataset.images.is_contiguous()
    assert [pixel(dataset, name) for name in dataset.names] == [RED, GREEN, BLUE]
    assert dataset.skipped == ()
    assert dataset.ignored == {}


@pytest.mark.parametrize("ending", [*sorted(ENDINGS), ".JPG", ".Png", ".TIFF"])
def test_each_known_ending_is_read_in_any_case(folder, ending):
    paint(folder / f"m{ending}")
    np.testing.assert_allclose(pixel(load_folder(folder, SMALL), f"m{ending}"), RED, atol=3)


def test_a_picture_is_read_by_its_content_where_the_ending_is_wrong(folder):
    paint(folder / "m.jpg", GREEN, format="PNG")
    assert pixel(load_folder(folder, SMALL), "m.jpg") == GREEN


def test_postscript_is_never_handed_to_an_interpreter(folder):
    (folder / "m.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert reasons(load_folder(folder, SMALL)) == {"m.jpg": "PostScript file: save it as PNG or JPEG"}


def test_other_endings_are_counted_and_hidden_names_are_not(folder):
    for name in ("1.heic", "2.HEIC", "notes.txt", "README", ".hidden.png", "._a.png", ".thumbnails/small.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not to be read")
    dataset = load_folder(folder, SMALL)
    assert dataset.ignored == {"": 1, ".heic": 2, ".txt": 1}
    assert dataset.names == ("a.png", "z.png")
    assert dataset.skipped == ()


def test_a_directory_named_like_a_picture_is_searched(folder):
    paint(folder / "x.png" / "inside.png")
    assert load_folder(folder, SMALL).names == ("a.png", "x.png/inside.png", "z.png")


def test_bad_files_are_listed_with_a_reason_and_the_rest_goes_on(folder):
    whole = io.BytesIO()
    noise(64, 64).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:-500])
    whole = io.BytesIO()
    noise(64, 64).save(whole, "PNG")
    (folder / "cut.png").write_bytes(whole.getvalue()[:5000])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "zero.png").touch()
    (folder / "dangling.png").symlink_to("/nowhere/at/all.png")
    (folder / "dangling").symlink_to("/nowhere")
    (folder / "itself.png").symlink_to("itself.png")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    dataset = load_folder(folder, SMALL)
    assert dataset.names == ("a.png", "z.png")
    assert [pixel(dataset, name) for name in dataset.names] == [RED, BLUE]
    assert reasons(dataset) == {
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "dangling": "link to a missing file",
        "dangling.png": "link to a missing file",
        "itself.png": "too many levels of symbolic links",
        "pipe.png": "not a regular file",
        "text.jpg": "not an image Pillow can read",
        "zero.png": "empty file",
    }
    assert [problem.path for problem in dataset.skipped] == sorted(problem.path for problem in dataset.skipped)


def test_devices_are_not_opened(folder):
    try:
        os.mknod(folder / "zeros.png", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except OSError:
        pytest.skip("making a device file needs root")
    assert reasons(load_folder(folder, SMALL)) == {"zeros.png": "not a regular file"}


def test_a_file_or_directory_without_permission_is_listed(folder, monkeypatch):
    paint(folder / "locked.png")
    paint(folder / "closed" / "inside.png")

    def refuse(method):
        def stand_in(path, *mode):
            if path.name in ("locked.png", "closed"):
                raise PermissionError(13, "Permission denied", str(path))
            return method(path, *mode)

        return stand_in

    monkeypatch.setattr(Path, "open", refuse(Path.open))
    monkeypatch.setattr(Path, "iterdir", refuse(Path.iterdir))
    assert reasons(load_folder(folder, SMALL)) == dict.fromkeys(["closed", "locked.png"], "permission denied")


@pytest.mark.parametrize(
    "error",
    [OSError("broken data stream"), SyntaxError("bad"), ValueError(), EOFError(), MemoryError(), RuntimeError()],
)
def test_whatever_a_decoder_raises_costs_one_file(folder, monkeypatch, error):
    paint(folder / "m.bmp")

    def fail(image):
        raise error

    monkeypatch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", fail)
    dataset = load_folder(folder, SMALL)
    assert list(reasons(dataset)) == ["m.bmp"]
    assert reasons(dataset)["m.bmp"].startswith(("damaged (", "not enough memory"))


@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "PNG"}, {"format": "GIF"}, {"format": "WEBP"}])
def test_a_picture_cut_anywhere_never_crashes(folder, options):
    whole = io.BytesIO()
    noise(24, 24).save(whole, **options)
    for length in range(1, len(whole.getvalue()), 41):
        (folder / f"cut-{length}.png").write_bytes(whole.getvalue()[:length])
    dataset = load_folder(folder, SMALL)
    assert len(dataset.names) + len(dataset.skipped) == len(list(folder.iterdir()))
    assert "truncated" in reasons(dataset).values() or options["format"] == "WEBP"


def test_pillow_warnings_reach_nobody_and_filters_are_put_back(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    paint(folder / "large.png", size=(40, 40))
    paint(folder / "huge.png", size=(80, 80))
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        dataset = load_folder(folder, SMALL)
    assert seen == []
    assert warnings.filters == before
    assert dataset.names == ("a.png", "large.png", "z.png")
    assert reasons(dataset) == {"huge.png": "too many pixels for Pillow: make it smaller"}


def test_the_result_does_not_depend_on_the_timing_or_number_of_threads(folder, monkeypatch):
    for index in range(24):
        paint(folder / f"{index}.png", (index, 0, 0))
    (folder / "5.png").write_text("broken")
    first = load_folder(folder, SMALL)
    delays = random.Random(0)
    read = Photos.read

    def slow(photos, file):
        time.sleep(delays.random() / 200)
        return read(photos, file)

    monkeypatch.setattr(Photos, "read", slow)
    for cores in (1, 2, 8):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        again = load_folder(folder, SMALL)
        assert torch.equal(again.images, first.images)
        assert (again.names, again.fingerprint, again.skipped) == (first.names, first.fingerprint, first.skipped)
    assert pixel(first, "6.png") == (6, 0, 0)
    assert first.names == tuple(sorted(first.names))


def test_progress_counts_every_file_from_the_calling_thread(folder):
    (folder / "broken.png").touch()
    calls = []

    class Counting(Quiet):
        def advance(self, task, done, total):
            calls.append((task, done, total, threading.get_ident()))

    with shown_on(Counting()):
        load_folder(folder, SMALL, "reading")
    here = threading.get_ident()
    assert calls == [("reading", done, 3, here) for done in (1, 2, 3)]


def test_an_interrupt_in_progress_stops_the_reading(folder, monkeypatch):
    for index in range(60):
        paint(folder / f"{index}.png")
    begun = []
    read = Photos.read

    def slow(photos, file):
        begun.append(file)
        time.sleep(0.005)
        return read(photos, file)

    class Interrupting(Quiet):
        def advance(self, task, done, total):
            raise KeyboardInterrupt

    monkeypatch.setattr(Photos, "read", slow)
    with shown_on(Interrupting()), pytest.raises(KeyboardInterrupt):
        load_folder(folder, SMALL)
    assert 0 < len(begun) < 60


def test_the_fingerprint_follows_names_and_bytes_but_not_the_place(folder, tmp_path):
    first = load_folder(folder, SMALL).fingerprint
    shutil.copytree(folder, tmp_path / "moved")
    assert load_folder(tmp_path / "moved", Geometry((16, 16), fit="squash")).fingerprint == first
    (folder / "a.png").rename(folder / "b.png")
    renamed = load_folder(folder, SMALL).fingerprint
    paint(folder / "b.png", GREEN)
    changed = load_folder(folder, SMALL).fingerprint
    paint(folder / "c.png", GREEN)
    added = load_folder(folder, SMALL).fingerprint
    assert len({first, renamed, changed, added}) == 4
    (folder / "broken.png").touch()
    (folder / "notes.txt").touch()
    assert load_folder(folder, SMALL).fingerprint == added


def test_a_folder_of_other_files_says_what_was_seen_and_what_to_do(tmp_path):
    for name in ("1.heic", "2.heic", "3.HEIC", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"3 \.heic files, 1 \.txt file: convert them to PNG or JPEG first"):
        load_folder(tmp_path, SMALL)


def test_an_empty_folder_is_named_with_the_links_that_lead_nowhere(tmp_path):
    with pytest.raises(UsageError, match=r"holds no pictures \(.*\.png.*\); add some$"):
        load_folder(tmp_path, SMALL)
    (tmp_path / "disk").symlink_to("/nowhere")
    with pytest.raises(UsageError, match="add some\n  disk: link to a missing file"):
        load_folder(tmp_path, SMALL)


def test_fewer_than_two_usable_pictures_lists_the_first_bad_ones(tmp_path):
    paint(tmp_path / "good.png")
    with pytest.raises(UsageError, match=r"holds 1 usable picture; training needs at least 2: add pictures$"):
        load_folder(tmp_path, SMALL)
    for index in range(7):
        (tmp_path / f"bad{index}.png").touch()
    with pytest.raises(UsageError, match=r"repair these:\n  bad0\.png: empty file\n") as caught:
        load_folder(tmp_path, SMALL)
    assert str(caught.value).endswith("bad4.png: empty file\n  and 2 more")


def test_the_emoji_set_is_read_whole(emoji):
    dataset = load_folder(emoji, Geometry((32, 32)))
    assert dataset.names == tuple(sorted(path.name for path in emoji.iterdir()))
    assert dataset.images.shape == (111, 3, 32, 32)
    assert dataset.skipped == ()
    # Transparent around a round face: white corners, and something inside.
    assert (dataset.images[:, :, 0, 0] > 250).all()
    assert (dataset.images.float().mean((1, 2, 3)) < 250).all()


def test_fewer_pictures_can_be_asked_for_and_are_evenly_spaced(folder):
    for index in range(8):
        paint(folder / f"m{index}.png")
    dataset = load_folder(folder, SMALL, most=5)
    assert (dataset.names, dataset.left_out) == (("a.png", "m1.png", "m3.png", "m5.png", "m7.png"), 5)
    assert load_folder(folder, SMALL).left_out == 0


def test_nothing_of_pillow_and_its_libraries_is_printed_without_the_name_of_a_file(folder, monkeypatch, capfd):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    whole = io.BytesIO()
    noise(16, 16).save(whole, "TIFF", compression="tiff_lzw")
    data = whole.getvalue()
    (folder / "cut.tif").write_bytes(data[: len(data) // 2])
    (folder / "spoiled.tif").write_bytes(data[:100] + b"\xff" * 200 + data[300:])
    (folder / "samples.tif").write_bytes(data.replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHI", 277, 4, 1)))
    with warnings.catch_warnings(record=True) as seen:
        dataset = load_folder(folder, SMALL)
        read_shapes(folder)
        choose_channels(folder)
        measure_bits(open_photos(folder), open_photos(folder).files)
    assert {"cut.tif", "spoiled.tif"} <= set(reasons(dataset))
    assert reasons(dataset)["cut.tif"] == "truncated"
    assert [str(warning.message) for warning in seen] == []
    assert capfd.readouterr().err == ""


def test_lists_for_people_are_in_their_order_and_the_images_stay_in_that_of_bytes(folder):
    for index in (10, 9, 1):
        (folder / f"Bad{index}.png").touch()
        paint(folder / f"m{index}.png")
    dataset = load_folder(folder, SMALL)
    assert [file.path.name for file in dataset.skipped] == ["Bad1.png", "Bad9.png", "Bad10.png"]
    assert dataset.names == ("a.png", "m1.png", "m10.png", "m9.png", "z.png")
    names = ["x", "b10", "B9", "a2b", "a10", "a002", "a2", "9" * 5000, "10"]
    assert sorted(names, key=natural_key) == ["10", "9" * 5000, "a002", "a2", "a2b", "a10", "B9", "b10", "x"]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "IMG_1.jpg", "IMG_1"])
def test_heic_is_named_with_the_remedy_where_its_package_is_missing(folder, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folder / name).write_bytes(HEIC)
    told = {name: "HEIC picture: pip install 'handful[heic]', or save it as JPEG"}
    assert reasons(load_folder(folder, SMALL)) == told
    for good in ("a.png", "z.png"):
        (folder / good).unlink()
    with pytest.raises(UsageError, match=r"pip install 'handful\[heic\]'"):
        load_folder(folder, SMALL)


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "IMG_1", "IMG_1.mp4"])
def test_a_jpeg_of_another_name_is_a_picture(folder, name):
    (folder / name).write_bytes((paint(folder.parent / "x.jpg", RED)).read_bytes())
    np.testing.assert_allclose(pixel(load_folder(folder, SMALL), name), RED, atol=3)
    assert load_folder(folder, SMALL).ignored == {}
