"""SqueezeNet: its file, decoded a second way, and what a second, plain implementation makes of images."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from handful.config.geometry import Geometry
from handful.data.dataset import load_folder
from handful.errors import MissingWeightsError, WeightsError
from handful.metrics.features import load_extractor
from handful.networks.pretrained import weights
from handful.networks.pretrained.squeezenet import CLASSES, FIRES, SqueezeNet, decode, prepare

CPU = torch.device("cpu")
SETS = ("cells", "emoji", "raccoons", "retinas", "shirts", "tarot")


def shapes_of_all_layers() -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(96, 3, 7, 7)]
    channels = 96
    for squeezed, expanded in FIRES:
        shapes += [(squeezed, channels, 1, 1), (expanded, squeezed, 1, 1), (expanded, squeezed, 3, 3)]
        channels = 2 * expanded
    return [*shapes, (CLASSES, channels, 1, 1)]


def read_plainly(content: bytes, shapes: list[tuple[int, ...]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Decode a file number by number, with nothing but struct and loops."""
    counts = [struct.unpack_from("<I", content, 4 * layer)[0] for layer in range(len(shapes))]
    position, layers = 4 * len(shapes), []
    for shape, count in zip(shapes, counts, strict=True):
        values = [struct.unpack_from("<f", content, position + 4 * index)[0] for index in range(256)]
        position += 1024
        biases = [struct.unpack_from("<f", content, position + 4 * index)[0] for index in range(shape[0])]
        position += 4 * shape[0]
        codes, position = content[position : position + count], position + count
        nibbles = "".join(f"{byte:02x}"[::-1] for byte in content[position : position + (count + 1) // 2])
        position += (count + 1) // 2
        weight, index = [0.0] * int(np.prod(shape)), -1
        for code, gap in zip(codes, nibbles, strict=False):
            index += int(gap, 16) + 1
            weight[index] = values[code]
        layers.append((np.array(weight, np.float32).reshape(shape), np.array(biases, np.float32)))
    assert position == len(content)
    return layers


def encoded(shapes: list[tuple[int, ...]], seed: int = 0) -> bytes:
    """Return a file of random weights: about every fourth is kept."""
    random = np.random.default_rng(seed)
    counts, bodies = [], []
    for shape in shapes:
        size = int(np.prod(shape))
        gaps = random.integers(0, 8, size, np.uint8)
        gaps = gaps[np.cumsum(gaps + 1, dtype=np.int64) <= size]
        numbers = random.normal(0, (2 / size * shape[0]) ** 0.5, 256 + shape[0]).astype("<f4").tobytes()
        codes = random.integers(0, 256, len(gaps), np.uint8).tobytes()
        low, high = np.append(gaps, np.zeros(len(gaps) % 2, np.uint8)).reshape(-1, 2).T
        counts.append(len(gaps))
        bodies.append(numbers + codes + (low | high << 4).tobytes())
    return struct.pack(f"<{len(shapes)}I", *counts) + b"".join(bodies)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A file of random weights in the real layout."""
    path = tmp_path_factory.mktemp("made") / "made.net"
    path.write_bytes(encoded(shapes_of_all_layers()))
    return path


@pytest.fixture(scope="module")
def pretrained_file(squeezenet_weights) -> Path:
    return weights.locate(weights.SQUEEZENET, squeezenet_weights, download=False)


def features_plainly(layers: list[tuple[np.ndarray, np.ndarray]], images: torch.Tensor) -> torch.Tensor:
    """Compute features by unfolding windows, in float64, with pools over explicitly padded maps."""

    def convolve(x: torch.Tensor, stride: int = 1, padding: int = 0) -> torch.Tensor:
        weight, bias = (torch.from_numpy(part).double() for part in layers[used.pop(0)])
        kernel = weight.shape[2]
        out = [(side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:]]
        columns = F.unfold(x, kernel, padding=padding, stride=stride)
        return (weight.flatten(1) @ columns + bias[:, None]).view(len(x), -1, *out).clamp(min=0)

    def pool(x: torch.Tensor) -> torch.Tensor:
        out = [-(-(side - 3) // 2) + 1 for side in x.shape[2:]]
        missing = [2 * (count - 1) + 3 - side for count, side in zip(out, x.shape[2:], strict=True)]
        x = F.pad(x, (0, missing[1], 0, missing[0]), value=-torch.inf)
        return x.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))

    used = list(range(len(layers)))
    resized = F.interpolate(images.double(), (128, 128), mode="bicubic", antialias=True).clamp(0, 255)
    red, green, blue = resized.unbind(dim=1)
    x = pool(convolve(torch.stack([blue - 104, green - 117, red - 123], dim=1), stride=2))
    for fire in range(2, 10):
        squeezed = convolve(x)
        x = torch.cat([convolve(squeezed), convolve(squeezed, padding=1)], dim=1)
        x = pool(x) if fire in (4, 8) else x
    return x.mean(dim=(2, 3)) / 40


def noise(count: int, height: int = 50, width: int = 70) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=random)


def require_equal(path: Path) -> None:
    plain = read_plainly(path.read_bytes(), shapes_of_all_layers())
    for (weight, bias), (expected, expected_bias) in zip(decode(path, shapes_of_all_layers()), plain, strict=True):
        assert np.array_equal(weight.numpy(), expected)
        assert np.array_equal(bias.numpy(), expected_bias)
    images = noise(2)
    expected = features_plainly(plain, images)
    assert torch.allclose(SqueezeNet(path)(prepare(images)).double(), expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_a_made_file_is_read_as_loops_read_it_and_features_are_those_of_a_plain_implementation(made):
    require_equal(made)


def test_the_published_file_is_read_as_loops_read_it_and_features_are_those_of_a_plain_implementation(pretrained_file):
    require_equal(pretrained_file)


def test_the_published_network_has_the_published_size(pretrained_file):
    layers = decode(pretrained_file, shapes_of_all_layers())
    # SqueezeNet (Iandola et al. 2016), table 1: 1,248,424 numbers, 421,098 after pruning.
    assert sum(weight.numel() + bias.numel() for weight, bias in layers) == 1_248_424
    assert sum(int((weight != 0).sum()) + len(bias) for weight, bias in layers) == pytest.approx(421_098, rel=0.01)


def damage(content: bytes, kind: str) -> bytes:
    shapes = shapes_of_all_layers()
    if kind == "empty":
        return b""
    if kind == "cut":
        return content[:-1]
    if kind == "longer":
        return content + b"\0"
    if kind == "counts":
        return struct.pack("<I", 0xFFFFFFFF) + content[4:]
    if kind == "value":
        start = 4 * len(shapes)
        return content[:start] + struct.pack("<f", float("nan")) + content[start + 4 :]
    count = struct.unpack_from("<I", content, 4 * (len(shapes) - 1))[0]
    return content[: -((count + 1) // 2)] + b"\xff" * ((count + 1) // 2)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "ends before the 26 counts"),
        ("cut", "counts need"),
        ("longer", "counts need"),
        ("counts", r"counts need 6,44\d,\d+,\d+ bytes"),
        ("value", "layer 1 of 26 has a weight outside it, or no number"),
        ("gaps", "layer 26 of 26 has a weight outside it"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(kind, message, made, tmp_path):
    path = tmp_path / "damaged.net"
    path.write_bytes(damage(made.read_bytes(), kind))
    with pytest.raises(WeightsError, match=rf"damaged.net is not SqueezeNet's weight file: .*{message}"):
        SqueezeNet(path)


def test_the_network_is_frozen_and_its_maps_halve(made):
    network = SqueezeNet(made)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    maps = network.maps(prepare(noise(1)))
    assert [tuple(values.shape[1:]) for values in maps] == [(96, 61, 61), (256, 30, 30), (512, 15, 15), (512, 7, 7)]


def test_without_the_file_the_error_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HANDFUL_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=r"compressed_SqueezeNet\.net \(675,763 bytes, licence BSD"):
        SqueezeNet.pretrained(download=False)


def grey(images: torch.Tensor) -> torch.Tensor:
    """Return grey images of one mean and one contrast: neither colour nor brightness tells them apart."""
    values = images.double().mean(dim=1, keepdim=True)
    deviation, mean = torch.std_mean(values, dim=(2, 3), keepdim=True)
    return ((values - mean) / (deviation + 5) * 45 + 128).clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)


def share_of_right_neighbours(rows: torch.Tensor, kinds: torch.Tensor) -> float:
    distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    return float((kinds[distances.argmin(dim=1)] == kinds).double().mean())


def test_it_tells_kinds_of_pictures_apart_where_thumbnails_do_not(data, squeezenet_weights):
    sets = [load_folder(data / name, Geometry((64, 64)), most=16).images for name in SETS]
    images, kinds = grey(torch.cat(sets)), torch.arange(len(SETS)).repeat_interleave(16)
    thumbnails = F.adaptive_avg_pool2d(images.double(), 16).flatten(1)
    features = load_extractor("squeezenet", CPU, squeezenet_weights)(images)
    assert share_of_right_neighbours(thumbnails, kinds) < 0.7
    assert share_of_right_neighbours(features, kinds) > 0.9
