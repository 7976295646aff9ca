"""An ONNX file draws what PyTorch draws, for every kind of model, or is not written."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import handful
from handful.cli.main import main
from handful.config.sizes import all_sizes, spelled
from handful.errors import UsageError
from handful.exporting.graph import IR_VERSION, OPSET, Graph, add_bytes
from handful.exporting.onnx import write_onnx
from handful.sampling.model import Model
from support.models import made, trained

SIZES = [spelled(shape) for shape in all_sizes() if max(shape) <= 128]

SMALL_SIZES = [spelled(shape) for shape in all_sizes() if max(shape) <= 64]

OUTPUTS = ("uint8", "float")


def run(path: Path, model: Model, seeds, truncation=1.0, shares=None) -> np.ndarray:
    """Draw seeds with onnxruntime, in one batch."""
    latents = model.latents(seeds)
    inputs = {"latent": latents.z} | {f"noise_{index}": maps for index, maps in enumerate(latents.noise)}
    if latents.labels is not None:
        own = torch.nn.functional.one_hot(latents.labels, len(model.config.classes)).float()
        inputs["label"] = own if shares is None else shares
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = {name: value.numpy() for name, value in inputs.items()} | {"truncation": np.float32([truncation])}
    assert {entry.name for entry in session.get_inputs()} == set(values)
    return session.run(None, values)[0]


def pictures(model: Model, seeds, truncation=1.0) -> np.ndarray:
    drawn = [np.asarray(picture) for picture in model.images(seeds, truncation=truncation)]
    return np.stack(drawn).reshape(len(drawn), *model.config.shape, model.config.channels)


def near(left: np.ndarray, right: np.ndarray, changed: float = 2e-3) -> bool:
    """Whether bytes are equal but for a few that differ by one."""
    far = np.abs(left.astype(int) - right)
    return left.shape == right.shape and far.max() <= 1 and (far > 0).mean() <= changed


@pytest.fixture(scope="module")
def model() -> Model:
    return made(size=64, latent=32)


@pytest.fixture(scope="module")
def source(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "birds"
    model.save(folder)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"size": 64},
        {"size": 32, "channels": 1, "sle": False},
        {"size": "48x80", "channels": 4, "classes": ("cats", "dogs", "newts")},
        {"size": "96x64", "classes": ("cats", "dogs")},
        *(
            pytest.param({"size": size} | options, marks=pytest.mark.slow)
            for size in (128, 256)
            for options in ({"channels": 4}, {"classes": ("cats", "dogs")}, {"sle": False})
        ),
    ],
    ids=str,
)
def test_a_file_draws_what_pytorch_draws(options, tmp_path):
    model = made(latent=32, **options)
    difference = write_onnx(model, tmp_path / "model.onnx")
    assert 0 < difference.largest <= 1e-5
    for seeds in ([3], range(5)):  # straight alpha enlarges differences where a picture is nearly transparent
        drawn, own = run(tmp_path / "model.onnx", model, seeds), pictures(model, seeds)
        assert drawn.dtype == np.uint8
        assert near(drawn, own) if model.config.channels < 4 else (drawn != own).mean() < 2e-3


KINDS = {
    "channels": st.sampled_from((1, 3, 4)),
    "classes": st.sampled_from(((), ("a",), ("a", "b", "c"))),
    "sle": st.booleans(),
    "latent": st.integers(1, 24),
}


def export_any(folder: Path, output: str, **options) -> None:
    difference = write_onnx(Model(trained(**options)), folder / "model.onnx", output=output)
    assert difference.largest <= 1e-5


@settings(max_examples=5, deadline=None)
@given(size=st.sampled_from(SMALL_SIZES), output=st.sampled_from(OUTPUTS), **KINDS)
def test_every_small_model_can_be_exported(tmp_path_factory, output, **options):
    export_any(tmp_path_factory.mktemp("any"), output, **options)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(size=st.sampled_from(SIZES), output=st.sampled_from(OUTPUTS), **KINDS)
def test_every_model_can_be_exported(tmp_path_factory, output, **options):
    export_any(tmp_path_factory.mktemp("any"), output, **options)


def test_half_precision_halves_the_file_and_changes_few_bytes_by_one(tmp_path):
    model = made(size=64, latent=64)
    difference = write_onnx(model, tmp_path / "half.onnx", "fp16")
    assert difference.levels == 1
    assert 0 < difference.changed <= 0.02
    assert near(run(tmp_path / "half.onnx", model, range(4)), pictures(model, range(4)), changed=0.02)
    write_onnx(model, tmp_path / "full.onnx")
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * (tmp_path / "full.onnx").stat().st_size


@pytest.mark.parametrize("truncation", [0.0, 0.4, 1.0])
def test_truncation_is_that_of_python(model, tmp_path, truncation):
    write_onnx(model, tmp_path / "model.onnx")
    assert near(run(tmp_path / "model.onnx", model, range(3), truncation), pictures(model, range(3), truncation))


def test_classes_can_be_mixed(tmp_path):
    model = made(size=64, latent=16, classes=("cats", "dogs", "newts"))
    write_onnx(model, tmp_path / "model.onnx", output="float")
    shares, latents = torch.tensor([[0.2, 0.0, 0.8]]), model.latents([5])
    for truncation in (1.0, 0.3):
        own = model.draw(latents.z, latents.noise, shares, truncation).numpy()
        assert np.abs(run(tmp_path / "model.onnx", model, [5], truncation, shares) - own).max() < 1e-5


def test_straight_alpha_is_that_of_pillow_for_every_colour_and_alpha(tmp_path):
    graph = Graph()
    add_bytes(graph, 4)
    value = onnx.helper.make_tensor_value_info
    content = onnx.helper.make_graph(
        graph.nodes, "bytes",
        [value("image", onnx.TensorProto.FLOAT, [1, 4, 256, 256])],
        [value("picture", onnx.TensorProto.UINT8, [1, 256, 256, 4])], graph.constants,
    )  # fmt: skip
    model = onnx.helper.make_model(content, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    colour, alpha = np.indices((256, 256), np.uint8)
    stored = np.stack([colour, 255 - colour, colour, alpha], axis=-1)
    image = (stored.transpose(2, 0, 1)[None] / np.float32(127.5) - 1).astype(np.float32)
    drawn = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"image": image})[0][0]
    assert np.array_equal(drawn, np.asarray(Image.frombytes("RGBa", (256, 256), stored.tobytes()).convert("RGBA")))


def test_a_file_says_what_it_is(tmp_path):
    model = made(size="48x32", latent=16, channels=4, classes=("crème", "b"))
    write_onnx(model, tmp_path / "model.onnx", "fp16", "float", license="cc-by-4.0")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    told = dict(session.get_modelmeta().custom_metadata_map)
    assert json.loads(told.pop("classes")) == ["crème", "b"]
    assert told == {
        "format": "handful onnx 1", "handful": handful.__version__, "fingerprint": model.fingerprint, "size": "48x32",
        "channels": "4", "precision": "fp16", "output": "float", "license": "cc-by-4.0",
    }  # fmt: skip
    assert {entry.name: entry.shape for entry in session.get_inputs()} == {
        "latent": ["batch", 16], "noise_0": ["batch", 1, 8, 12], "noise_1": ["batch", 1, 8, 12],
        "noise_2": ["batch", 1, 32, 48], "noise_3": ["batch", 1, 32, 48], "label": ["batch", 2], "truncation": [1],
    }  # fmt: skip
    assert [(entry.name, entry.shape) for entry in session.get_outputs()] == [("image", ["batch", 4, 32, 48])]


def test_a_file_that_draws_something_else_is_not_written(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("an older file")
    model = made(size=32, latent=16)
    model.folded.to_image.register_forward_hook(lambda module, inputs, output: output + 1e-4)  # the graph lacks this
    with pytest.raises(UsageError, match=r"model\.onnx: not written, since it differs from PyTorch by 1.0e-04 in"):
        write_onnx(model, path)
    model.folded.to_image.register_forward_hook(lambda module, inputs, output: output + 0.1)
    with pytest.raises(UsageError, match="of 256; use precision fp32"):
        write_onnx(model, path, "fp16")
    model.folded.to_image.register_forward_hook(lambda module, inputs, output: output * torch.nan)
    with pytest.raises(UsageError, match="by inf"):
        write_onnx(model, path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "an older file"


def test_thousands_of_classes_are_exported(tmp_path):
    model = made(size=32, latent=8, classes=tuple(f"kind {index}" for index in range(3000)))
    assert write_onnx(model, tmp_path / "model.onnx").largest <= 1e-5


def test_a_model_in_half_precision_is_exported_in_float32(model, tmp_path):
    half = Model(model.network, "bf16")
    write_onnx(half, tmp_path / "model.onnx")
    assert near(run(tmp_path / "model.onnx", model, [1]), pictures(model, [1]))


def test_the_command_writes_a_file_named_after_the_source(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(source), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    size = Path("birds.onnx").stat().st_size
    assert told == {"source": str(source), "format": "onnx", "file": "birds.onnx", "bytes": size}
    first = Path("birds.onnx").read_bytes()
    with pytest.raises(UsageError, match=r"out birds\.onnx: exists; delete it"):
        handful.export(source)
    assert Path("birds.onnx").read_bytes() == first
    Path("birds.onnx").unlink()
    assert handful.export(source) == Path("birds.onnx")
    assert Path("birds.onnx").read_bytes() == first  # the same model is the same file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["empty"], "empty: has no model.safetensors; if it is a run folder, it has not written its first model yet"),
        (["other"], "other/model.safetensors: is not a model of this version of handful (expected format"),
        (["nowhere"], "nowhere: does not exist; give"),
        (["SOURCE", "--out", "folder.onnx"], "--out folder.onnx: is a folder; name a file in it, such as folder.onnx/"),
        (["SOURCE", "--out", "there.onnx"], "--out there.onnx: exists; delete it, or choose another name"),
        (["SOURCE", "--format", "web", "--out", "there.html"], "--out there.html: exists; delete it"),
        (["SOURCE", "--out", "model.png"], "--out model.png: must end in .onnx for --format onnx, such as model.onnx"),
        (["SOURCE", "--out", "file/model.onnx"], "--out file: the folder cannot be created (File exists)"),
        (["SOURCE", "--out", "locked/model.onnx"], "--out locked: the folder is not writable; choose another"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_said_in_a_line(arguments, message, source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "other", "folder.onnx", "locked"):
        Path(folder).mkdir()
    for file in ("file", "there.onnx", "there.html"):
        Path(file).touch()
    content = (source / "model.safetensors").read_bytes()
    Path("other/model.safetensors").write_bytes(content.replace(b"handful generator 2", b"handful generator 9"))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode))
    before = sorted(Path().rglob("*"))
    assert main(["export", *(str(source) if word == "SOURCE" else word for word in arguments)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"handful: {message}"), told
    assert told.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, source, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", str(source), "--out", str(tmp_path / "x" / "model.onnx")]) == 2
    assert capsys.readouterr().err == f"handful: export: needs {package}; pip install 'handful[export]'\n"
    assert not list(tmp_path.rglob("*.onnx"))
