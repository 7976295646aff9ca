"""Training: what a run writes, that nothing beside the steps changes its weights, and what stops it."""

import dataclasses
import threading

import pytest
import torch
from small_runs import CPU, log_of, settings_of, small, weights

from handful.data.order import batch_indices
from handful.errors import TrainingError
from handful.objective import losses
from handful.progress import Quiet
from handful.training import step as step_module
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.state import State
from notes import Notes

STEPS = 6


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """A run of six steps that was never stopped."""
    config = small(photos, tmp_path_factory.mktemp("finished") / "run", steps=STEPS, log_every=2, checkpoint_every=2)
    train(config, Quiet())
    return config


def test_a_run_folder_holds_what_the_readme_says(finished):
    folder = finished.folder
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert names == ["checkpoints", "config.json", "log.jsonl", "model", "samples"]
    settings = settings_of(finished)
    assert settings["options"]["device"] == "cpu"
    assert settings["images"] == 12
    assert len(settings["fingerprint"]) == 64
    assert [path.name for path in (folder / "samples").iterdir()] == ["step-00000006.png"]
    lines = log_of(finished)
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[0].keys() >= {"seconds", "images_per_second", "discriminator", "generator", "reconstruction"}
    assert lines[0].keys() >= {"accuracy_real", "accuracy_fake", "peak_memory_mb", "seconds_left"}
    assert all(line["reconstruction"] > 0 for line in lines)


def test_only_the_newest_checkpoints_are_kept(finished):
    assert [path.name for path in every(finished.folder / "checkpoints")] == ["step-00000004", "step-00000006"]


def test_the_same_options_give_the_same_weights_and_another_seed_gives_others(photos, tmp_path, finished):
    """Logs, sample grids and checkpoints at every step change nothing."""
    again = small(photos, tmp_path / "again", steps=STEPS, sample_every=1, checkpoint_every=1, keep=1)
    other = small(photos, tmp_path / "other", steps=STEPS, seed=1)
    train(again, Quiet())
    train(other, Quiet())
    assert weights(again) == weights(finished)
    assert weights(other) != weights(finished)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(photos, tmp_path, monkeypatch):
    config = small(photos, tmp_path / "run", steps=50, checkpoint_every=4, log_every=10)
    usual, calls = losses.discriminator_loss, []

    def spoiled(*arguments):
        calls.append(None)
        return usual(*arguments) * (float("nan") if len(calls) == 6 else 1)

    monkeypatch.setattr(losses, "discriminator_loss", spoiled)
    with pytest.raises(TrainingError, match=r"step 6: the discriminator loss is nan; .*step-00000004") as error:
        train(config, Quiet())
    assert "learning_rate" in str(error.value)
    assert [path.name for path in every(config.folder / "checkpoints")] == ["step-00000004"]
    assert len(calls) == 8  # found when the next checkpoint was due, not at the next report


def test_weights_that_are_not_finite_never_reach_a_checkpoint(photos, tmp_path, monkeypatch):
    config = small(photos, tmp_path / "run", steps=4, checkpoint_every=2)
    monkeypatch.setattr(step_module, "blend", lambda average, *rest: average[-1].fill_(float("inf")))
    with pytest.raises(TrainingError, match=r"step 2: average.to_image.weight is not finite"):
        train(config, Quiet())
    assert not (config.folder / "model").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"sle": False},
        {"reconstruction": False},
        {"augment": ()},
        {"mirror": False},
        {"augment_schedule": "constant", "augment_probability": 1.0},
        {"augment": ("translation",), "augment_probability": 0.5},
        {"smooth_discriminator": False},
        {"spectrum_penalty": 0.0, "lattice_penalty": 0.0},
    ],
)
def test_each_switch_trains(photos, tmp_path, options):
    config = small(photos, tmp_path / "run", steps=2, **options)
    train(config, Quiet())
    line = log_of(config)[-1]
    assert (line["reconstruction"] > 0) is options.get("reconstruction", True)


def test_a_finished_run_says_so_and_gives_its_model(finished):
    notes = Notes()
    model = train(finished, notes)
    assert any("trained for 6 steps; raise --steps to continue" in line for line in notes.lines)
    assert model.sample([0]).shape == (1, 3, 32, 32)


def test_every_image_is_seen_once_before_any_is_seen_again():
    seen = [index for step in range(9) for index in batch_indices(0, step, 4, [range(12)])]
    for epoch in range(3):
        assert sorted(seen[12 * epoch : 12 * epoch + 12]) == list(range(12))
    assert seen[:12] != seen[12:24]
    assert batch_indices(1, 0, 4, [range(12)]) != batch_indices(0, 0, 4, [range(12)])


def test_training_works_outside_the_main_thread(photos, tmp_path):
    config = small(photos, tmp_path / "run", steps=2)
    thread = threading.Thread(target=train, args=(config, Quiet()))
    thread.start()
    thread.join()
    assert weights(config)


def test_a_state_goes_through_a_checkpoint_bit_for_bit(finished):
    config = dataclasses.replace(finished, precision="fp16")  # the one with most to keep
    state, fresh = (State.fresh(config, CPU) for _ in range(2))
    for player in ("generator", "discriminator"):
        optimizer = getattr(state, f"{player}_optimizer")
        optimizer.accumulate_grads(sum(parameter.square().sum() for parameter in optimizer.network.parameters()))
        optimizer.step()
    assert not all(torch.equal(value, fresh.tensors()[name]) for name, value in state.tensors().items())
    fresh.load({name: value.clone() for name, value in state.tensors().items()})
    for player in ("generator", "average", "discriminator"):
        for name, value in getattr(state, player).state_dict().items():
            assert torch.equal(value, getattr(fresh, player).state_dict()[name]), name
    assert state.generator_optimizer.scaler.get_scale() == fresh.generator_optimizer.scaler.get_scale()
