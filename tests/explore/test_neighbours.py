"""Pictures beside the training images nearest to them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.explore.neighbours import neighbours
from handful.images.grid import to_image
from handful.images.sheet import GAP_PIXELS, MIN_WIDTH_PIXELS, Cell, sheet, shown_size
from handful.metrics.copying import COPY
from handful.networks.calibrate import calibrate
from handful.networks.generator import Generator, initialise
from handful.progress import Quiet
from handful.sampling.model import Model


def generator(**options) -> Model:
    network = Generator(GeneratorConfig(size=32, width=8, **options))
    initialise(network, torch.Generator().manual_seed(0))
    calibrate(network)
    return Model(network)


@pytest.fixture(scope="module")
def model() -> Model:
    return generator()


@pytest.fixture(scope="module")
def source(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def photos(model, tmp_path_factory):
    """A training set in which the generator's seed 3 is, and its seed 5 mirrored."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(10):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"other-{index}.png")
    to_image(model.sample([3])[0]).save(folder / "three.png")
    to_image(model.sample([5])[0].flip(-1)).save(folder / "five.png")
    return folder


def test_what_was_trained_on_is_found_and_mirrored_images_are_said_to_be(source, photos, tmp_path):
    out = tmp_path / "sheet.png"
    found = neighbours(source, photos, out, seeds="3,5", count=2, progress=Quiet(), device="cpu")
    assert [row.name for row in found.rows] == ["seed 3", "seed 5"]
    assert [row.neighbours[0].name for row in found.rows] == ["three.png", "five.png"]
    assert [row.neighbours[0].mirrored for row in found.rows] == [False, True]
    assert all(row.neighbours[0].ratio < 0.1 and row.copy for row in found.rows)
    assert found.copies == 1
    with Image.open(out) as image:
        pixels = np.asarray(image)
    first = np.asarray(to_image(found.rows[1].picture))
    # The picture, and beside it the training image as it is nearest: mirrored, so both look the same.
    height = 4 * 32 + 2 * 15 + GAP_PIXELS
    for left in (GAP_PIXELS, 4 * GAP_PIXELS + 4 * 32):
        shown = pixels[GAP_PIXELS + height :, left:][: 4 * 32 : 4, : 4 * 32 : 4]
        assert np.array_equal(shown, first)


def test_without_seeds_the_most_copied_come_first(source, photos, tmp_path):
    found = neighbours(
        source, photos, tmp_path / "sheet.png", samples=12, show=3, count=1, progress=Quiet(), device="cpu"
    )
    assert found.samples == 12
    assert {row.name for row in found.rows[:2]} == {"seed 3", "seed 5"}
    likeness = [row.likeness for row in found.rows]
    assert likeness == sorted(likeness)
    assert len(likeness) == 3


def test_a_folder_of_images_is_looked_at_as_well(photos, tmp_path):
    found = neighbours(photos, photos, tmp_path / "sheet.png", show=12, progress=Quiet())
    assert all(row.name == row.neighbours[0].name and row.neighbours[0].ratio < 0.1 for row in found.rows)
    assert found.copies == 1
    assert found.copies_among_training < 1
    with pytest.raises(UsageError, match=r"seeds: .* is a folder of images"):
        neighbours(photos, photos, tmp_path / "none.png", seeds="1", progress=Quiet())


@pytest.mark.parametrize("options", [{"channels": 1}, {"channels": 4}, {"size": "48x32"}, {"classes": ("a", "b")}])
def test_every_kind_of_model_can_be_looked_at(photos, tmp_path, options):
    network = Generator(GeneratorConfig(**{"size": 32, "width": 8} | options))
    initialise(network, torch.Generator().manual_seed(0))
    calibrate(network)
    Model(network).save(tmp_path / "model")
    found = neighbours(tmp_path / "model", photos, tmp_path / "sheet.png", seeds="1", progress=Quiet(), device="cpu")
    assert len(found.rows[0].neighbours) == 4
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"seeds": ""}, "seeds : .* is not a number"),
        ({"seeds": "-1"}, "seeds -1: .* is not a number"),
        ({"count": 0}, "count 0: must be at least 1"),
        ({"show": 0}, "show 0: must be at least 1"),
        ({"count": 13}, "count 13: .* holds 12 images; give fewer"),
        ({"class_name": "cats"}, "class_name cats: the model has no such class"),
    ],
)
def test_senseless_requests_are_refused_and_nothing_is_written(source, photos, tmp_path, options, text):
    with pytest.raises(UsageError, match=text):
        neighbours(source, photos, tmp_path / "sheet.png", progress=Quiet(), device="cpu", **options)
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_found(source, photos, tmp_path, capsys):
    arguments = [
        "neighbours",
        source,
        photos,
        "--out",
        tmp_path / "a.png",
        "--samples",
        8,
        "--show",
        2,
        "--device",
        "cpu",
    ]
    assert cli.main([*map(str, arguments)]) == 0
    assert "of 8 pictures are copies" in capsys.readouterr().out
    assert cli.main([*map(str, arguments), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["pictures"][0]["neighbours"][0]["ratio"] < COPY
    assert answer["samples"] == 8


def test_small_pictures_are_enlarged_whole_times_and_large_ones_shrunk():
    assert shown_size((32, 32), 256) == (128, 128)
    assert shown_size((256, 128), 256) == (256, 128)
    assert shown_size((1024, 512), 256) == (256, 128)
    assert shown_size((1024, 512), None) == (1024, 512)
    assert shown_size((200, 100), None)[0] >= MIN_WIDTH_PIXELS


def test_a_sheet_that_no_viewer_could_show_is_refused():
    with pytest.raises(UsageError, match=r"200 rows and 200 columns .* is too large: ask for at most 286 pictures"):
        sheet([[Cell()] * 200] * 200, (1024, 1024))
