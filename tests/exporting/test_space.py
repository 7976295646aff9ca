"""A Space draws the pictures of Python, without PyTorch; Gradio is stood in for."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import RepoCard

import handful
from handful.cli.main import main
from handful.exporting.space import app
from handful.exporting.space.draw import Drawing, normal, stream_of
from handful.seeds import Purpose, fold
from support.models import made


@pytest.fixture(scope="module")
def model():
    return made(latent=20, channels=4, classes=("cats", "dogs"))


@pytest.fixture(scope="module")
def space(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    model.save(folder / "birds")
    return handful.export(folder / "birds", "space", folder / "page", license="mit")


@pytest.mark.parametrize("latent", [1, 7, 8, 15, 16, 20, 256])
@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_numbers_are_those_of_pytorch(seed, latent):
    random, own = np.random.RandomState(stream_of(seed)), torch.Generator().manual_seed(fold(Purpose.PICTURE, seed))
    for shape in ([latent], [1, 6, 6], [1, 9, 12], [1, 8, 8]):  # in one stream, with and without a last part block
        assert np.abs(normal(random, shape) - torch.randn(shape, generator=own).numpy()).max() < 3e-6


def test_pictures_are_those_of_python(model, space):
    drawing = Drawing(space / "model.onnx")
    assert drawing.classes == ["cats", "dogs"]
    cases = [(3, 1.0, None), (4, 0.5, "dogs"), (2**40, 1.0, "cats")]
    pairs = [(drawing(*case), model.images([case[0]], truncation=case[1], class_name=case[2])[0]) for case in cases]
    assert np.mean([(drawn != np.asarray(own)).mean() for drawn, own in pairs]) < 2e-3
    assert pairs[0][0].shape == (32, 32, 4)


def test_a_space_runs_without_handful_and_pytorch(space, tmp_path):
    script = "import sys, draw; sys.modules['torch'] = None; print(draw.Drawing('model.onnx')(7).shape)"
    command = [
        sys.executable,
        "-I",
        "-B",
        "-c",
        f"import sys; sys.path.insert(0, '.'); sys.modules['handful'] = None; {script}",
    ]
    done = subprocess.run(command, cwd=space, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(32, 32, 4)", done.stderr


def test_a_space_has_what_the_hub_asks_for(space):
    names = {path.name for path in space.iterdir()}
    assert names == {"README.md", "app.py", "draw.py", "model.onnx", "requirements.txt"}
    card = RepoCard((space / "README.md").read_text(encoding="utf-8"))
    assert card.data.to_dict() == {"title": "page", "sdk": "gradio", "app_file": "app.py", "license": "mit"}


class Part:
    """Stands for any part of Gradio: takes everything, and keeps its events."""

    def __init__(self, kind, *values, **options):
        self.kind, self.values, self.options, self.events = kind, values, options, []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __getattr__(self, event):
        return lambda *words: self.events.append((event, *words))


def test_the_page_draws_when_it_loads_and_when_an_input_changes(space, monkeypatch):
    kinds = ("Blocks", "Row", "Number", "Slider", "Dropdown", "Button", "Gallery")
    stand_in = {kind: (lambda *values, kind=kind, **options: Part(kind, *values, **options)) for kind in kinds}
    monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(**stand_in))
    blocks = app.page(space / "model.onnx")
    ((event, draw, inputs, gallery),) = blocks.events
    assert event == "load"
    assert [entry.kind for entry in (*inputs, gallery)] == ["Number", "Slider", "Dropdown", "Gallery"]
    assert all(entry.events == [("change", draw, inputs, gallery)] for entry in inputs)
    pictures = draw(5.0, 0.7, "all")
    assert [words for _, words in pictures] == [f"seed {seed}" for seed in range(5, 13)]
    assert np.array_equal(np.asarray(pictures[1][0]), Drawing(space / "model.onnx")(6, 0.7))
    assert not np.array_equal(np.asarray(draw(5.0, 0.7, "cats")[0][0]), np.asarray(pictures[0][0]))


def test_a_folder_that_holds_files_is_left_alone(space, tmp_path, capsys):
    (tmp_path / "mine").write_text("kept")
    source = str(space.parent / "birds")
    assert main(["export", source, "--format", "space", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"handful: --out {tmp_path}: exists; choose a new folder\n"
    assert main(["export", source, "--format", "space", "--out", str(tmp_path / "x"), "--output", "float"]) == 2
    assert "--output float: has an effect with --format onnx only" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
