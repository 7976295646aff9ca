"""Scores while training: what they hold, what they keep, and that they change nothing."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import CPU, log_of, small

from handful.config.geometry import Geometry
from handful.config.train import TrainConfig
from handful.data.dataset import load_folder
from handful.data.training_set import TrainingSet
from handful.errors import TrainingError
from handful.metrics.features import Extractor, load_extractor
from handful.networks.discriminator import DiscriminatorOutput
from handful.progress import Quiet
from handful.records.scores import Score
from handful.sampling.generate import generate
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.model_files import find_weights
from handful.training.loop import train
from handful.training.resolve import resolve
from handful.training.run import open_run
from handful.training.scoring import RunScorer
from handful.training.state import State
from notes import Notes


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(44):
        pixels = np.zeros((32, 32, 3), np.uint8) + random.integers(0, 255, 3, np.uint8)
        pixels[10:30, 10:30] = random.integers(0, 255, 3, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def scored(photos, tmp_path_factory) -> TrainConfig:
    config = small(photos, tmp_path_factory.mktemp("scored") / "run", steps=6, log_every=2, score_every=3)
    train(config, Quiet())
    return config


def test_scores_are_lines_of_the_log(scored):
    found = [line for line in log_of(scored) if "kid" in line]
    assert [line["step"] for line in found] == [3, 6]
    for line in found:
        assert {field.name for field in dataclasses.fields(Score)} <= line.keys()
        assert 0 <= line["accuracy_seen"] <= 1
        assert 0 <= line["accuracy_unseen"] <= 1
        assert line["score_seconds"] > 0
        assert line["discriminator"] > 0


def test_the_best_checkpoint_is_a_model_with_its_score(scored):
    saved = json.loads((scored.folder / "best" / "score.json").read_text())
    assert saved["step"] in (3, 6)
    assert load(scored.folder / "best").config.size == 32


def test_scores_change_nothing_of_what_is_trained(scored, photos, tmp_path):
    silent = small(photos, tmp_path / "run", steps=6)
    train(silent, Quiet())
    model = "model/model.safetensors"
    assert (silent.folder / model).read_bytes() == (scored.folder / model).read_bytes()
    assert not any("kid" in line for line in log_of(silent))
    assert not (silent.folder / "best").exists()


def test_a_resumed_run_repeats_its_scores(scored, photos, tmp_path):
    config = small(photos, tmp_path / "run", log_every=2, score_every=3, steps=3)
    train(config, Quiet())
    train(dataclasses.replace(config, steps=6), Quiet())

    def without_time(config):
        timed = ("seconds", "seconds_left", "images_per_second", "peak_memory_mb", "score_seconds", "steps")
        return [
            {key: value for key, value in line.items() if key not in timed} for line in log_of(config) if "kid" in line
        ]

    assert without_time(config) == without_time(scored)


def test_short_runs_are_not_scored_unless_asked_for(photos, tmp_path):
    config = small(photos, tmp_path / "run", score_every=None)
    train(config, Quiet())
    assert not any("kid" in line for line in log_of(config))


def test_a_discriminator_that_memorises_its_images_is_found_out(photos, tmp_path):
    config = small(photos, tmp_path, augment=(), precision="fp32", channels=3)
    images = load_folder(photos, Geometry((32, 32))).images
    training, unseen = images[:34], images[34:]
    scorer = RunScorer(config, TrainingSet(training, (0,) * 34, unseen, (0,) * 10), load_extractor("random", CPU))

    def memorised(shown, small, labels):
        known = [(image - other).abs().max() < 0.01 for image in shown for other in training / 127.5 - 1]
        logits = torch.tensor(known).view(len(shown), -1).any(dim=1, keepdim=True).float() - 0.5
        maps = torch.zeros(len(shown), 1, 16, 16)
        return DiscriminatorOutput(logits.expand(-1, 50), maps, maps[..., :8, :8], maps[..., :8, :8])

    discriminator = State.fresh(config, CPU).discriminator
    discriminator.forward = memorised
    assert scorer.accuracies(discriminator, 0) == (1.0, 0.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_scorer_leaves_the_discriminator_as_it_was(photos, tmp_path, precision):
    config = small(photos, tmp_path, precision=precision, channels=3)
    images = load_folder(photos, Geometry((32, 32))).images
    state = State.fresh(config, CPU)
    before = copy.deepcopy(state.discriminator.state_dict())
    scorer = RunScorer(
        config, TrainingSet(images[:36], (0,) * 36, images[36:], (0,) * 8), load_extractor("random", CPU)
    )
    first = scorer.score(Model(state.average), state.discriminator, 0, 0.0)
    again = scorer.score(Model(state.average), state.discriminator, 0, 0.0)
    assert state.discriminator.training
    for name, value in state.discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert dataclasses.replace(first, score_seconds=0.0) == dataclasses.replace(again, score_seconds=0.0)


def test_a_second_network_gives_scores_of_its_own(photos, tmp_path):
    config = small(photos, tmp_path, channels=3)
    images = load_folder(photos, Geometry((32, 32))).images
    training_set = TrainingSet(images, (0,) * 44, images[:0], ())
    first = load_extractor("random", CPU)
    second = Extractor("second", lambda pictures: first.function(pictures)[:, ::7], CPU)
    state = State.fresh(config, CPU)
    alone, both = (
        RunScorer(config, training_set, first, *others).score(Model(state.average), state.discriminator, 0, 0.0)
        for others in ([], [second])
    )
    names = [field.name for field in dataclasses.fields(Score) if field.name.startswith("squeezenet_")]
    assert len(names) == 6
    assert all(getattr(alone, name) is None for name in names)
    for name in names:
        # Every seventh feature gives another figure of about the same size.
        assert getattr(both, name) != getattr(both, name.removeprefix("squeezenet_"))
        assert getattr(both, name) == pytest.approx(getattr(both, name.removeprefix("squeezenet_")), rel=0.5)
        assert getattr(both, name.removeprefix("squeezenet_")) == getattr(alone, name.removeprefix("squeezenet_"))


@pytest.mark.parametrize(("features", "used"), [("efficientnet", True), ("random", False), ("squeezenet", False)])
def test_a_run_is_scored_by_squeezenet_too_where_its_file_is(features, used, photos, tmp_path, squeezenet_weights):
    config = small(photos, tmp_path / "run", score_features=features, weights=squeezenet_weights)
    second = resolve(config)[1].second
    assert (second is not None and second.name == "squeezenet") == used


def test_a_run_without_squeezenets_file_is_scored_by_one_network(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = small(photos, tmp_path / "run", score_features="efficientnet", weights=tmp_path)
    assert resolve(config)[1].second is None


def test_numbers_and_pictures_of_a_run_reach_tensorboard(photos, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = small(photos, tmp_path / "run", steps=4, score_every=2, sample_every=2, track="tensorboard")
    train(config, Quiet())
    tags = EventAccumulator(str(config.folder / "tensorboard")).Reload().Tags()
    assert {"losses/generator", "scores/kid", "accuracy/accuracy_unseen"} <= set(tags["scalars"])
    assert tags["images"] == ["samples"]


def test_a_run_folder_draws_from_its_best_generator_once_that_is_complete(scored, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(scored.folder, run)
    best, newest = (run / name / "model.safetensors" for name in ("best", "model"))
    other = load(newest)
    next(other.network.parameters()).data.mul_(2)
    other.save(run / "best")
    assert find_weights(run) == best
    assert torch.equal(load(run).sample([3]), other.sample([3]))
    generate(run, [3], grid=tmp_path / "grid.png", progress=(notes := Notes()))
    assert any("the best by the run's scores" in line for line in notes.lines)
    (run / "best" / "score.json").unlink()
    assert find_weights(run) == newest


def test_a_run_that_is_no_longer_finite_fails_as_a_run_does_and_not_as_a_damaged_model(photos, tmp_path):
    with open_run(small(photos, tmp_path / "run")) as run:
        state = run.start()
        next(state.average.parameters()).data.fill_(float("nan"))
        with pytest.raises(TrainingError, match="is not finite"):
            run.score(state)
