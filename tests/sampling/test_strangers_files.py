"""Model, latent and direction files from strangers: one error that names the file, before memory is taken."""

import json
import math
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from handful.compute.tensor_files import write_tensors
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.networks.generator import Generator
from handful.sampling.directions import Directions, load_directions
from handful.sampling.latents import load_latents
from handful.sampling.load import load
from support.models import made

OPTIONS = {"size": 32, "channels": 3, "width": 8, "sle": True, "latent": 256, "classes": []}


@pytest.fixture(scope="module")
def model():
    return made(classes=("newts", "frogs"))


@contextmanager
def little_memory(spare: int = 2**28):
    """Let this process have 256 MB more than it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_tiny_file_that_claims_a_huge_network_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "big.safetensors"
    write_tensors(path, {}, "handful generator", OPTIONS | {"size": 1024, "width": 4096})
    assert path.stat().st_size < 300
    with little_memory(), pytest.raises(UsageError, match=r"big.safetensors: the tensor '[\w.]+' is missing"):
        load(path, "cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 10**9}, "width 1000000000: must be at least 8, at most 4096"),
        ({"width": 12}, "a multiple of 8"),
        ({"width": -8}, "width -8"),
        ({"width": 8.0}, "width 8.0: must be a whole number"),
        ({"width": "8"}, "width 8: must be a whole number"),
        ({"width": None}, "width None: must be a whole number"),
        ({"width": True}, "width True"),
        ({"size": 33}, "size 33"),
        ({"size": [32]}, "size 32: must be"),
        ({"size": "9" * 5000}, "size 999"),
        ({"channels": 2}, "channels 2: must be 1, 3 or 4"),
        ({"latent": 0}, "latent 0"),
        ({"latent": 10**12}, "latent 1000000000000"),
        ({"sle": 1}, "sle 1: must be True or False"),
        ({"classes": "newts"}, "classes newts"),
        ({"classes": [1]}, "classes 1"),
        ({"classes": {"a": 1}}, "classes"),
        ({"classes": ["a\x1b[2Jb"]}, "the tensor"),
        ({"colour": 1}, "unknown option 'colour'"),
        ({"latent": 128}, "the tensor 'first.conv.weight' is F32"),
    ],
)
def test_options_that_make_no_sense_are_told_as_the_files(tmp_path, change, said):
    weights = Generator(GeneratorConfig(size=32, width=8)).state_dict()
    path = tmp_path / "model.safetensors"
    write_tensors(path, weights, "handful generator", OPTIONS | change)
    with pytest.raises(UsageError) as error:
        load(path, "cpu")
    message = error.value.on_command_line
    assert message.startswith(f"{path}: ")
    assert said in message
    assert len(message) < 1000
    assert "--" not in message
    assert message.isprintable()


@pytest.mark.parametrize("change", [torch.nan, torch.inf])
def test_a_model_with_numbers_that_are_not_finite_is_refused(tmp_path, model, change):
    weights = {name: value.clone() for name, value in model.network.state_dict().items()}
    weights["to_image.weight"].view(-1)[5] = change
    options = OPTIONS | {"classes": ["newts", "frogs"]}
    write_tensors(tmp_path / "model.safetensors", weights, "handful generator", options)
    with pytest.raises(UsageError, match=r"tensor 'to_image.weight' has numbers that are not finite"):
        load(tmp_path, "cpu")


def latent_tensors(model, count=2):
    latents = model.latents(count)
    noise = {f"noise.{site}": maps for site, maps in enumerate(latents.noise)}
    return {"z": latents.z, "labels": latents.labels} | noise


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z": torch.zeros(2, 3)}, r"'z' is F32 \(2, 3\), and should be F32 \(2, 256\)"),
        ({"z": torch.zeros(2, 256, dtype=torch.float64)}, "is F64"),
        ({"z": torch.full((2, 256), math.nan)}, "not finite"),
        ({"labels": torch.tensor([0, 2])}, "labels are not from 0 to 1"),
        ({"labels": torch.tensor([0, -1])}, "labels are not from 0 to 1"),
        ({"labels": torch.zeros(2)}, "'labels' is F32"),
        ({"noise.99": torch.zeros(1)}, "'noise.99' is unknown"),
        ({"noise.0": torch.zeros(2, 1, 5, 5)}, "'noise.0' is F32"),
        ({}, None),
    ],
)
def test_a_latent_file_is_compared_with_the_model(tmp_path, model, change, said):
    path = tmp_path / "face.safetensors"
    header = {"model": model.fingerprint, "names": ["1", "2"]}
    write_tensors(path, latent_tensors(model) | change, "handful latents", header)
    if said is None:
        assert load_latents(path, model).names == ("1", "2")
        return
    with pytest.raises(UsageError, match=f"face.safetensors: .*{said}"):
        load_latents(path, model)


@pytest.mark.parametrize("names", [None, [], "12", [1, 2], ["1"], ["1", "2", "3"], {"a": "b"}])
@pytest.mark.parametrize("kind", ["latents", "directions"])
def test_names_that_are_none_are_refused(tmp_path, model, names, kind):
    path = tmp_path / "x.safetensors"
    tensors = latent_tensors(model)
    if kind == "directions":
        tensors = {"vectors": torch.zeros(2, 256), "measures": torch.zeros(2)}
    write_tensors(path, tensors, f"handful {kind}", {"model": model.fingerprint, "names": names})
    read = load_latents if kind == "latents" else load_directions
    with pytest.raises(UsageError, match=r"x.safetensors: (its names are not a list|the tensor)"):
        read(path, model)


@pytest.mark.parametrize(
    "tensors",
    [
        {"vectors": torch.zeros(1, 3), "measures": torch.zeros(1)},
        {"vectors": torch.zeros(1, 256), "measures": torch.zeros(2)},
        {"vectors": torch.full((1, 256), math.inf), "measures": torch.zeros(1)},
        {"vectors": torch.zeros(1, 256)},
        {},
    ],
)
def test_a_file_of_directions_is_compared_with_the_model(tmp_path, model, tensors):
    path = tmp_path / "smile.safetensors"
    write_tensors(path, tensors, "handful directions", {"model": model.fingerprint, "names": ["1"]})
    with pytest.raises(UsageError, match=r"smile.safetensors: the tensor"):
        load_directions(path, model)


def test_a_fingerprint_with_escapes_is_printed_without_them(tmp_path, model):
    path = tmp_path / "face.safetensors"
    write_tensors(path, latent_tensors(model), "handful latents", {"model": "\x1b[2J", "names": ["1", "2"]})
    with pytest.raises(UsageError, match="belongs to model") as error:
        load_latents(path, model)
    assert str(error.value).isprintable()


def test_a_damaged_bit_in_a_latent_file_is_found(tmp_path, model):
    path = tmp_path / "face.safetensors"
    model.latents(2).save(path, model)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match="checksum does not match"):
        load_latents(path, model)


def test_directions_come_back(tmp_path, model):
    directions = Directions(torch.eye(256)[:2], ("a", "b"), (1.0, 2.0))
    directions.save(tmp_path / "x.safetensors", model)
    read = load_directions(tmp_path / "x.safetensors", model)
    assert torch.equal(read.vectors, directions.vectors)
    assert (read.names, read.measures) == (directions.names, directions.measures)


def test_the_config_beside_a_model_is_not_needed(tmp_path, model):
    model.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(None))
    assert torch.equal(load(tmp_path, "cpu").sample(1), model.sample(1))
