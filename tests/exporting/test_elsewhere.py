"""The code of docs/export.md that draws pictures without handful: what can be run here is run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from handful.exporting.onnx import write_onnx
from handful.exporting.space import draw
from handful.sampling.model import Model
from journeys.documents import blocks
from support.models import made

PAGE = "docs/export.md"

PYTHON, PYTHON_SEEDS, TOUCHDESIGNER = blocks(PAGE, "py")

MODULES = [Path(folder) / "onnxruntime-web" for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
"""Where the JavaScript package may be."""

needs_package = pytest.mark.skipif(
    shutil.which("node") is None or not any(path.is_dir() for path in MODULES),
    reason="needs node, and onnxruntime-web in a folder of NODE_PATH",
)


@pytest.fixture(params=[{"channels": 1}, {"channels": 3}, {"channels": 4, "classes": ("cats", "dogs")}], ids=str)
def model(request, tmp_path, monkeypatch) -> Model:
    """A model whose file is in the current folder, beside draw.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "draw", draw)
    model = made(size="32x48", latent=16, **request.param)
    write_onnx(model, Path("photos.onnx"))
    return model


def run(code: str) -> dict:
    """Run Python as a module of its own."""
    module = ModuleType("snippet")
    exec(compile(code, PAGE, "exec"), module.__dict__)
    return module.__dict__


def test_python_draws_four_pictures_with_onnxruntime_alone(model):
    assert set(re.findall(r"^(?:import|from) (\w+)", PYTHON, re.MULTILINE)) == {"numpy", "onnxruntime", "PIL"}
    run(PYTHON)
    pictures = [Image.open(f"picture-{index}.png") for index in range(4)]
    assert all(picture.size == (32, 48) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert pictures[0].mode == {1: "L", 3: "RGB", 4: "RGBA"}[model.config.channels]


def test_python_draws_the_seeds_of_handful_generate(model):
    run(PYTHON_SEEDS)
    own = model.images([7], truncation=0.8)[0]
    assert (np.asarray(Image.open("seed-7.png")) != np.asarray(own)).mean() < 5e-3


class Parameter(SimpleNamespace):
    val = 0

    def eval(self):
        return self.val


class ScriptTop:
    """Stands for a Script TOP: parameters on a page of its own, and pixels whose first row is the lowest one."""

    def __init__(self):
        self.par = SimpleNamespace()

    def appendCustomPage(self, name):
        return self

    def appendInt(self, name):
        setattr(self.par, name, Parameter())
        return [getattr(self.par, name)]

    appendFloat = appendInt

    def copyNumpyArray(self, pixels):
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
        self.picture = pixels[::-1]


def test_a_script_top_of_touchdesigner_shows_a_seed(model):
    callbacks, top = run(TOUCHDESIGNER), ScriptTop()
    callbacks["onSetupParameters"](top)
    callbacks["onCook"](top)
    own = model.images([7], truncation=0.8)[0].convert("RGBA")
    assert top.picture.shape == (48, 32, 4)
    assert (top.picture != np.asarray(own)).mean() < 5e-3


@needs_package
def test_javascript_draws_a_picture_that_a_canvas_takes(model):
    (code,) = blocks(PAGE, "js")
    package = next(path for path in MODULES if path.is_dir())
    Path("node_modules").symlink_to(package.parent)
    Path("snippet.mjs").write_text(code)
    Path("main.mjs").write_text(
        "globalThis.ImageData = class { constructor(width, height) {"
        "  Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) }); } };"
        "const { load, draw } = await import('./snippet.mjs');"
        "const session = await load('photos.onnx');"
        "const { width, height, data } = await draw(session);"
        "console.log(JSON.stringify([width, height, [...data]]));"
    )
    done = subprocess.run(["node", "main.mjs"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    width, height, data = json.loads(done.stdout)
    pixels = np.array(data).reshape(height, width, 4)
    assert (width, height) == (32, 48)
    assert pixels.std() > 5
    assert (pixels[..., 3] == 255).all() == (model.config.channels < 4)
    assert (pixels[..., 0] == pixels[..., 1]).all() == (model.config.channels == 1)


def test_the_code_for_unity_names_the_inputs_of_a_file_of_64_px(tmp_path):
    write_onnx(made(size=64, latent=256), tmp_path / "photos.onnx", output="float")
    session = onnxruntime.InferenceSession(tmp_path / "photos.onnx")
    (code,) = blocks(PAGE, "csharp")
    made_of = dict(re.findall(r"var (\w+) = Normal\(random, ([\d, ]+)\)", code))
    given = dict(re.findall(r'SetInput\("(\w+)", (\w+)\)', code))
    shapes = {name: made_of.get(variable, "1") for name, variable in given.items()}
    assert shapes == {
        entry.name: ", ".join(str(1 if side == "batch" else side) for side in entry.shape)
        for entry in session.get_inputs()
    }
    assert re.findall(r'PeekOutput\("(\w+)"\)', code) == [entry.name for entry in session.get_outputs()]
