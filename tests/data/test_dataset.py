"""A folder of pictures becomes one tensor, whatever lies in the folder."""

import io
import os
import random
import shutil
import stat
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from handful.config.geometry import Geometry
from handful.data.dataset import Dataset, load_folder
from handful.data.photos import ENDINGS, SkippedFile
from handful.errors import UsageError
from handful.files import printable
from handful.images.decode import decode, resize, to_rgb
from handful.progress import Quiet, shown_on

SMALL = Geometry((8, 8))

EMOJI = Path(__file__).parents[3] / "shared" / "data" / "emoji"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def paint(path: Path, colour=RED, size=(16, 16), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def pixel(dataset: Dataset, name: str, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return tuple(dataset.images[dataset.names.index(name), :, y, x].tolist())


def reasons(dataset: Dataset) -> dict[str, str]:
    return {problem.path.as_posix(): problem.reason for problem in dataset.skipped}


@pytest.fixture
def folder(tmp_path):
    """Two good pictures, which any folder needs."""
    paint(tmp_path / "photos" / "a.png")
    paint(tmp_path / "photos" / "z.png", BLUE)
    return tmp_path / "photos"


# What a folder may hold


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
    assert reasons(load_folder(folder, SMALL)) == {"m.jpg": "not an image Pillow can read"}


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


# Links


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


# Names


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


def test_printable_escapes_only_what_cannot_be_printed():
    assert printable("naïve 写真 [1].png") == "naïve 写真 [1].png"
    assert printable(Path("a\nb\x1b[0m.png")) == r"a\nb\x1b[0m.png"
    assert printable(os.fsdecode(b"\xff.png")) == r"\udcff.png"
    assert str(SkippedFile(Path("a\tb.png"), "empty file")) == r"a\tb.png: empty file"


# Pixels


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 77, (77, 77, 77)),
        ("LA", (0, 128), (127, 127, 127)),
        ("La", (0, 128), (127, 127, 127)),
        ("P", RED, RED),
        ("PA", (0, 128), (127, 127, 127)),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBa", (128, 0, 0, 128), (255, 127, 127)),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("CMYK", (0, 255, 255, 0), RED),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("HSV", (0, 255, 255), RED),
        ("LAB", (255, 128, 128), WHITE),
        ("I", 65535, WHITE),
        ("I", 32768, (128, 128, 128)),
        ("I;16", 257, (1, 1, 1)),
        ("I;16B", 65535, WHITE),
        ("I;16L", 65535, WHITE),
        ("F", 1.0, WHITE),
        ("F", 0.5, (128, 128, 128)),
    ],
)
def test_every_mode_becomes_rgb_over_white(mode, colour, expected):
    image = to_rgb(Image.new(mode, (3, 2), colour))
    assert (image.mode, image.size) == ("RGB", (3, 2))
    np.testing.assert_allclose(image.getpixel((2, 1)), expected, atol=2 if mode == "LAB" else 0)


@pytest.mark.parametrize(
    ("mode", "colour", "reason"),
    [
        ("F", 1.5, "floating-point values from 1.5 to 1.5: scale them to 0 to 1"),
        ("F", float("nan"), "floating-point values from nan to nan: scale them to 0 to 1"),
        ("I", 65536, "grey values from 65536 to 65536: scale them to 0 to 65535"),
        ("I", -1, "grey values from -1 to -1: scale them to 0 to 65535"),
    ],
)
def test_grey_of_an_unknown_range_is_refused_with_its_range(folder, mode, colour, reason):
    paint(folder / "m.tif", colour, mode=mode)
    assert reasons(load_folder(folder, SMALL)) == {"m.tif": reason}


def test_16_bit_grey_keeps_its_shades(folder):
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(folder / "m.png")
    Image.fromarray(values.astype(">u2")).save(folder / "m.tif")
    dataset = load_folder(folder, Geometry((16, 16)))
    for name in ("m.png", "m.tif"):
        grey = dataset.images[dataset.names.index(name)]
        assert torch.equal(grey, torch.arange(256, dtype=torch.uint8).reshape(16, 16).expand(3, 16, 16))


@pytest.mark.parametrize(
    ("mode", "colour", "transparency"),
    [
        ("P", 1, 1),
        ("P", 1, b"\xff\x00"),
        ("L", 9, 9),
        ("RGB", RED, RED),
        ("1", 0, 0),
        ("I;16", 700, 700),
    ],
)
def test_a_transparent_colour_is_white(folder, mode, colour, transparency):
    image = Image.new(mode, (8, 8), colour)
    if mode == "P":
        image.putpalette([0, 0, 255, 255, 0, 0])
    image.save(folder / "m.png", transparency=transparency)
    assert pixel(load_folder(folder, SMALL), "m.png") == WHITE


def test_a_palette_with_half_transparent_entries_is_blended(folder):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.save(folder / "m.png", transparency=b"\xff\x80")
    assert pixel(load_folder(folder, SMALL), "m.png") == (255, 127, 127)


def test_alpha_is_composited_before_the_resize_so_hidden_colours_do_not_bleed(folder):
    checks = np.zeros((64, 64, 4), np.uint8)
    checks[..., 2] = 255
    checks[:, ::2] = (255, 0, 0, 255)
    Image.fromarray(checks).save(folder / "m.png")
    red, green, blue = pixel(load_folder(folder, SMALL), "m.png", 4, 4)
    assert red == 255
    assert green == blue == pytest.approx(128, abs=2)


def test_a_cmyk_jpeg_has_its_colours(folder):
    paint(folder / "m.jpg", (0, 255, 255, 0), mode="CMYK", quality=100)
    np.testing.assert_allclose(pixel(load_folder(folder, SMALL), "m.jpg"), RED, atol=3)


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tiff", "avif"])
def test_the_first_frame_is_taken(folder, ending):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, GREEN)]
    frames[0].save(folder / f"m.{ending}", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(pixel(load_folder(folder, SMALL), f"m.{ending}"), RED, atol=3)


def test_a_photo_taken_on_its_side_is_turned_upright(folder):
    image = Image.new("RGB", (32, 32), BLUE)
    image.paste(RED, (0, 0, 16, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # The left edge of what is stored is the top of what was seen.
    image.save(folder / "m.jpg", exif=exif, quality=100, subsampling=0)
    dataset = load_folder(folder, Geometry((32, 32)))
    for x in (0, 31):
        np.testing.assert_allclose(pixel(dataset, "m.jpg", x, 4), RED, atol=3)
        np.testing.assert_allclose(pixel(dataset, "m.jpg", x, 27), BLUE, atol=3)


@pytest.mark.parametrize("ending", ["png", "tiff"])
@pytest.mark.parametrize("orientation", [*range(10), 65535])
def test_every_orientation_is_undone_and_unknown_ones_are_left(folder, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise(7, 5).save(folder / f"m.{ending}", exif=exif)
    with Image.open(folder / f"m.{ending}") as image:
        image.load()
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert decode((folder / f"m.{ending}").read_bytes(), 99).tobytes() == expected.tobytes()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0" * 40])
def test_a_broken_exif_block_does_not_lose_the_picture(folder, exif):
    paint(folder / "m.jpg", exif=exif)
    paint(folder / "m.webp", exif=exif)
    paint(folder / "n.png", exif=exif)
    dataset = load_folder(folder, SMALL)
    assert dataset.skipped == ()
    assert len(dataset.names) == 5


# Fit


def test_crop_keeps_the_centre(folder):
    image = Image.new("RGB", (48, 16), RED)
    image.paste(GREEN, (16, 0, 32, 16))
    image.save(folder / "wide.png")
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "tall.png")
    dataset = load_folder(folder, SMALL)
    for name in ("wide.png", "tall.png"):
        picture = dataset.images[dataset.names.index(name)].permute(1, 2, 0)
        # Pixels just outside the square count towards its edge, as in any picture that goes on there.
        np.testing.assert_allclose(picture, np.broadcast_to(GREEN, (8, 8, 3)), atol=15)
        np.testing.assert_allclose(picture[1:-1, 1:-1], np.broadcast_to(GREEN, (6, 6, 3)), atol=1)


def test_squash_keeps_both_ends(folder):
    image = Image.new("RGB", (48, 16), RED)
    image.paste(BLUE, (24, 0, 48, 16))
    image.save(folder / "wide.png")
    dataset = load_folder(folder, Geometry((8, 8), fit="squash"))
    assert pixel(dataset, "wide.png", 0, 4) == RED
    assert pixel(dataset, "wide.png", 7, 4) == BLUE


@pytest.mark.parametrize("width", [16, 17, 18, 31])
def test_a_picture_of_the_right_height_keeps_its_pixels(width):
    image = noise(width, 16)
    left = (width - 16) // 2
    assert (
        resize(image, Geometry((16, 16))).transpose(1, 2, 0).tobytes() == image.crop((left, 0, left + 16, 16)).tobytes()
    )


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_a_fine_checkerboard_becomes_flat_grey(folder, fit):
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(folder / "m.png")
    dataset = load_folder(folder, Geometry((32, 32), fit=fit))
    grey = dataset.images[dataset.names.index("m.png")].float()
    assert (grey - 127.5).abs().max() <= 2


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_a_strip_is_usable_and_reported_as_small(folder, fit):
    paint(folder / "strip.png", GREEN, (3, 5000))
    paint(folder / "dot.png", GREEN, (1, 1))
    paint(folder / "enough.png", GREEN, (16, 5000))
    dataset = load_folder(folder, Geometry((16, 16), fit=fit))
    assert dataset.small == ("dot.png", "strip.png")
    assert pixel(dataset, "strip.png", 15, 15) == GREEN


def test_a_large_jpeg_is_decoded_reduced_and_looks_the_same(folder):
    image = noise(20, 15).resize((1600, 1200), Image.Resampling.BICUBIC)
    image.save(folder / "m.jpg", quality=95)
    data = (folder / "m.jpg").read_bytes()
    assert decode(data, 3 * 64).size == (400, 300)
    assert decode(data, 3 * 600).size == (1600, 1200)
    dataset = load_folder(folder, Geometry((64, 64)))
    expected = resize(decode(data, 9999), Geometry((64, 64))).astype(np.int16)
    assert np.abs(dataset.images[dataset.names.index("m.jpg")].numpy() - expected).mean() < 1
    assert "m.jpg" not in dataset.small


# Warnings, threads, progress


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
    read_bytes = Path.read_bytes

    def slow(path):
        time.sleep(delays.random() / 200)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", slow)
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
    read = []
    read_bytes = Path.read_bytes

    def slow(path):
        read.append(path)
        time.sleep(0.005)
        return read_bytes(path)

    class Interrupting(Quiet):
        def advance(self, task, done, total):
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "read_bytes", slow)
    with shown_on(Interrupting()), pytest.raises(KeyboardInterrupt):
        load_folder(folder, SMALL)
    assert len(read) < 60


# Fingerprint


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


# Errors


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no-such\\nplace does not exist .*no such file.*: check the path"):
        load_folder(tmp_path / "no-such\nplace", SMALL)


def test_a_file_in_place_of_a_folder_is_named(folder):
    with pytest.raises(UsageError, match=r"a\.png is a file: give the folder with the pictures"):
        load_folder(folder / "a.png", SMALL)


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


# Open-ended


SAVED = [
    *(("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("tiff", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F")),
    *(("jpg", mode) for mode in ("L", "RGB", "CMYK")),
    *(("webp", mode) for mode in ("RGB", "RGBA")),
    *(("gif", mode) for mode in ("L", "P")),
    *(("bmp", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SAVED),
    st.integers(1, 70),
    st.integers(1, 70),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["crop", "squash"]),
    st.sampled_from([1, 3, 4]),
)
def test_a_picture_of_any_mode_and_size_comes_out_as_asked(saved, width, height, shape, fit, channels):
    ending, mode = saved
    with tempfile.TemporaryDirectory() as place:
        for name in ("a", "b"):
            Image.new(mode, (width, height)).save(Path(place) / f"{name}.{ending}")
        dataset = load_folder(Path(place), Geometry(shape, fit=fit, channels=channels))
    assert dataset.skipped == ()
    assert dataset.images.shape == (2, channels, *shape)
    assert dataset.images.dtype == torch.uint8
    assert bool(dataset.small) == (height < shape[0] or width < shape[1])
    if channels == 4:
        assert (dataset.images[:, :3] <= dataset.images[:, 3:]).all()


@pytest.mark.skipif(not EMOJI.is_dir(), reason="shared/data/emoji is not on this machine")
def test_the_emoji_set_is_read_whole(tmp_path):
    dataset = load_folder(EMOJI, Geometry((32, 32)))
    assert dataset.names == tuple(sorted(path.name for path in EMOJI.iterdir()))
    assert dataset.images.shape == (111, 3, 32, 32)
    assert dataset.skipped == ()
    # Transparent around a round face: white corners, and something inside.
    assert (dataset.images[:, :, 0, 0] > 250).all()
    assert (dataset.images.float().mean((1, 2, 3)) < 250).all()


def with_profile(profile: bytes, color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), color).save(file, format="PNG", icc_profile=profile)
    return file.getvalue()


def test_colours_are_converted_by_the_profile_that_an_image_carries():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A profile by which the first channel is green and the second red.
    swapped = srgb.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    assert swapped != srgb
    assert decode(with_profile(srgb, (200, 30, 60)), 40).getpixel((5, 5)) == pytest.approx((200, 30, 60), abs=2)
    assert decode(with_profile(swapped, (200, 30, 60)), 40).getpixel((5, 5)) == pytest.approx((30, 200, 60), abs=2)


@pytest.mark.parametrize("profile", [b"rubbish", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()])
def test_a_profile_that_does_not_fit_costs_nothing(profile):
    assert decode(with_profile(profile, (200, 30, 60)), 40).getpixel((5, 5)) == (200, 30, 60)
