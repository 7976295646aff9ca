"""Directions of the latent space, latent files that are moved along them or blend, and the commands for both."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.explore.directions import from_examples, from_maps, from_weights, regress
from handful.explore.editing import blend, write_latents
from handful.explore.strips import read_scores, write_directions
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator, initialise
from handful.sampling.directions import load_directions, move, move_along
from handful.sampling.latents import load_latents
from handful.sampling.model import Model

pytestmark = pytest.mark.usefixtures("full_budget")
ENOUGH = 400
"""Examples after which a direction is known well."""


def generator(axis: torch.Tensor | None = None, **options) -> Model:
    """A generator with a latent of 32, whose first layer is 10 times as strong along ``axis``."""
    network = Generator(GeneratorConfig(**({"size": 32, "width": 8, "latent": 32} | options)))
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        if axis is not None:
            weight = network.first.conv.weight  # [z 2c h w]
            spread = torch.randn(weight.shape[1:], generator=torch.Generator().manual_seed(1)) * weight.std() * 10
            weight.add_(axis.view(-1, 1, 1, 1) * spread)
        for name, parameter in network.named_parameters():
            if "noise" in name:
                parameter.fill_(0.1)
        for table in network.classes.parameters():  # of a fresh one classes are all alike
            table.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(1))
    calibrate(network)
    return Model(network)


@pytest.fixture(scope="module")
def axis() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(7)), dim=0)


@pytest.fixture(scope="module")
def model(axis) -> Model:
    return generator(axis)


@pytest.mark.parametrize("find", [from_weights, from_maps])
def test_the_strongest_direction_of_a_generator_is_found_first(model, axis, find):
    found = find(model, 3)
    assert found.names == ("1", "2", "3")
    assert abs(float(found.vectors[0] @ axis)) > 0.97
    assert found.measures[0] > 2 > found.measures[1] >= found.measures[2]
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(3), atol=1e-5)
    assert torch.equal(found.vectors, find(model, 3).vectors)
    assert all(float(vector[vector.abs().argmax()]) > 0 for vector in found.vectors)


def test_noise_in_the_maps_hides_no_direction_of_the_latent(axis):
    loud = generator(axis).network
    with torch.no_grad():
        for name, parameter in loud.named_parameters():
            if "noise" in name:
                parameter.fill_(0.5)
    calibrate(loud)
    assert abs(float(from_maps(Model(loud), 1).vectors[0] @ axis)) > 0.9


def test_examples_teach_the_direction_along_which_their_scores_rise(model, axis):
    latents = model.latents(range(1000, 1000 + ENOUGH))
    scores = (5 + 2 * (latents.z @ axis)).tolist()
    found = from_examples(model, latents, scores, "mine")
    assert found.names == ("mine",)
    assert float(found.vectors[0] @ axis) > 0.999
    assert found.measures[0] > 0.99
    assert float(from_examples(model, latents, [-score for score in scores], "-").vectors[0] @ axis) < -0.999


def test_two_lists_teach_it_too_and_few_do_where_low_maps_answer(model, axis):
    latents = model.latents(range(1000, 1012))
    high = (latents.z @ axis) > 0
    scores = [1.0 if each else -1.0 for each in high]
    with_maps = float(from_examples(model, latents, scores, "-").vectors[0] @ axis)
    slope, _ = regress(latents.z.double(), torch.tensor(scores, dtype=torch.float64))
    without = float(torch.nn.functional.normalize(slope, dim=0).float() @ axis)
    assert with_maps > 0.9 > without


def test_scores_that_latents_know_nothing_of_are_told_to_be_that(model):
    random = torch.Generator().manual_seed(0)
    latents = model.latents(range(100))
    assert from_examples(model, latents, torch.randn(100, generator=random).tolist(), "-").measures[0] < 0.1


def test_what_is_told_of_examples_left_out_is_what_leaving_them_out_gives():
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 5, generator=random, dtype=torch.float64)
    scores = inputs[:, 0] + 0.3 * torch.randn(12, generator=random, dtype=torch.float64)
    slope, told = regress(inputs, scores)
    length = float(inputs.square().sum(dim=1).mean())
    best = math.inf
    about = scores - scores.mean()
    wide = torch.cat([inputs, torch.full((12, 1), 10 * length**0.5, dtype=torch.float64)], dim=1)
    for share in torch.logspace(-3, 2, 21, dtype=torch.float64).tolist():
        errors = []
        for out in range(12):
            kept = [place for place in range(12) if place != out]
            ridge = share * length * torch.eye(6, dtype=torch.float64)
            beta = torch.linalg.solve(wide[kept].T @ wide[kept] + ridge, wide[kept].T @ about[kept])
            errors.append(float((about[out] - wide[out] @ beta) ** 2))
        best = min(best, sum(errors) / float(about.square().sum()))
    assert told == pytest.approx(1 - best, abs=1e-9)
    assert float(slope[0]) > 0.5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=3), st.floats(-20, 20))
def test_moved_latents_keep_their_length_and_go_the_right_way(model, seeds, strength):
    latents = model.latents(seeds)
    vector = from_weights(model, 1).vectors[0]
    there = move(latents, vector, strength)
    assert torch.allclose(there.z.norm(dim=1), latents.z.norm(dim=1), rtol=1e-5)
    assert (((there.z - latents.z) @ vector) * strength >= -1e-4).all()
    assert (there.names, there.noise) == (latents.names, latents.noise)
    assert move(latents, vector, 0.0) is latents


def test_a_file_of_directions_keeps_them_and_knows_its_model(model, tmp_path):
    found = from_weights(model, 2)
    found.save(tmp_path / "w.safetensors", model)
    read = load_directions(tmp_path / "w.safetensors", model)
    assert torch.equal(read.vectors, found.vectors)
    assert read.names == found.names
    assert read.measures == pytest.approx(found.measures)
    with pytest.raises(UsageError, match=r"w.safetensors: belongs to model \w+, and this is model"):
        load_directions(tmp_path / "w.safetensors", generator())
    with pytest.raises(UsageError, match=r"w.safetensors: is not a latent file"):
        load_latents(tmp_path / "w.safetensors", model)


def test_moves_are_read_and_add_up(model, tmp_path):
    found = from_weights(model, 2)
    found.save(tmp_path / "w.safetensors", model)
    found.pick(1).save(tmp_path / "two.safetensors", model)
    latents = model.latents([0, 1])
    both = move_along(latents, [f"{tmp_path}/w.safetensors:1=2", f"{tmp_path}/two.safetensors=-1.5"], model)
    step = 2 * found.vectors[0] - 1.5 * found.vectors[1]
    assert torch.allclose(both.z, move(latents, step, 1.0).z, atol=1e-6)
    assert move_along(latents, [], model) is latents
    for text, error in {
        "=2": "must be FILE",
        f"{tmp_path}/two.safetensors": "must be FILE",
        f"{tmp_path}/two.safetensors=far": "must be FILE",
        f"{tmp_path}/two.safetensors=inf": "must be FILE",
        f"{tmp_path}/w.safetensors=1": "has 2 directions; name one, as in .*w.safetensors:1",
        f"{tmp_path}/w.safetensors:smile=1": "the file has no such name; it has 1, 2",
        f"{tmp_path}/none.safetensors=1": "does not exist; give a file of directions",
    }.items():
        with pytest.raises(UsageError, match=error):
            move_along(latents, [text], model)


KINDS = ({"channels": 1, "size": "48x32"}, {"channels": 4, "classes": ("cats", "dogs")})


@pytest.mark.parametrize("options", KINDS, ids=("grey", "classes"))
def test_the_command_writes_strips_of_every_kind_of_model(options, tmp_path, capsys):
    model = generator(**options)
    model.save(tmp_path / "model")
    how = ["--count", "2", "--seeds", "0,5", "--steps", "3", "--strength", "2", "--device", "cpu", "--json"]
    assert cli.main(["directions", str(tmp_path / "model"), "--out", str(tmp_path / "out"), *how]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in answer["directions"]] == ["1", "2"]
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["maps-1.png", "maps-2.png", "maps.png", "maps.safetensors"]
    found = load_directions(tmp_path / "out" / "maps.safetensors", model)
    drawn = model.sample(move(model.latents([0]), found.vectors[1], 2.0))
    height, width = model.config.shape
    times = math.ceil(112 / width)
    with Image.open(tmp_path / "out" / "maps-2.png") as strip:
        left = 8 + 2 * (width * times + 8) + 16
        last = strip.crop((left, 8, left + width * times, 8 + height * times)).resize((width, height), 0)
    if model.config.channels < 4:
        assert list(last.convert("RGB" if model.config.channels == 3 else "L").tobytes()) == (
            drawn[0].permute(1, 2, 0).flatten().tolist()
        )


def test_the_command_learns_from_examples_and_others_use_what_it_wrote(model, tmp_path, capsys):
    model.save(tmp_path / "model")
    source, out = str(tmp_path / "model"), tmp_path / "out"
    (tmp_path / "scores.txt").write_text("# seed score\n0 1.5\n3\t-2\n7-8 1e-1  # two\n")
    how = ["--seeds", "4", "--steps", "2", "--device", "cpu", "--out", str(out)]
    scores = ["--scores", str(tmp_path / "scores.txt"), "--name", "smile"]
    assert cli.main(["directions", source, *scores, *how]) == 0
    assert "% of the variance of the scores on held-out examples" in capsys.readouterr().out
    assert cli.main(["directions", source, "--more", "0,1", "--less", "2", *how]) == 0
    assert {path.name for path in out.iterdir()} == {
        "smile.png",
        "smile.safetensors",
        "examples.png",
        "examples.safetensors",
    }
    move = f"{out}/smile.safetensors=2"
    grid = ["--grid", str(tmp_path / "grid.png"), "--device", "cpu"]
    assert cli.main(["generate", source, "--seeds", "4,5", "--along", move, *grid]) == 0
    latents = ["--seeds", "4,5", "--names", "anna,ben", "--along", move, "--out", str(tmp_path / "p.safetensors")]
    assert cli.main(["latents", source, *latents, "--device", "cpu"]) == 0
    latents = load_latents(tmp_path / "p.safetensors", model)
    assert latents.names == ("anna", "ben")
    assert torch.equal(latents.z, move_along(model.latents([4, 5]), [move], model).z)
    again = ["--seeds", f"{tmp_path}/p.safetensors", "--grid", str(tmp_path / "again.png"), "--device", "cpu"]
    assert cli.main(["generate", source, *again]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "grid.png").read_bytes()


def test_scores_are_read_from_a_file_and_a_wrong_line_is_named(model, tmp_path):
    path = tmp_path / "scores.txt"
    model.latents([9]).save(tmp_path / "nine.safetensors", model)
    path.write_text(f"0-2 1\n\n# all\n{tmp_path}/nine.safetensors -0.5\n")
    latents, scores = read_scores(path, model)
    assert latents.names == ("0", "1", "2", "9")
    assert scores == [1.0, 1.0, 1.0, -0.5]
    for text, error in {
        "0": "line 1: '0' is not a seed, a space and a score",
        "0 1\n1 high": "line 2: '1 high' is not a seed",
        "0 nan": "line 1: '0 nan' is not a seed",
        "x 1": "line 1: x: 'x' is not a number",
        "# none": "has no scores",
    }.items():
        path.write_text(text)
        with pytest.raises(UsageError, match=error):
            read_scores(path, model)
    with pytest.raises(UsageError, match=r"scores .*none.txt: cannot be read"):
        read_scores(tmp_path / "none.txt", model)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"count": 33}, "count 33: must be from 1 to 32"),
        ({"count": 0}, "count 0: must be from 1 to 32"),
        ({"steps": 1}, "steps 1: a strip has at least 2"),
        ({"strength": 0.0}, "strength 0: must be above 0"),
        ({"strength": math.nan}, "strength nan: must be above 0"),
        ({"more": "0"}, "less: is missing"),
        ({"less": "0"}, "more: is missing"),
        ({"more": "0", "less": "1", "scores": "s.txt"}, "scores: replaces more and less"),
        ({"more": "x", "less": "1"}, "more x: 'x' is not a number"),
        ({"name": "a/b"}, "name a/b: must be usable as a file name"),
        ({"name": "a:b"}, "name a:b: must be usable as a file name"),
        ({"seeds": ""}, "seeds : '' is not a number"),
        ({"class_name": "cats"}, "class_name cats: the model has no such class"),
        ({"seeds": "0-299", "steps": 99}, "is too large"),
    ],
)
def test_senseless_requests_are_refused_and_nothing_is_written(model, tmp_path, options, text):
    model.save(tmp_path / "model")
    with pytest.raises(UsageError, match=text):
        write_directions(tmp_path / "model", tmp_path / "out", device="cpu", **options)
    assert not list(tmp_path.glob("out/*"))


def test_options_for_directions_without_examples_are_refused_with_them(capsys, tmp_path):
    assert cli.main(["directions", str(tmp_path), "--more", "1", "--less", "2", "--count", "3"]) == 2
    assert "--by and --count: have no effect with examples" in capsys.readouterr().err


def test_examples_that_say_nothing_are_refused(model):
    latents = model.latents([0, 1])
    for some, scores in ((latents, [1.0, 1.0]), (latents.pick([0]), [1.0])):
        with pytest.raises(UsageError, match="give two or more, with different scores"):
            from_examples(model, some, scores, "-")
    with pytest.raises(UsageError, match="3 scores for 2 examples"):
        from_examples(model, latents, [1.0, 2.0, 3.0], "-")
    with pytest.raises(UsageError, match="a score is not a finite number"):
        from_examples(model, latents, [1.0, math.nan], "-")


def test_a_blend_lies_between_and_is_as_long(model):
    latents = model.latents([1, 2, 3])
    one = blend(latents, [1.0, 1.0, 2.0])
    assert one.names == ("1+2+3",)
    lengths = latents.z.norm(dim=1)
    assert float(one.z.norm()) == pytest.approx(float(lengths @ torch.tensor([0.25, 0.25, 0.5])), rel=1e-5)
    towards = torch.nn.functional.cosine_similarity(one.z, latents.z)
    assert float(towards.min()) > 0
    assert int(towards.argmax()) == 2
    for maps in one.noise:
        assert float(maps.square().mean()) == pytest.approx(1, abs=0.6)
    alone = blend(latents, [0.0, 3.0, 0.0])
    assert torch.allclose(alone.z, latents.z[1:2], atol=1e-6)
    assert torch.allclose(alone.noise[0], latents.noise[0][1:2], atol=1e-6)


def test_a_latent_file_is_blend_by_the_command_within_a_class(tmp_path):
    model = generator(classes=("cats", "dogs"))
    model.save(tmp_path / "model")
    out = tmp_path / "mean.safetensors"
    with pytest.raises(UsageError, match="shares: the latents have several classes"):
        write_latents(tmp_path / "model", "0,1", out, shares=[1.0, 1.0], device="cpu")
    arguments = ["--seeds", "0,1", "--blend", "1", "3", "--class", "dogs", "--names", "mean", "--out", str(out)]
    assert cli.main(["latents", str(tmp_path / "model"), *arguments, "--device", "cpu"]) == 0
    latents = model.latents(f"{out}:mean")
    assert latents.labels.tolist() == [1]
    assert torch.equal(latents.z, blend(model.latents([0, 1], "dogs"), [1.0, 3.0]).z)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shares": [1.0]}, "shares: 1 shares for 2 latents"),
        ({"shares": [0.0, 0.0]}, "shares: shares must be at least 0"),
        ({"shares": [-1.0, 2.0]}, "shares: shares must be at least 0"),
        ({"shares": [math.nan, 2.0]}, "shares: shares must be at least 0"),
        ({"names": ["a"]}, "names: 1 names for 2 latents"),
        ({"names": ["a", "a"]}, "names a: must be unique"),
        ({"names": ["a", " "]}, "names  : must be unique"),
        ({"out": "p.png"}, r"p.png: must end in \.safetensors"),
        ({"out": "a,b.safetensors"}, "must have no comma"),
        ({"seeds": "none.safetensors"}, "none.safetensors: does not exist"),
    ],
)
def test_senseless_latents_are_refused_and_nothing_is_written(model, tmp_path, options, text):
    model.save(tmp_path / "model")
    options = {"seeds": "0,1", "out": "p.safetensors"} | options
    with pytest.raises(UsageError, match=text):
        write_latents(tmp_path / "model", out=tmp_path / options.pop("out"), device="cpu", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
