"""Latents and latent files: what a picture is drawn from, by seed or kept in a file."""

import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handful.errors import UsageError
from handful.sampling.latents import Latents, load_latents
from handful.sampling.load import load
from handful.sampling.model import Model
from support.models import made


@pytest.fixture(scope="module")
def model() -> Model:
    return made()


KINDS = ({}, {"size": "48x32", "channels": 1}, {"size": 64, "channels": 4, "classes": ("cats", "dogs")})


@pytest.mark.parametrize("options", KINDS, ids=("rgb", "grey", "rgba"))
def test_points_of_seeds_give_the_pictures_of_these_seeds_also_from_a_file(options, tmp_path):
    model = made(**options)
    seeds = [5, 0, 2**40]
    latents = model.latents(seeds)
    assert latents.names == ("5", "0", str(2**40))
    assert torch.equal(model.sample(latents), model.sample(seeds))
    latents.save(tmp_path / "deep" / "a.safetensors", model)
    read = load_latents(tmp_path / "deep" / "a.safetensors", model)
    assert read.names == latents.names
    assert torch.equal(model.sample(read), model.sample(seeds))


def test_a_class_can_be_asked_for_in_place_of_their_own(tmp_path):
    model = made(classes=("cats", "dogs"))
    model.latents([0, 1]).save(tmp_path / "a.safetensors", model)
    file = f"{tmp_path / 'a.safetensors'}"
    assert model.latents(f"{file},4,5").labels.tolist() == [0, 1, 0, 1]
    assert model.latents(f"{file},4,5", "dogs").labels.tolist() == [1, 1, 1, 1]
    assert torch.equal(model.sample(model.latents(file, "dogs")), model.sample([0, 1], class_name="dogs"))
    with pytest.raises(UsageError, match="class_name newts: the model has no such class"):
        model.latents(file, "newts")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.integers(0, 99), st.sampled_from("ab"), st.just("all")), min_size=1, max_size=5))
def test_a_list_of_seeds_and_files_is_read_in_its_order(model, tmp_path, parts):
    kept = model.latents([100, 101])
    Latents(kept.z, kept.noise, None, ("a", "b")).save(tmp_path / "f.safetensors", model)
    path = tmp_path / "f.safetensors"
    texts, seeds = [], []
    for part in parts:
        texts.append({"all": f"{path}"}.get(part, f"{path}:{part}" if part in ("a", "b") else f"{part}-{part}"))
        seeds += {"all": [100, 101], "a": [100], "b": [101]}.get(part, [part])
    latents = model.latents(", ".join(texts))
    assert torch.equal(latents.z, model.latents(seeds).z)
    assert len(latents) == len(seeds)


def test_the_same_model_from_a_file_reads_them_and_another_does_not(model, tmp_path):
    path = tmp_path / "a.safetensors"
    model.latents([1]).save(path, model)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model", "cpu").fingerprint == model.fingerprint
    other = made(seed=1)
    said = f"a.safetensors: belongs to model {model.fingerprint}, and this is model {other.fingerprint}. Another"
    with pytest.raises(UsageError, match=re.escape(said)):
        load_latents(path, other)
    changed = made()
    changed.network.to_image.weight.data[0, 0, 0, 0] += 1e-3
    assert changed.fingerprint != model.fingerprint


def test_what_is_no_latent_file_is_refused_with_its_name(model, tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.safetensors: does not exist; give a latent file"):
        model.latents(f"0,{tmp_path / 'nowhere.safetensors'}")
    model.save(tmp_path)
    with pytest.raises(UsageError, match=r"model.safetensors: is not a latent file of this version of handful"):
        load_latents(tmp_path / "model.safetensors", model)
    path = tmp_path / "a.safetensors"
    model.latents([1, 2]).save(path, model)
    with pytest.raises(UsageError, match=r"the file has no such name; it has 1, 2"):
        model.latents(f"{path}:anna")
    with pytest.raises(UsageError, match="cannot be read as a latent file"):
        load_latents(tmp_path, model)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"cannot be read as a latent file .* may be cut short"):
        load_latents(path, model)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "seeds : '' is not a number"),
        ("1,,2", "'' is not a number"),
        ("3-1", "the range 3-1 ends before it starts"),
        ("-1", "'-1' is not a number"),
        ("1,face.png", "seeds 1,face.png: 'face.png' is not a number, a range like 0-63, or a latent file"),
    ],
)
def test_lists_that_cannot_be_read_are_refused(model, text, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        model.latents(text)
    with pytest.raises(UsageError, match="style"):
        model.latents(text, option="--style")


def test_points_are_picked_and_joined(model):
    latents = model.latents([4, 5, 6])
    assert latents.pick([2, 0]).names == ("6", "4")
    joined = Latents.join([latents.pick([2]), latents.pick([0, 1])])
    assert torch.equal(model.sample(joined), model.sample([6, 4, 5]))


def test_no_seeds_and_negative_ones_are_refused(model):
    for seeds, said in (([], "no seeds"), ([-1], "seed -1")):
        with pytest.raises(UsageError, match=said):
            model.latents(seeds)


def test_a_damaged_generator_is_named(model):
    damaged = made()
    damaged.network.to_image.weight.data.fill_(torch.nan)
    with pytest.raises(UsageError, match="seed 3: the image is not finite"):
        damaged.sample(damaged.latents([3]))
