import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.config.geometry import Geometry
from handful.config.train import TrainConfig
from handful.data.dataset import load_folder
from handful.data.survey import resolve_geometry
from handful.errors import UsageError
from handful.images.channels import over_white, rgb_views
from handful.images.colours import to_rgba
from handful.images.decode import decode, resize
from handful.images.grid import grid, to_image
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.augment import apply, draw

CPU = torch.device("cpu")
KINDS = ("color", "translation")


def straight(size=32, seed=0):
    """An RGBA picture with all shades of transparency, and colours under what is transparent."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 4), dtype=np.uint8), "RGBA")


def floats(image, shape=(32, 32)):
    return torch.from_numpy(resize(image, Geometry(shape))).float()[None] / 127.5 - 1


def test_a_straight_picture_survives_premultiplying_where_it_can_be_seen():
    image = straight()
    back = np.asarray(to_image(torch.from_numpy(resize(image, Geometry((32, 32))))), float)
    before = np.asarray(image, float)
    assert (back[..., 3] == before[..., 3]).all()
    seen = before[..., 3] > 127
    assert np.abs(back - before)[seen].max() <= 1
    gone = before[..., 3] == 0
    assert (back[gone] == 0).all()


@given(st.integers(0, 99), st.integers(5, 60), st.integers(5, 60), st.sampled_from(["crop", "squash"]))
@settings(max_examples=30, deadline=None)
def test_no_colour_of_a_resized_picture_is_more_than_its_alpha(seed, height, width, fit):
    pixels = resize(straight(seed=seed), Geometry((height, width), fit=fit))
    assert pixels.shape == (4, height, width)
    assert (pixels[:3] <= pixels[3:]).all()


def test_what_is_transparent_does_not_bleed_its_colour_into_the_edge():
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (16, 16, 48, 48))
    small = np.asarray(to_image(torch.from_numpy(resize(image, Geometry((20, 20))))))
    edge = (small[..., 3] > 20) & (small[..., 3] < 235)
    assert edge.any()
    assert small[edge][:, 0].max() <= 3
    assert small[edge][:, 2].min() >= 250


def test_over_white_equals_what_pillow_makes_of_the_straight_picture():
    image = straight()
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    found = over_white(torch.from_numpy(resize(image, Geometry((32, 32))))[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - np.asarray(white.convert("RGB"))).max() <= 2


def test_views_are_over_black_and_over_white():
    image = straight()
    black, white = rgb_views(floats(image))
    for view, colour in ((black, "black"), (white, "white")):
        under = Image.new("RGBA", image.size, colour)
        under.alpha_composite(image)
        expected = torch.from_numpy(np.asarray(under.convert("RGB")).copy()).permute(2, 0, 1)
        assert ((view[0] + 1) * 127.5 - expected).abs().max() <= 2


def test_the_perceptual_distance_sees_a_change_of_alpha_alone():
    distance = Perceptual(seed=0)
    shown = floats(Image.new("RGBA", (32, 32), (0, 0, 0, 255)))
    hidden = floats(Image.new("RGBA", (32, 32), (0, 0, 0, 128)))
    assert distance(shown, shown).item() == pytest.approx(0, abs=1e-6)
    assert distance(shown, hidden).item() > 1e-3
    grey = torch.rand(2, 1, 32, 32) * 2 - 1
    assert torch.equal(
        distance(grey, grey.flip(0)), distance(grey.expand(-1, 3, -1, -1), grey.flip(0).expand(-1, 3, -1, -1))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_picture_stays_premultiplied_and_what_is_empty_stays_empty(kind):
    images = torch.cat([floats(straight(seed=seed)) for seed in range(8)])
    images[:, :, :8] = -1  # a transparent strip
    random = torch.Generator().manual_seed(0)
    changed = apply(images, (kind,), draw(8, (kind,), random, torch.tensor(1.0)))
    assert changed.shape == images.shape
    if kind != "color":
        assert (changed[:, :3] <= changed[:, 3:] + 1e-5).all()
    else:  # leaves [-1, 1], as that of RGB does
        assert torch.allclose(changed[:, 3], images[:, 3])
        assert (changed[:, :, :8] == -1).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pictures_come_out_in_the_mode_of_their_channels(mode):
    channels = len(Image.new(mode, (1, 1)).getbands())
    images = torch.randint(256, (5, channels, 32, 48), dtype=torch.uint8)
    picture = to_image(images[0])
    assert (picture.mode, picture.size) == (mode, (48, 32))
    sheet = grid(list(images), columns=2)
    assert sheet.mode in ("L", "RGB")


def save(folder, names, image):
    for name in names:
        image.save(folder / name)


def painted(seed, mode):
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, len(mode)), dtype=np.uint8)
    return Image.fromarray(pixels if len(mode) > 1 else pixels[..., 0], mode)


@pytest.mark.parametrize(
    ("modes", "channels"),
    [
        (["L"] * 4, 1),
        (["L"] * 3 + ["RGB"], 3),
        (["RGB"] * 4, 3),
        (["RGBA"] * 2 + ["RGB"] * 2, 4),
        (["RGBA"] + ["RGB"] * 3, 3),
        (["RGBA"] + ["L"] * 3, 3),
    ],
)
def test_channels_are_those_that_the_pictures_need(tmp_path, modes, channels):
    for number, mode in enumerate(modes):
        painted(number, mode).save(tmp_path / f"{number}.png")
    settled = resolve_geometry(TrainConfig(tmp_path, size=32), CPU)
    assert settled.channels == channels
    assert load_folder(tmp_path, settled.geometry).images.shape[1] == channels


def test_grey_pictures_that_are_kept_as_rgb_are_grey_and_opaque_rgba_is_rgb(tmp_path):
    grey = painted(0, "L")
    for number in range(3):
        grey.convert("RGBA").save(tmp_path / f"{number}.png")
    assert resolve_geometry(TrainConfig(tmp_path, size=32), CPU).channels == 1
    painted(1, "RGB").save(tmp_path / "3.png")
    assert resolve_geometry(TrainConfig(tmp_path, size=32), CPU).channels == 3


def test_the_size_is_chosen_by_the_pictures_and_the_device_as_they_are_to_be_looked_at(tmp_path):
    image = Image.new("RGB", (96, 64))
    exif = image.getexif()
    exif[0x0112] = 6  # on its side
    for number in range(3):
        image.save(tmp_path / f"{number}.jpg", exif=exif)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert resolve_geometry(TrainConfig(tmp_path, size="auto"), CPU).size == "64x96"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "I", "F", "I;16"])
def test_every_mode_becomes_rgba(mode):
    image = to_rgba(Image.new(mode, (3, 2)))
    assert (image.mode, image.size) == ("RGBA", (3, 2))


def test_grey_with_alpha_keeps_both():
    assert to_rgba(Image.new("LA", (1, 1), (90, 128))).getpixel((0, 0)) == (90, 90, 90, 128)


def test_decoding_gives_the_channels_that_are_asked_for(tmp_path):
    straight().save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert [decode(data, 32, channels).mode for channels in (1, 3, 4)] == ["L", "RGB", "RGBA"]


@pytest.mark.parametrize("channels", [2, 5, "rgb"])
def test_other_numbers_of_channels_are_refused(channels):
    with pytest.raises(UsageError, match=re.escape(f"channels {channels}")):
        TrainConfig("photos", channels=channels)
