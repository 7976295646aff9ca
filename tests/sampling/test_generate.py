"""Pictures into files: written beside the computing, whole or not at all, and errors are not lost."""

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from handful.errors import UsageError
from handful.images.grid import to_image, write_png
from handful.progress import Quiet
from handful.sampling.generate import IN_FLIGHT, WRITERS, generate
from handful.sampling.latents import Latents
from handful.sampling.model import Model
from notes import Notes
from support.models import made


@pytest.fixture(scope="module")
def model() -> Model:
    return made()


@pytest.fixture(scope="module")
def source(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    model.save(folder)
    return folder


def test_files_hold_the_pictures_of_their_seeds(model, source, tmp_path):
    seeds = [5, 3, *range(100, 140)]
    written = generate(source, seeds, tmp_path, progress=Quiet(), device="cpu")
    assert [path.name for path in written] == [f"seed-{seed:06d}.png" for seed in seeds]
    for path, pixels in zip(written, model.sample(seeds), strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), pixels.numpy())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)


def test_a_seed_that_is_asked_for_twice_is_written_once_and_stands_twice_in_the_grid(source, tmp_path):
    sheet = tmp_path / "grid.png"
    written = generate(source, [7] * 40 + [8], tmp_path / "out", sheet, progress=Quiet(), device="cpu")
    assert [path.name for path in written] == ["seed-000007.png", "seed-000008.png", "grid.png"]
    with Image.open(sheet) as image, Image.open(written[0]) as first:
        for place in (0, 34):
            assert np.array_equal(np.asarray(image)[:32, place : place + 32], np.asarray(first))


def test_latent_files_are_drawn_too_and_their_files_have_their_names(model, source, tmp_path):
    latents = model.latents([7, 8])
    Latents(latents.z, latents.noise, None, ("anna/1", "8")).save(tmp_path / "a.safetensors", model)
    text = f"5,{tmp_path / 'a.safetensors'}"
    written = generate(source, text, tmp_path / "out", tmp_path / "grid.png", progress=Quiet(), device="cpu")
    assert [path.name for path in written] == ["seed-000005.png", "anna_1.png", "seed-000008.png", "grid.png"]
    for path, pixels in zip(written, model.sample([5, 7, 8]), strict=False):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), pixels.numpy())
    with pytest.raises(UsageError, match="two of the latents are named 8; draw them one after the other"):
        generate(source, f"8,{tmp_path / 'a.safetensors'}", tmp_path / "out", progress=Quiet(), device="cpu")


def test_a_file_that_cannot_be_written_stops_the_rest(source, tmp_path, monkeypatch):
    usual, begun = write_png, []

    def full(path, image):
        begun.append(path.name)
        if path.name == "seed-000003.png":
            raise OSError(28, "No space left on device", str(path))
        usual(path, image)

    monkeypatch.setattr("handful.sampling.generate.write_png", full)
    with pytest.raises(OSError, match="No space left on device"):
        generate(source, range(500), tmp_path, progress=Quiet(), device="cpu")
    assert len(begun) < 500
    assert (tmp_path / "seed-000002.png").exists()
    assert not list(tmp_path.glob(".*"))


def test_an_error_in_the_last_file_is_not_lost(source, tmp_path, monkeypatch):
    usual = write_png

    def full(path, image):
        if path.name == "seed-000001.png":
            time.sleep(0.2)
            raise OSError("the disk is gone")
        usual(path, image)

    monkeypatch.setattr("handful.sampling.generate.write_png", full)
    with pytest.raises(OSError, match="the disk is gone"):
        generate(source, range(2), tmp_path, progress=Quiet(), device="cpu")


def blank(model, seeds, *how):
    return (torch.zeros(1, 3, 32, 32, dtype=torch.uint8) for _ in seeds)


def test_slow_writing_holds_the_computing_back_and_is_named(source, tmp_path, monkeypatch):
    waiting, most, lock = [0], [0], threading.Lock()
    usual = to_image

    def converted(image):
        with lock:
            waiting[0] += 1
            most[0] = max(most[0], waiting[0])
        return usual(image)

    def slow(path, image):
        time.sleep(0.01)
        with lock:
            waiting[0] -= 1

    monkeypatch.setattr("handful.sampling.generate.to_image", converted)
    monkeypatch.setattr("handful.sampling.generate.write_png", slow)
    monkeypatch.setattr(Model, "stream", blank)
    notes = Notes()
    generate(source, range(200), tmp_path, progress=notes, device="cpu")
    assert IN_FLIGHT <= most[0] <= IN_FLIGHT + WRITERS
    assert "limited by writing" in notes.lines[-1]
    assert "images/s" in notes.lines[-1]


@pytest.mark.slow
def test_slow_computing_is_named_with_what_helps(source, tmp_path, monkeypatch):
    monkeypatch.setattr("handful.sampling.generate.write_png", lambda path, image: None)
    monkeypatch.setattr("handful.sampling.generate.best_precision", lambda device: "bf16")
    notes = Notes()
    generate(source, range(64), tmp_path, progress=notes, device="cpu")
    assert (
        "limited by computing; faster with slightly different rounding: --precision bf16 --compile" in notes.lines[-1]
    )
    generate(source, range(64), tmp_path, progress=notes, device="cpu", precision="bf16")
    assert notes.lines[-1].endswith("different rounding: --compile")
    notes = Notes()
    generate(source, range(8), tmp_path, progress=notes, device="cpu")
    assert not any("limited" in line for line in notes.lines)
