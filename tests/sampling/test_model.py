"""A trained generator: a seed means one picture, and files bring it back."""

import base64
import copy
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import handful
from handful.errors import UsageError
from handful.images.grid import from_bytes, grid, to_bytes, write_png
from handful.networks import latent
from handful.sampling.model import Model
from support.models import made


@pytest.fixture(scope="module")
def model() -> Model:
    return made(size=64)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6), st.integers(1, 5))
def test_a_seed_gives_the_same_pixels_whatever_comes_with_it(model, seeds, batch):
    together = model.sample(seeds, batch=batch)
    for seed, image in zip(seeds, together, strict=True):
        assert torch.equal(image, model.sample([seed])[0])


def test_not_even_the_last_bit_of_a_pixel_depends_on_the_batch(model, monkeypatch):
    """Before the rounding to bytes, which hides nearly all of what another batch size does to the arithmetic."""
    monkeypatch.setattr("handful.sampling.model.finished", lambda images, name: images)
    together = torch.cat(list(model.stream(range(8), batch=8)))
    for seed in range(8):
        assert torch.equal(together[seed], next(model.stream([seed], batch=1))[0])


def test_latents_and_noise_belong_to_the_seed_and_not_to_its_place():
    z, noise = latent.from_seeds([5, 3, 9], 16, [(4, 4), (8, 8)], torch.device("cpu"))
    for place, seed in enumerate([5, 3, 9]):
        alone, alone_noise = latent.from_seeds([seed], 16, [(4, 4), (8, 8)], torch.device("cpu"))
        assert torch.equal(z[place], alone[0])
        assert all(torch.equal(maps[place], other[0]) for maps, other in zip(noise, alone_noise, strict=True))
    assert not torch.equal(z[0], z[1])
    assert not torch.equal(noise[1][0], noise[1][1])


def test_a_picture_is_drawn_with_the_calibrated_statistics_and_leaves_them_alone(model):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    pictures = model.sample(range(2))
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    changed = copy.deepcopy(model.network)
    with torch.no_grad():
        changed.blocks["64"].norm.running_var.mul_(4)
    assert not torch.equal(pictures, Model(changed).sample(range(2)))


def test_half_precision_draws_nearly_the_same_picture(model):
    exact = model.sample(range(4)).int()
    for precision, most in (("bf16", 1.5), ("fp16", 0.3)):
        difference = (Model(model.network, precision).sample(range(4)).int() - exact).abs().float()
        assert 0 < difference.mean() < most


def test_compiling_without_a_compiler_is_refused(model, monkeypatch):
    monkeypatch.setattr("handful.sampling.model.can_compile", lambda device: False)
    with pytest.raises(UsageError, match=r"compile: cpu needs a C\+\+ compiler"):
        Model(model.network, compile=True)


def test_different_seeds_give_different_pictures(model):
    images = model.sample(range(8)).float()
    for i in range(8):
        for j in range(i):
            assert (images[i] - images[j]).abs().mean() > 5


def test_samples_are_bytes_and_images_are_pillows(model):
    images = model.sample([3, 4])
    assert images.shape == (2, 3, 64, 64)
    assert images.dtype == torch.uint8
    pictures = model.images([3, 4])
    assert pictures[0].mode == "RGB"
    assert np.array_equal(np.asarray(pictures[1]).transpose(2, 0, 1), images[1].numpy())


@pytest.mark.parametrize(("seeds", "batch", "text"), [([], 1, "no seeds"), ([-1], 1, "seed -1"), ([1], 0, "batch 0")])
def test_senseless_requests_are_refused(model, seeds, batch, text):
    with pytest.raises(UsageError, match=text):
        model.sample(seeds, batch=batch)


def test_a_saved_model_gives_the_same_pictures_from_folder_and_file(model, tmp_path):
    model.save(tmp_path / "run" / "model")
    expected = model.sample(range(3))
    for source in ("run", "run/model", "run/model/model.safetensors"):
        assert torch.equal(handful.load(tmp_path / source).sample(range(3)), expected)
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["size"] == 64
    assert sorted(path.name for path in (tmp_path / "run" / "model").iterdir()) == ["config.json", "model.safetensors"]


def test_others_may_read_a_saved_model_as_any_file(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "plain").touch()
    for path in tmp_path.iterdir():
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode, path


def test_saving_twice_gives_the_same_bytes(model, tmp_path):
    model.save(tmp_path / "a")
    model.save(tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_what_is_not_a_model_is_refused_with_its_name(model, tmp_path):
    with pytest.raises(UsageError, match=r"nowhere: does not exist; give a run folder"):
        handful.load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"has no model.safetensors; if it is a run folder"):
        handful.load(tmp_path)
    model.save(tmp_path / "cut")
    file = tmp_path / "cut" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"model.safetensors: cannot be read .* may be cut short"):
        handful.load(tmp_path / "cut")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=r"other.safetensors: is not a model of this version of handful"):
        handful.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "quantum"])
def test_a_device_that_is_not_there_is_named(device, model, tmp_path):
    model.save(tmp_path)
    with pytest.raises(UsageError, match=f"device {device}: not available"):
        handful.load(tmp_path, device=device)


def test_bytes_and_floats_convert_back_and_forth():
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_bytes(from_bytes(values)), values)
    assert from_bytes(values).min() == -1
    assert from_bytes(values).max() == 1
    assert to_bytes(torch.tensor([-2.0, 0.0, 2.0]).view(1, 1, 1, 3)).flatten().tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("count", "height", "width", "columns"),
    [(36, 4, 4, 6), (36, 64, 96, 6), (3, 4, 4, 3), (10, 4, 4, 5), (1, 4, 4, 1), (5, 8, 32, 1), (7, 4, 4, 4)],
)
def test_a_grid_is_about_square_and_its_last_row_full_if_it_can(count, height, width, columns):
    sheet = grid([torch.zeros(3, height, width, dtype=torch.uint8)] * count)
    assert sheet.width == columns * (width + 2) - 2


def test_a_grid_holds_the_images_in_order(tmp_path):
    images = [torch.full((3, 4, 4), value, dtype=torch.uint8) for value in (10, 20, 30, 40, 50)]
    sheet = grid(images)
    assert sheet.size == (3 * 4 + 2 * 2, 2 * 4 + 2)
    pixels = np.asarray(sheet)
    assert [pixels[y, x, 0] for y, x in ((0, 0), (0, 6), (0, 12), (6, 0), (6, 6), (6, 12))] == [10, 20, 30, 40, 50, 255]
    write_png(tmp_path / "deep" / "grid.png", sheet)
    with Image.open(tmp_path / "deep" / "grid.png") as written:
        assert np.array_equal(np.asarray(written), pixels)


def test_seeds_are_asked_for_as_a_number_a_text_numbers_or_latents(model):
    assert len(model.images()) == 16
    four = model.sample(4)
    assert torch.equal(four, model.sample([0, 1, 2, 3]))
    assert torch.equal(model.sample("0-1,3"), four[[0, 1, 3]])
    assert torch.equal(model.sample(model.latents("2,0")), four[[2, 0]])
    assert [picture.size for picture in model.images(seeds=range(2))] == [(64, 64)] * 2
    for wrong, text in ((0, "no seeds"), ("", "seeds : '' is not a number"), ("x", "seeds x: 'x' is not a number")):
        with pytest.raises(UsageError, match=text):
            model.sample(wrong)


def shown(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_a_notebook_shows_pictures_as_a_grid_and_a_model_with_some(model):
    pictures = model.images(4)
    assert isinstance(pictures, list)
    assert np.array_equal(np.asarray(shown(pictures._repr_png_())), np.asarray(grid(list(model.sample(4)))))
    assert max(shown(made(size=256).images(25)._repr_png_()).size) <= 1024
    html = model._repr_html_()
    png = base64.b64decode(html.split("base64,")[1].split('"')[0])
    assert np.array_equal(np.asarray(shown(png)), np.asarray(model.images(8).grid()))


def test_a_model_says_what_it_is_and_where_it_comes_from(model, tmp_path):
    assert repr(model) == "Model(64x64 RGB, width 8, 1.4 M parameters, cpu)"
    assert model.run is None
    model.save(tmp_path / "best")
    loaded = handful.load(tmp_path / "best", device="cpu")
    assert repr(loaded) == f"Model(64x64 RGB, width 8, 1.4 M parameters, from {tmp_path / 'best'}, cpu)"
    assert loaded.run is None
    classes = made(size="48x32", channels=1, classes=("cats", "dogs"))
    assert repr(classes).startswith("Model(48x32 grey, width 8, ")
    assert repr(classes).endswith(" M parameters, 2 classes, cpu)")
    assert repr(model.latents("3,7")) == "Latents(2 of 256 numbers: 3, 7)"
