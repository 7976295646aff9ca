"""Whatever the folder and whatever the options: a run trains, or is refused before anything is written."""

import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.config import sizes
from handful.config.presets import tiny
from handful.errors import UsageError
from handful.exporting.report import report
from handful.metrics.evaluation import evaluate
from handful.progress import Quiet
from handful.sampling.generate import generate
from handful.sampling.load import load
from handful.training.loop import train

SMALL = [sizes.spelled(shape) for shape in sizes.all_sizes() if math.prod(shape) <= 64 * 48]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"]
WEIGHTS = "model.safetensors"


def picture(mode, seed):
    random = np.random.default_rng(seed)
    width, height = random.integers(5, 80, 2).tolist()
    image = Image.fromarray(random.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
    return image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)


def fill(folder, modes, classes, count):
    """Fill a folder with ``count`` pictures in each of some sub-folders, or in none, and with what is no picture."""
    for number in range(count * max(1, classes)):
        mode = modes[number % len(modes)]
        where = folder / f"class {number % classes}" if classes else folder
        where.mkdir(parents=True, exist_ok=True)
        ending = "tiff" if mode in ("CMYK", "I;16", "LA") else "png"
        picture(mode, number).save(where / f"{number:03d}.{ending}")
    for name, data in (("empty.png", b""), ("text.jpg", b"no picture"), ("notes.txt", b"no ending")):
        (folder / "class 0" if classes else folder).joinpath(name).write_bytes(data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    size=st.sampled_from([*SMALL, "auto", "33", "100x30"]),
    channels=st.sampled_from(["auto", 1, 3, 4]),
    modes=st.lists(st.sampled_from(MODES), min_size=1, max_size=3),
    classes=st.integers(0, 3),
    count=st.sampled_from([1, 3, 9]),
    labels=st.sampled_from(["none", "folders"]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "augment": st.sampled_from([(), ("color",), ("color", "translation")]),
            "augment_probability": st.sampled_from([0.5, 1.0]),
            "sle": st.booleans(),
            "reconstruction": st.booleans(),
            "smooth_discriminator": st.booleans(),
            "spectrum_penalty": st.sampled_from([0.0, 1.0]),
            "lattice_penalty": st.sampled_from([0.0, 1.0]),
            "fit": st.sampled_from(["crop", "squash"]),
            "batch": st.sampled_from([1, 2, 5]),
        },
    ),
)
def test_every_combination_trains_or_is_refused_before_anything_is_written(
    size, channels, modes, classes, count, labels, options
):
    with tempfile.TemporaryDirectory() as place:
        photos, run = Path(place) / "photos", Path(place) / "run"
        fill(photos, modes, classes, count)
        fixed = {"steps": 1, "score_every": 0, "report": False, "precision": "fp32", "compile": "off"}
        try:
            model = train(
                tiny(photos, run=run, size=size, channels=channels, labels=labels, **{"batch": 2} | options | fixed),
                Quiet(),
            )
        except UsageError:
            assert not run.exists()
            return
        told = json.loads((run / "config.json").read_text())["options"]
        pictures = model.sample([0, 1])
        assert pictures.shape == (2, told["channels"], *sizes.parse(told["size"]))
        assert torch.equal(load(run).sample([0, 1]), pictures)
        expected = classes if labels == "folders" and classes > 1 and count > 8 else 0
        assert len(model.config.classes) == expected


@pytest.fixture(scope="module", params=["grey", "rgba", "classes"])
def trained(request, tmp_path_factory):
    """A run of each kind that RGB squares are not, and its pictures."""
    place = tmp_path_factory.mktemp(request.param)
    photos = place / "photos"
    options = {
        "grey": {"channels": 1, "size": "48x32"},
        "rgba": {"channels": 4, "size": "32x40"},
        "classes": {"labels": "folders", "size": 32},
    }[request.param]
    fill(photos, ["RGBA"], 2 if request.param == "classes" else 0, 24)
    config = tiny(
        photos, run=place / "run", steps=4, batch=4, score_every=2, checkpoint_every=2, sample_every=4, keep=9,
        precision="fp32", compile="off", perceptual="none", report=False, score_features="random",
        **options,
    )  # fmt: skip
    train(config, Quiet())
    return config


@pytest.mark.slow
def test_a_resumed_run_of_any_kind_ends_with_the_same_weights(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000004")
    again = {name: value for name, value in vars(trained).items() if name != "run"}
    train(type(trained)(**again, run=tmp_path / "run"), Quiet())
    ends = [load_bytes(folder) for folder in (trained.folder, tmp_path / "run")]
    assert ends[0] == ends[1]


def load_bytes(folder):
    return (folder / "model" / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_runs_of_any_kind_are_scored_and_reported(trained):
    result = evaluate(trained.folder, trained.images, device="cpu", progress=Quiet())
    assert result.scores.kid is not None
    assert result.scores.copies is not None
    html = report(trained.folder, "cpu", Quiet()).read_text(encoding="utf-8")
    assert "Not on this page" not in html
    if trained.labels == "folders":
        assert sorted(result.classes) == ["class 0", "class 1"]
        for score in result.classes.values():
            assert 0 <= score["of_class"] <= 1
        assert "Class by class" in html


@pytest.mark.slow
@pytest.mark.parametrize("format", ["png", "webp"])
def test_pictures_of_any_kind_are_written_in_their_mode(trained, tmp_path, format):
    files = generate(trained.folder, [0, 1], tmp_path, grid=tmp_path / "grid.png", format=format, progress=Quiet())
    with Image.open(files[0]) as image:
        image.load()
    expected = load(trained.folder).images([0])[0]
    assert image.size == expected.size
    assert image.convert("RGBA").tobytes() == expected.convert("RGBA").tobytes()
    if format == "png":
        assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[load(trained.folder).config.channels]


def test_a_class_is_drawn_by_its_name_and_others_are_refused(trained, tmp_path):
    model = load(trained.folder)
    if trained.labels == "none":
        with pytest.raises(UsageError, match="class_name cats: the model has no such class; it was trained without"):
            generate(trained.folder, [0], tmp_path, class_name="cats")
        return
    both = model.sample([0, 1])
    assert torch.equal(model.sample([0], class_name="class 0"), both[:1])
    assert torch.equal(model.sample([1], class_name="class 1"), both[1:])
    assert not torch.equal(model.sample([0], class_name="class 1"), both[:1])
    assert torch.equal(model.sample([0, 1], class_name=["class 0", "class 1"]), both)
    with pytest.raises(UsageError, match="it has class 0, class 1"):
        generate(trained.folder, [0], tmp_path, class_name="cats")
    with pytest.raises(UsageError, match="1 classes for 2 seeds"):
        model.sample([0, 1], class_name=["class 0"])


def test_labels_with_images_in_no_folder_are_refused_before_anything_is_written(tmp_path):
    fill(tmp_path / "photos", ["RGB"], 0, 9)
    with pytest.raises(UsageError, match="in no sub-folder"):
        train(tiny(tmp_path / "photos", run=tmp_path / "run", labels="folders"), Quiet())
    assert not (tmp_path / "run").exists()
