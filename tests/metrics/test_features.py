"""What networks make of images: one contract for all, and the numbers they promise."""

import builtins

import numpy as np
import pytest
import torch

from handful.config.generator import GeneratorConfig
from handful.errors import MissingWeightsError
from handful.metrics import diversity, features
from handful.metrics.features import Extractor, RandomNetwork, load_extractor, pixels, statistics, vgg16
from handful.metrics.path_length import STEPS, path_length, walk
from handful.networks.generator import Generator, initialise
from handful.networks.latent import from_seeds, slerp
from handful.networks.pretrained import loading, weights
from handful.networks.pretrained.lpips import Perceptual
from handful.sampling.model import Model

CPU = torch.device("cpu")


def images(count: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize(("size", "bands"), [(16, 1), (32, 2), (64, 3), (96, 3), (50, 2)])
def test_random_features_are_864_numbers_a_band_in_float64(size, bands):
    rows = load_extractor("random", CPU)(images(2, size))
    assert rows.shape == (2, 864 * bands)
    assert rows.dtype == torch.float64
    assert rows.isfinite().all()


def test_random_features_are_the_same_everywhere_and_for_ever():
    ramp = torch.arange(3 * 32 * 32).remainder(251).to(torch.uint8).view(1, 3, 32, 32)
    rows = load_extractor("random", CPU)(ramp)[0]
    assert rows[[0, 1, 500, 1000, 1727]].tolist() == pytest.approx(GOLDEN, abs=1e-4)


GOLDEN = [0.17908, 0.0306, -0.69608, 0.76695, -0.49332]


def test_a_vector_does_not_depend_on_the_batch_it_was_computed_in():
    extractor, batch = load_extractor("random", CPU), images(5)
    assert torch.allclose(extractor(batch)[3:4], extractor(batch[3:4]), atol=1e-4)


@pytest.mark.parametrize("name", ["random", "vgg16"])
def test_large_images_are_seen_at_256_pixels(name):
    large = images(1, 512)
    extractor = load_extractor(name, CPU) if name == "random" else vgg16(Perceptual(), CPU)
    if name == "vgg16":
        assert pixels(large).shape[-1] == 256
        return
    half = large.view(1, 3, 256, 2, 256, 2).double().mean(dim=(3, 5))
    halved = (half / 127.5 - 1).float()
    assert torch.allclose(extractor(large), RandomNetwork()(halved).double(), atol=1e-4)


def test_uniform_images_have_finite_features():
    flat = torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)
    assert load_extractor("random", CPU)(flat).isfinite().all()


def test_vgg16_features_are_means_and_deviations_of_the_five_taps():
    perceptual, batch = Perceptual(seed=3), images(2)
    rows = vgg16(perceptual, CPU)(batch)
    assert rows.shape == (2, 2 * (64 + 128 + 256 + 512 + 512))
    taps = [tap.double().numpy() for tap in perceptual.features(batch / 127.5 - 1)]
    expected = [np.concatenate([tap.mean((2, 3)), tap.std((2, 3))], axis=1) for tap in taps]
    assert np.allclose(rows.numpy(), np.concatenate(expected, axis=1), atol=1e-5)


def test_statistics_are_of_pixels_and_not_of_images():
    maps = torch.arange(8.0).view(2, 1, 2, 2)
    assert torch.allclose(statistics([maps]), torch.tensor([[1.5, 1.25**0.5], [5.5, 1.25**0.5]]))


def test_dino_gives_the_class_token_of_images_resized_to_224(monkeypatch, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=224)
    torch.manual_seed(0)
    network = transformers.Dinov2Model(config).eval()
    network.save_pretrained(tmp_path / features.DINO)
    batch = images(2, 100)
    rows = load_extractor("dino", CPU, tmp_path)(batch)
    resized = torch.nn.functional.interpolate(batch / 255, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = network(pixel_values=(resized - mean) / deviation).last_hidden_state[:, 0]
    assert rows.shape == (2, 24)
    assert torch.allclose(rows, expected.double(), atol=1e-5)


def test_dino_without_its_package_names_the_extra(monkeypatch):
    usual = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("transformers"):
            raise ImportError(name)
        return usual(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingWeightsError, match=r"pip install 'handful\[dino\]'"):
        load_extractor("dino", CPU)


def test_dino_without_its_weights_says_what_to_put_where(monkeypatch):
    transformers = pytest.importorskip("transformers")

    def offline(place):
        raise OSError(f"no connection to fetch {place}")

    monkeypatch.setattr(transformers.Dinov2Model, "from_pretrained", offline)
    with pytest.raises(MissingWeightsError, match=r"dinov2-large .*weights"):
        load_extractor("dino", CPU)


def test_the_published_heads_of_lpips_are_found_in_torchmetrics(monkeypatch, tmp_path):
    pytest.importorskip("torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)
    path = weights.find(weights.LPIPS_VGG)
    assert path is not None
    assert [tuple(head.shape) for head in loading.read_tensors(path).values()] == [
        (1, c, 1, 1) for c in (64, 128, 256, 512, 512)
    ]


def test_mean_distance_is_that_of_the_pairs_it_draws_and_no_image_is_paired_with_itself():
    perceptual = Perceptual()
    same = images(1).expand(6, -1, -1, -1)
    assert diversity.mean_lpips(perceptual, same, 10, "pairs") == 0
    two = images(2)
    apart = float(perceptual(two[:1] / 127.5 - 1, two[1:] / 127.5 - 1))
    assert diversity.mean_lpips(perceptual, two, 20, "pairs") == pytest.approx(apart, rel=1e-5)


def test_spread_is_the_mean_squared_distance_of_two_rows():
    rows = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = [float((one - other).square().sum()) for place, one in enumerate(rows) for other in rows[:place]]
    assert diversity.mean_squared_distance(rows) == pytest.approx(sum(pairs) / len(pairs))
    assert diversity.relative_spread(2 * rows, rows) == pytest.approx(2)


@pytest.fixture(scope="module")
def model() -> Model:
    network = Generator(GeneratorConfig(size=32, width=8))
    initialise(network, torch.Generator().manual_seed(0))
    return Model(network)


def test_a_walk_begins_and_ends_at_the_pictures_of_its_seeds(model):
    frames = list(walk(model, (3, 4), 5, noise_seed=3))
    assert len(frames) == 6
    assert (frames[0].int() - model.sample([3]).int()).abs().max() <= 1


def given(path: torch.Tensor) -> Extractor:
    """An extractor that gives the rows of a path, whatever the pictures."""
    return Extractor("given", lambda pictures: path[: len(pictures)], CPU)


def test_an_even_straight_path_has_length_one_and_a_single_jump_has_one_for_each_step(model):
    even = torch.linspace(0, 3, STEPS + 1)[:, None]
    jump = torch.tensor([0.0] * 4 + [3.0] * (STEPS - 3))[:, None]
    assert path_length(model, given(even), 2, 9.0) == pytest.approx(1)
    assert path_length(model, given(jump), 2, 9.0) == pytest.approx(STEPS)


def test_slerp_keeps_to_the_arc():
    start, end = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    middle = slerp(start, end, 0.5)
    assert torch.allclose(middle, torch.full((1, 2), 3 / 2**0.5))
    assert torch.allclose(slerp(start, end, 0.0), start)
    assert torch.allclose(slerp(start, end, 1.0), end)
    z, _ = from_seeds([0, 1], 256, [], CPU)
    assert slerp(z[:1], z[1:], 0.3).norm() == pytest.approx(16, rel=0.1)
    assert torch.allclose(slerp(z[:1], z[:1], 0.5), z[:1], atol=1e-3)
