"""Pictures of every mode, orientation, profile and shape become the pixels that are wanted."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.images.colours import to_rgb
from handful.images.decode import decode, resize
from pictures import BLUE, GREEN, RED, SMALL, WHITE, noise, paint, pixel, reasons


@pytest.fixture
def folder(tmp_path):
    """Two good pictures, which any folder needs."""
    paint(tmp_path / "photos" / "a.png")
    paint(tmp_path / "photos" / "z.png", BLUE)
    return tmp_path / "photos"


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


@pytest.mark.parametrize("filter", ["lanczos", "bilinear"])
def test_pictures_are_resized_by_the_filter_that_was_asked_for(folder, filter):
    image = noise(64, 64)
    image.save(folder / "m.png")
    dataset = load_folder(folder, Geometry((16, 16), filter=filter))
    expected = image.resize((16, 16), Image.Resampling[filter.upper()])
    made = dataset.images[dataset.names.index("m.png")].permute(1, 2, 0)
    assert np.array_equal(made, np.asarray(expected))


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
