import copy
import hashlib
import urllib.request
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handful.errors import WeightsError
from handful.networks.pretrained import lpips, weights
from handful.networks.pretrained.lpips import SHIFT, Perceptual, _normalise

# What the two common files hold, besides VGG16's classifier.
BACKBONE_SHAPES = {
    "features.0.weight": (64, 3, 3, 3),
    "features.0.bias": (64,),
    "features.2.weight": (64, 64, 3, 3),
    "features.2.bias": (64,),
    "features.5.weight": (128, 64, 3, 3),
    "features.5.bias": (128,),
    "features.7.weight": (128, 128, 3, 3),
    "features.7.bias": (128,),
    "features.10.weight": (256, 128, 3, 3),
    "features.10.bias": (256,),
    "features.12.weight": (256, 256, 3, 3),
    "features.12.bias": (256,),
    "features.14.weight": (256, 256, 3, 3),
    "features.14.bias": (256,),
    "features.17.weight": (512, 256, 3, 3),
    "features.17.bias": (512,),
    "features.19.weight": (512, 512, 3, 3),
    "features.19.bias": (512,),
    "features.21.weight": (512, 512, 3, 3),
    "features.21.bias": (512,),
    "features.24.weight": (512, 512, 3, 3),
    "features.24.bias": (512,),
    "features.26.weight": (512, 512, 3, 3),
    "features.26.bias": (512,),
    "features.28.weight": (512, 512, 3, 3),
    "features.28.bias": (512,),
}
HEAD_SHAPES = {
    "lin0.model.1.weight": (1, 64, 1, 1),
    "lin1.model.1.weight": (1, 128, 1, 1),
    "lin2.model.1.weight": (1, 256, 1, 1),
    "lin3.model.1.weight": (1, 512, 1, 1),
    "lin4.model.1.weight": (1, 512, 1, 1),
}


@cache
def shared() -> Perceptual:
    """The one network that tests share, for what cannot take a fixture: the examples of a property."""
    return Perceptual()


@pytest.fixture
def perceptual() -> Perceptual:
    return shared()


def draw(count: int, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
    return np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4])) + bias[:, None, None]


def halve(x: np.ndarray) -> np.ndarray:
    channels, height, width = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))


def oracle_taps(image: np.ndarray, backbone: dict[str, np.ndarray]) -> list[np.ndarray]:
    x = (image - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None]
    taps = []
    for index in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28):
        if index in (5, 10, 17, 24):
            taps.append(x)
            x = halve(x)
        x = np.maximum(convolve(x, backbone[f"features.{index}.weight"], backbone[f"features.{index}.bias"]), 0)
    return [tap / (np.sqrt((tap**2).sum(axis=0)) + 1e-10) for tap in [*taps, x]]


def oracle(image: np.ndarray, target: np.ndarray, backbone: dict[str, np.ndarray], heads: list[np.ndarray]) -> float:
    """LPIPS in NumPy and float64, one pair at a time, from the paper and the names in the file alone."""
    pairs = zip(oracle_taps(image, backbone), oracle_taps(target, backbone), strict=True)
    return sum(
        float(np.einsum("c,chw->hw", head, (tap - target_tap) ** 2).mean())
        for head, (tap, target_tap) in zip(heads, pairs, strict=True)
    )


def test_the_distance_is_that_of_an_independent_implementation() -> None:
    perceptual = Perceptual()
    generator = torch.Generator().manual_seed(7)
    for name, value in perceptual.backbone.named_parameters():
        if name.endswith("bias"):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    images, targets = draw(2, 36, 19, seed=1), draw(2, 36, 19, seed=2)
    backbone = {name: value.double().numpy() for name, value in perceptual.backbone.state_dict().items()}
    heads = [head.double().numpy().ravel() for head in perceptual.heads]
    pairs = zip(images.double().numpy(), targets.double().numpy(), strict=True)
    expected = [oracle(image, target, backbone, heads) for image, target in pairs]
    distances = perceptual(images, targets)
    assert distances.shape == (2,)
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-4)
    assert abs(expected[0] - expected[1]) > 1e-3 * expected[0], "the test could not tell the two pairs apart"


@settings(max_examples=8, deadline=None)
@given(first=st.integers(0, 999), second=st.integers(0, 999))
def test_the_distance_is_symmetric_not_negative_and_nothing_for_equal_images(first: int, second: int) -> None:
    images, targets = draw(1, 16, 16, first), draw(1, 16, 16, second)
    perceptual = shared()
    there, back = perceptual(images, targets), perceptual(targets, images)
    assert there.item() >= 0
    torch.testing.assert_close(there, back)
    assert perceptual(images, images).item() == 0


def test_a_distance_does_not_depend_on_the_other_pairs_of_the_batch(perceptual: Perceptual) -> None:
    images, targets = draw(3, seed=1), draw(3, seed=2)
    alone = torch.cat([perceptual(images[i : i + 1], targets[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(perceptual(images, targets), alone)


def test_a_shared_target_is_encoded_once_and_serves_every_image(perceptual: Perceptual) -> None:
    images, target = draw(2, seed=1), draw(1, seed=2)
    once = perceptual.distance(perceptual.features(images), perceptual.features(target))
    torch.testing.assert_close(once, perceptual(images, target.expand(2, -1, -1, -1)))


def test_every_feature_vector_has_length_one_or_none(perceptual: Perceptual) -> None:
    features = perceptual.features(draw(1))
    assert [tuple(tap.shape) for tap in features] == [
        (1, 64, 32, 32),
        (1, 128, 16, 16),
        (1, 256, 8, 8),
        (1, 512, 4, 4),
        (1, 512, 2, 2),
    ]
    for tap in features:
        torch.testing.assert_close(tap.norm(dim=1), torch.ones(tap.shape[0], *tap.shape[2:]))
        assert (tap >= 0).all(), "a tap must be what comes out of a ReLU"


def test_gradients_reach_the_images_and_neither_targets_nor_weights(perceptual: Perceptual) -> None:
    images, targets = draw(2, seed=1).requires_grad_(), draw(2, seed=2).requires_grad_()
    perceptual(images, targets).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert (images.grad.flatten(1).abs().sum(dim=1) > 0).all()
    assert targets.grad is None
    assert all(not weight.requires_grad and weight.grad is None for weight in perceptual.parameters())
    assert not any(module.training for module in perceptual.modules())


def test_gradients_are_those_of_finite_differences() -> None:
    perceptual = Perceptual().double()
    images, targets = draw(1, 16, 16, seed=1).double().requires_grad_(), draw(1, 16, 16, seed=2).double()
    direction = draw(1, 16, 16, seed=3).double()
    (gradient,) = torch.autograd.grad(perceptual(images, targets).sum(), images)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (perceptual(images + sign * step * direction, targets) for sign in (1, -1))
    assert (gradient * direction).sum().item() == pytest.approx((ahead - behind).item() / (2 * step), rel=1e-4)


def test_gradients_stay_finite_where_nothing_fires(perceptual: Perceptual) -> None:
    images = torch.tensor(SHIFT).view(1, 3, 1, 1).repeat(2, 1, 16, 16).requires_grad_()
    assert all((tap == 0).all() for tap in perceptual.features(images))
    perceptual(images, draw(2, 16, 16)).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_the_gradient_of_normalising_nothing_is_finite() -> None:
    # The ReLU before a tap hides a NaN from the test above, so this asks the function itself.
    tap = torch.zeros(1, 4, 2, 2, requires_grad=True)
    (_normalise(tap) - 1).square().sum().backward()
    assert tap.grad is not None
    assert tap.grad.isfinite().all()


@pytest.mark.parametrize("level", [-1.0, 0.0, -0.030])
def test_gradients_stay_finite_for_a_constant_image(level: float, perceptual: Perceptual) -> None:
    images = torch.full((2, 3, 16, 16), level, requires_grad=True)
    perceptual(images, draw(2, 16, 16)).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_half_precision_before_the_taps_is_close_to_full(perceptual: Perceptual) -> None:
    images, targets = draw(2, seed=1), draw(2, seed=2)
    exact = perceptual(images, targets)
    with torch.autocast("cpu", torch.bfloat16):
        rough = perceptual(images, targets)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


@pytest.mark.parametrize("level", [0.0, 6e4])
def test_half_precision_neither_divides_by_zero_nor_overflows(level: float) -> None:
    features = _normalise(torch.full((1, 64, 2, 2), level, dtype=torch.float16))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, torch.full((1, 64, 2, 2), 0.125 if level else 0.0))


@pytest.mark.parametrize(("height", "width"), [(15, 32), (32, 8)])
def test_images_too_small_to_halve_four_times_are_an_error(height: int, width: int, perceptual: Perceptual) -> None:
    images = draw(1, height, width)
    with pytest.raises(ValueError, match=f"{width}x{height} pixels.*needs 16 pixels or more a side: enlarge them"):
        perceptual(images, images)
    assert perceptual(draw(1, 16, 16), draw(1, 16, 16)).item() == 0


def test_building_leaves_the_global_random_state_alone_and_repeats_for_a_seed(perceptual: Perceptual) -> None:
    before = torch.get_rng_state()
    again, other = Perceptual(seed=0), Perceptual(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for mine, same, different in zip(perceptual.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, same)
        assert mine.dim() == 1 or not torch.equal(mine, different)


def save(folder: Path, name: str, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a weight file and make its hash the right one."""
    torch.save(tensors, folder / name)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    monkeypatch.setitem(weights.TABLE, name, replace(weights.TABLE[name], sha256=digest, packages=()))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A folder (``tmp_path``) with a file each of random backbone and heads, which are returned; and no network."""

    def forbid_network(*args: object, **options: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(urllib.request, "urlopen", forbid_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)
    generator = torch.Generator().manual_seed(3)
    backbone = {name: torch.rand(shape, generator=generator) for name, shape in BACKBONE_SHAPES.items()}
    heads = {name: torch.rand(shape, generator=generator) for name, shape in HEAD_SHAPES.items()}
    save(tmp_path, weights.VGG16, backbone | {"classifier.0.bias": torch.ones(4096)}, monkeypatch)
    save(tmp_path, weights.LPIPS_VGG, heads, monkeypatch)
    return backbone, heads


def test_the_names_and_shapes_are_those_of_the_common_file(perceptual: Perceptual) -> None:
    assert {name: tuple(value.shape) for name, value in perceptual.backbone.state_dict().items()} == BACKBONE_SHAPES
    assert [tuple(head.shape) for head in perceptual.heads] == list(HEAD_SHAPES.values())


def test_the_common_files_load(files: tuple[dict[str, Tensor], dict[str, Tensor]], tmp_path: Path) -> None:
    backbone, heads = files
    loaded = Perceptual.pretrained(tmp_path, download=False)
    for name, value in loaded.backbone.state_dict().items():
        assert torch.equal(value, backbone[name]), name
    for head, expected in zip(loaded.heads, heads.values(), strict=True):
        assert torch.equal(head, expected)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.usefixtures("files")
def test_a_missing_file_is_an_error_and_no_download(tmp_path: Path) -> None:
    (tmp_path / weights.VGG16).unlink()
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth is missing.*Download https://download\.pyt"):
        Perceptual.pretrained(tmp_path, download=False)


@pytest.mark.parametrize("name", [weights.VGG16, weights.LPIPS_VGG])
def test_a_file_with_other_tensors_is_named(
    name: str,
    files: tuple[dict[str, Tensor], dict[str, Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensors = files[0] if name == weights.VGG16 else files[1]
    first = next(iter(tensors))
    others = {key: value for key, value in tensors.items() if key != first}
    save(tmp_path, name, others | {"stray": torch.ones(1)}, monkeypatch)
    with pytest.raises(WeightsError, match=rf"{name} does not fit: missing \['{first}'\], unexpected \['stray'\]"):
        Perceptual.pretrained(tmp_path, download=False)
    save(tmp_path, name, tensors | {first: torch.ones(2, 2)}, monkeypatch)
    with pytest.raises(WeightsError, match=rf"{name} does not fit: {first} has shape \(2, 2\), not"):
        Perceptual.pretrained(tmp_path, download=False)


def plain_perceptual(network: Perceptual, made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """LPIPS as it is written, one pair at a time, in float64."""
    network = copy.deepcopy(network).double()
    total = torch.zeros((), dtype=torch.float64)
    for head, f, g in zip(network.heads, network.features(made), network.features(target), strict=True):
        total = total + ((f - g) ** 2 * head).sum(dim=1).mean()
    return total


def test_the_batched_perceptual_loss_is_the_sum_of_its_pairs(monkeypatch):
    """For a network as deep as VGG16, with a quarter of its channels."""
    monkeypatch.setattr(lpips, "BLOCKS", [(channels // 4, count) for channels, count in lpips.BLOCKS])
    network = Perceptual(seed=3)
    random = torch.Generator().manual_seed(2)
    made = (torch.rand(6, 3, 32, 32, generator=random, dtype=torch.float64) * 2 - 1).requires_grad_()
    targets = torch.rand(4, 3, 32, 32, generator=random, dtype=torch.float64) * 2 - 1
    expected = torch.stack([plain_perceptual(network, made[i : i + 1], targets[i % 4 : i % 4 + 1]) for i in range(6)])
    (gradient,) = torch.autograd.grad(expected.sum(), made)
    for precision, tolerance, alike in (
        (torch.float64, 1e-10, 1.0),
        (torch.float32, 1e-5, 1.0),
        (torch.bfloat16, 0.03, 0.98),
    ):
        reduced = network.double() if precision == torch.float64 else network.float().for_training(precision)
        for recompute in (False, True):
            reduced.backbone.recompute = recompute
            given = made if precision == torch.float64 else made.float()
            wanted = targets if precision == torch.float64 else targets.float()
            distances = reduced(given, wanted)
            torch.testing.assert_close(distances.double(), expected, rtol=tolerance, atol=0)
            (found,) = torch.autograd.grad(distances.sum(), made)
            assert F.cosine_similarity(found.flatten(), gradient.flatten(), dim=0) >= alike - 1e-6
