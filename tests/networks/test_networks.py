"""Both networks: the released ones layer for layer, at sizes the paper never had, with and without their parts."""

import json

import pytest
import torch
from torch import nn

from handful.cli import main as cli
from handful.config.generator import GeneratorConfig
from handful.config.presets import default, paper
from handful.networks.describe import describe
from handful.networks.discriminator import Discriminator, quadrant
from handful.networks.generator import Generator, initialise, small_size
from handful.networks.latent import draw

RELEASED = {256: (29_127_846, 11_526_160), 512: (29_174_392, 11_526_496), 1024: (29_176_512, 11_528_192)}
# Multiply-adds of one image, as counted on the released networks: generator, discriminator on a real image.
RELEASED_COSTS = {256: (9.73e9, 5.46e9), 512: (13.42e9, 5.48e9), 1024: (15.94e9, 5.66e9)}


def run_both(config: GeneratorConfig, batch: int = 2):
    random = torch.Generator().manual_seed(0)
    generator, discriminator = Generator(config), Discriminator(config)
    for network in (generator, discriminator):
        initialise(network, random)
    images, small = generator(*draw(batch, config.latent, generator.noise_shapes, random))
    return images, small, discriminator(images, small), discriminator


@pytest.mark.parametrize("size", RELEASED)
def test_the_paper_preset_has_the_released_parameter_counts(size, capsys):
    assert cli.main(["describe", "--preset", "paper", "--size", str(size), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["generator"]["parameters"], report["discriminator"]["parameters"]) == RELEASED[size]


@pytest.mark.parametrize("size", RELEASED)
def test_the_paper_preset_has_the_released_costs(size):
    report = describe(paper("-", size=size, channels=3))
    costs = report["generator"]["multiply_adds"], report["discriminator"]["multiply_adds"]
    assert costs == pytest.approx(RELEASED_COSTS[size], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 96, 128, 256, 512, 1024, 2048, "96x64", "320x192"])
def test_the_blocks_of_a_description_hold_every_parameter(size):
    config = default("-", size=size, channels=3)
    report = describe(config)
    with torch.device("meta"):
        generator, discriminator = Generator(config.generator), Discriminator.of(config)
    for player, network in (("generator", generator), ("discriminator", discriminator)):
        assert report[player]["parameters"] == sum(parameter.numel() for parameter in network.parameters())
        assert report[player]["blocks"][-1]["parameters"] > 0


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_images_logits_and_reconstructions_have_the_shapes_of_their_size(size):
    images, small, view, discriminator = run_both(GeneratorConfig(size=size, width=8))
    part = small_size(size)
    assert images.shape == (2, 3, size, size)
    assert small.shape == (2, 3, part, part)
    assert view.logits.shape == (2, 50)
    assert [tuple(made.shape) for made in discriminator.decoders(view, torch.tensor(2))] == [(2, 3, part, part)] * 3


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("size", "small_shape", "logits"),
    [("96x64", (32, 48), 90), ("64x96", (48, 32), 90), ("48x32", (16, 24), 90), (96, (48, 48), 18), (40, (20, 20), 98)],
)
def test_rectangles_and_other_bases_go_through_both_networks_and_all_decoders(size, small_shape, logits, channels):
    config = GeneratorConfig(size=size, width=8, channels=channels)
    images, small, view, discriminator = run_both(config)
    assert images.shape == (2, channels, *config.shape)
    assert small.shape == (2, channels, *small_shape)
    assert view.logits.shape == (2, logits)
    rebuilt = discriminator.decoders(view, torch.tensor(1))
    assert [tuple(made.shape) for made in rebuilt] == [(2, channels, *small_shape)] * 3


def test_what_a_class_learns_changes_its_pictures_and_its_logits_alone():
    config = GeneratorConfig(size=32, width=8, classes=("cats", "dogs"))
    random = torch.Generator().manual_seed(0)
    generator, discriminator = Generator(config).eval(), Discriminator(config).eval()
    for network in (generator, discriminator):
        initialise(network, random)
    z, noise = draw(1, config.latent, generator.noise_shapes, random)
    cats, dogs = torch.tensor([0]), torch.tensor([1])
    same = generator(z, noise, cats)[0]
    assert torch.equal(generator(z, noise, dogs)[0], same)
    generator.classes["8"].table.weight.data[1] = 0.5
    assert torch.equal(generator(z, noise, cats)[0], same)
    assert not torch.equal(generator(z, noise, dogs)[0], same)
    for number in (cats, dogs):
        shares = torch.nn.functional.one_hot(number, 2).float()
        assert torch.equal(generator(z, noise, shares)[0], generator(z, noise, number)[0])
    small = same[..., ::2, ::2].contiguous()
    seen = [discriminator(same, small, labels=labels).logits for labels in (cats, dogs)]
    assert not torch.equal(*seen)
    for layer in (discriminator.classes, discriminator.small_classes):
        layer.weight.data[1] = layer.weight.data[0]
    assert torch.equal(*(discriminator(same, small, labels=labels).logits for labels in (cats, dogs)))


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_the_discriminators_features_are_alike_from_256_pixels_up(size):
    with torch.device("meta"):
        discriminator = Discriminator(GeneratorConfig(size=size))
        view = discriminator(torch.empty(1, 3, size, size), torch.empty(1, 3, 128, 128))
    assert [tuple(value.shape[1:]) for value in view] == [(50,), (256, 16, 16), (512, 8, 8), (256, 8, 8)]


def test_images_stay_between_minus_one_and_one():
    images, small, _, _ = run_both(GeneratorConfig(size=64, width=8))
    assert images.abs().max() <= 1
    assert small.abs().max() <= 1


def test_the_switches_take_the_gates_and_the_decoders_away():
    with_gates, without = GeneratorConfig(size=256), GeneratorConfig(size=256, sle=False)
    with torch.device("meta"):
        assert set(Generator(with_gates).gates) == {"64", "128", "256"}
        assert set(Discriminator(with_gates).gates) == {"8", "16", "32"}
        assert not Generator(without).gates
        assert not Discriminator(without).gates
        assert Discriminator(with_gates, reconstruction=False).decoders is None
    # The sum of the gates, 4 to 64, 8 to 128 and 16 to 256, as the description of the released network has them.
    gone = (
        describe(default("-", channels=3))["generator"]["parameters"]
        - describe(default("-", channels=3, sle=False))["generator"]["parameters"]
    )
    assert gone == 2_113_536 + 528_384 + 132_096


def test_a_gate_carries_the_low_map_to_the_high_one():
    config = GeneratorConfig(size=64, width=8)
    random = torch.Generator().manual_seed(0)
    generator = Generator(config)
    initialise(generator, random)
    with torch.no_grad():
        for weight in (generator.gates["64"].squeeze.weight, generator.gates["64"].excite.weight):
            weight.mul_(50)
    z, noise = draw(2, 256, generator.noise_shapes, random)
    before = generator(z, noise)[0]
    with torch.no_grad():
        generator.gates["64"].excite.weight.neg_()
    assert (generator(z, noise)[0] - before).abs().max() > 0.01


def test_fresh_weights_have_the_published_spread():
    generator = Generator(GeneratorConfig(size=64))
    initialise(generator, torch.Generator().manual_seed(0))
    assert generator.blocks["8"].conv1.weight.std().item() == pytest.approx(0.02, rel=0.01)
    gains = torch.cat([module.weight for module in generator.modules() if isinstance(module, nn.BatchNorm2d)])
    assert gains.mean().item() == pytest.approx(1, abs=0.002)
    assert gains.std().item() == pytest.approx(0.02, rel=0.1)
    assert generator.blocks["8"].noise1.weight.item() == 0


def test_noise_changes_the_image_once_its_strength_is_learned():
    config = GeneratorConfig(size=32, width=8)
    random = torch.Generator().manual_seed(0)
    generator = Generator(config)
    initialise(generator, random)
    z, noise = draw(2, 256, generator.noise_shapes, random)
    other = draw(2, 256, generator.noise_shapes, random)[1]
    assert torch.equal(generator(z, noise)[0], generator(z, other)[0])
    with torch.no_grad():
        for site in ("noise1", "noise2"):
            getattr(generator.blocks["32"], site).weight.fill_(0.1)
    assert not torch.equal(generator(z, noise)[0], generator(z, other)[0])


@pytest.mark.parametrize("corner", range(4))
def test_a_quadrant_is_cut_where_its_number_says(corner):
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    top, left = 2 * (corner // 2), 3 * (corner % 2)
    assert torch.equal(quadrant(x, torch.tensor(corner)), x[:, :, top : top + 2, left : left + 3])
