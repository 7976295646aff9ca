import dataclasses
import json
import math
from pathlib import Path

import pytest

from handful.config.presets import configure, default, paper, tiny
from handful.config.text import parse_seeds
from handful.config.train import TrainConfig
from handful.errors import UsageError


def test_a_run_without_a_name_is_named_after_its_images(tmp_path):
    assert default(tmp_path).folder == Path("runs") / tmp_path.name
    assert default(".").folder == Path("runs") / Path.cwd().name


def test_paths_may_be_given_as_text():
    config = TrainConfig(images="photos", run="runs/photos", weights="w")
    assert (config.images, config.folder, config.weights) == (Path("photos"), Path("runs/photos"), Path("w"))


def test_options_go_through_json_and_back():
    config = tiny("photos", run=Path("r"), weights=Path("w"), augment=("color",))
    assert TrainConfig.from_options(json.loads(json.dumps(config.to_json()))) == config


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"config\.json: unknown option sise; did you mean size\?"):
        TrainConfig.from_options({"images": "photos", "sise": 64}, "config.json")
    with pytest.raises(UsageError, match=r"unknown option lecam$"):
        default("photos", lecam=0.3)
    with pytest.raises(UsageError, match=r"preset tinny: must be default, paper or tiny; did you mean tiny\?"):
        configure("photos", "tinny")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 2.5}, "steps 2.5: must be a whole number"),
        ({"steps": True}, "steps True: must be a whole number"),
        ({"steps": "many"}, "steps many: must be a whole number"),
        ({"steps": 0}, "steps 0: must be at least 1"),
        ({"batch": "all"}, "batch all: must be a whole number or auto"),
        ({"minutes": math.inf}, "minutes inf: must be a number"),
        ({"minutes": 0}, "minutes 0: must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate nan: must be a number or auto"),
        ({"mirror": 1}, "mirror 1: must be True or False"),
        ({"channels": 2}, "channels 2: must be auto, 1, 3 or 4"),
        ({"channels": True}, "channels True: must be auto, 1, 3 or 4"),
        ({"augment": ("color", "blur")}, "augment color blur: must be some of color or translation"),
        ({"augment": "color"}, "augment color: must be some of color or translation"),
        ({"betas": (0.5,)}, "betas 0.5: must be 2 times a number"),
        ({"betas": (0.5, 1.0)}, "betas 0.5 1.0: must be at least 0 and below 1"),
        ({"hold_back": 0.9}, "hold_back 0.9: must be at least 0 and at most 0.5"),
        ({"augment_target": 1}, "augment_target 1: must be above -1 and below 1"),
        ({"weights": 3}, "weights 3: must be a path"),
        ({"width": 12}, "width 12: must be at least 8, at most 4096 and a multiple of 8"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused_by_its_argument(options, message):
    with pytest.raises(UsageError) as error:
        TrainConfig("photos", **options)
    assert message in str(error.value)


@pytest.mark.parametrize("options", [{"minutes": 1}, {"spectrum_penalty": 0}, {"score_every": 0}])
def test_a_whole_number_is_a_number(options):
    assert TrainConfig("photos", **options)


def test_the_paper_preset_is_the_published_recipe():
    config = paper("photos", channels=3)
    recipe = (config.learning_rate, config.betas, config.batch, config.steps, config.average_decay, config.width)
    assert recipe == (2e-4, (0.5, 0.999), 8, 50_000, 0.999, 64)
    assert config.augment == ("color", "translation")
    assert (config.augment_schedule, config.augment_probability) == ("constant", 1)
    assert config.perceptual == "auto"
    assert dataclasses.replace(config, perceptual="vgg16").weight_of_reconstruction == config.batch
    assert config.projected_weight == 0
    assert (config.geometry.filter, tiny("photos", channels=3).geometry.filter) == ("bilinear", "lanczos")
    assert not config.smooth_discriminator
    assert config.sle
    assert config.reconstruction
    assert config.mirror


def test_reconstructions_weigh_what_suits_how_they_are_judged():
    judged = {judge: TrainConfig("photos", perceptual=judge) for judge in ("vgg16", "efficientnet", "none")}
    weights = {judge: config.weight_of_reconstruction for judge, config in judged.items()}
    assert weights == {"vgg16": 8, "efficientnet": 2, "none": 2}
    assert TrainConfig("photos", perceptual="none", reconstruction_weight=3.0).weight_of_reconstruction == 3


def test_narrow_networks_take_larger_steps():
    sizes = {width: TrainConfig("photos", width=width).step_size for width in (8, 16, 64)}
    assert sizes == pytest.approx({8: 8e-4, 16: 5.04e-4, 64: 2e-4}, rel=1e-3)
    assert (paper("photos", width=8).step_size, tiny("photos", learning_rate=1e-3).step_size) == (2e-4, 1e-3)


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-2,100", [0, 1, 2, 100]), (" 5 , 1 - 2", [5, 1, 2]), ("4-4", [4])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0-9999999999", "--seeds 0-9999999999: are more than 10,000,000 pictures; draw them in several calls"),
        ("0-9999999,5", "are more than 10,000,000 pictures"),
        ("9" * 5000, "seeds have at most 19 digits"),
        ("1-" + "9" * 5000, "seeds have at most 19 digits"),
    ],
    ids=["range", "range-and-seed", "digits", "digits-of-an-end"],
)
def test_more_seeds_than_anybody_draws_are_refused_in_a_line(text, said):
    with pytest.raises(UsageError) as caught:
        parse_seeds(text)
    assert said in caught.value.on_command_line
    assert len(caught.value.on_command_line) < 300
