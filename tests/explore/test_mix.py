"""The content of one picture with the style of another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.explore.mix import mix, write_mixes
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator, initialise
from handful.sampling.model import Model


def generator(size: int | str = 64, **options) -> Model:
    """A generator whose gates are far from all alike, as trained ones are."""
    network = Generator(GeneratorConfig(size=size, width=8, **options))
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for gate in network.gates.values():
            gate.squeeze.weight.mul_(20)
            gate.excite.weight.mul_(50)
        for name, parameter in network.named_parameters():
            if "noise" in name:
                parameter.fill_(0.3)
        for table in network.classes.parameters():  # of a fresh one classes are all alike
            table.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(1))
    calibrate(network)
    return Model(network)


@pytest.fixture(scope="module")
def model() -> Model:
    return generator(128)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=3), st.sampled_from([(), (64,), (128,)]))
def test_a_picture_in_its_own_style_is_itself_bit_for_bit(model, seeds, levels):
    latents = model.latents(seeds)
    mixed, own = mix(model, latents, latents, levels), model.sample(seeds)
    for place in range(len(seeds)):
        assert torch.equal(mixed[place, place], own[place])


def test_a_picture_in_its_own_style_is_itself_under_truncation_too(model):
    latents = model.latents([3, 4])
    mixed, own = mix(model, latents, latents, truncation=0.5), model.sample(latents, truncation=0.5)
    assert torch.equal(mixed[0, 0], own[0])
    assert torch.equal(mixed[1, 1], own[1])


def test_another_style_changes_the_picture_and_each_level_its_part(model):
    content, style = model.latents([0]), model.latents([1])
    whole, first, second = (mix(model, content, style, levels)[0, 0] for levels in ((), (64,), (128,)))
    own = model.sample([0])[0]
    pictures = [own, whole, first, second]
    assert len({bytes(picture.numpy()) for picture in pictures}) == 4
    assert torch.equal(mix(model, content, style, (64, 128))[0, 0], whole)


def test_the_style_enters_through_the_gates_alone(model):
    """Where no gate depends on the low map, there is nothing that a style could change."""
    still = generator(64)
    with torch.no_grad():
        for gate in still.network.gates.values():
            gate.excite.weight.zero_()
    latents = still.latents([0, 1, 2])
    mixed = mix(still, latents, latents)
    assert torch.equal(mixed[0, 1], mixed[0, 2])
    assert torch.equal(mixed[0, 1], still.sample([0])[0])


def test_the_noise_and_the_class_of_the_style_count_for_its_gates():
    model = generator(64, classes=("cats", "dogs"))
    content = model.latents([0])
    cats, dogs = (model.latents([5], class_name) for class_name in ("cats", "dogs"))
    assert not torch.equal(mix(model, content, cats), mix(model, content, dogs))


@pytest.mark.parametrize("options", [{"channels": 1}, {"channels": 4}, {"size": "96x64"}])
def test_every_kind_of_model_mixes(options):
    model = generator(**options)
    latents = model.latents([0, 1])
    mixed = mix(model, latents, latents)
    assert mixed.shape == (2, 2, model.config.channels, *model.config.shape)
    assert torch.equal(mixed[1, 1], model.sample([1])[0])


def test_the_sheet_has_content_style_and_mixes_in_their_places(model, tmp_path):
    model.save(tmp_path / "model")
    model.latents([9]).save(tmp_path / "nine.safetensors", model)
    out = tmp_path / "mix.png"
    arguments = ["mix", tmp_path / "model", "--content", "0,1", "--style", f"2,{tmp_path}/nine.safetensors"]
    assert cli.main([*map(str, arguments), "--out", str(out), "--device", "cpu"]) == 0
    with Image.open(out) as image:
        pixels = np.asarray(image).transpose(2, 0, 1)
    content, style = (model.latents(seeds) for seeds in ([0, 1], [2, 9]))
    mixed = mix(model, content, style)

    def cell(row, column):
        left = 8 + column * (128 + 8) + 16 * (column > 0)
        top = 8 + row * (128 + 15 + 8)
        return pixels[:, top : top + 128, left : left + 128]

    for place in range(2):
        assert np.array_equal(cell(0, place + 1), model.sample([[2, 9][place]])[0].numpy())
        assert np.array_equal(cell(place + 1, 0), model.sample([place])[0].numpy())
        for other in range(2):
            assert np.array_equal(cell(place + 1, other + 1), mixed[place, other].numpy())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"levels": [32]}, "levels 32: choose from the model's gates at 64 128"),
        ({"content": "x"}, "content x: 'x' is not a number"),
        ({"style": ""}, "style : '' is not a number"),
        ({"style": "none.safetensors"}, "none.safetensors: does not exist"),
        ({"content": "0-999", "style": "0-999"}, "too large: "),
        ({"truncation": 2.0}, "truncation 2: must be from 0"),
        ({"class_name": "cats"}, "class_name cats: the model has no such class"),
    ],
)
def test_senseless_requests_are_refused_and_nothing_is_written(model, tmp_path, options, text):
    model.save(tmp_path / "model")
    given = {"content": "0", "style": "1"} | options
    with pytest.raises(UsageError, match=text):
        write_mixes(tmp_path / "model", out=tmp_path / "mix.png", device="cpu", **given)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_without_gates_and_an_output_that_cannot_be_are_refused_first(model, tmp_path):
    for small in (generator(32), generator(64, sle=False)):
        small.save(tmp_path / "model")
        with pytest.raises(UsageError, match="has no gates to mix through"):
            write_mixes(tmp_path / "model", "0", "1", tmp_path / "mix.png", device="cpu")
    with pytest.raises(UsageError, match=r"out .*model: is a folder; name a file"):
        write_mixes(tmp_path / "model", "0", "1", tmp_path / "model")
    with pytest.raises(UsageError, match=r"out .*: the folder cannot be created"):
        write_mixes(tmp_path / "model", "0", "1", tmp_path / "model" / "config.json" / "mix.png")
