"""What a run will take: measured, told, and without a trace in the run."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import handful
from handful.cli import main as cli
from handful.compute import memory
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.progress import Quiet
from handful.training import forecast as gauge
from handful.training.checkpoint import every
from handful.training.forecast import Forecaster
from handful.training.loop import train
from handful.training.state import State
from notes import Notes

MB = 2**20


def small(photos: Path, run: Path, **options) -> TrainConfig:
    short = {"size": 32, "width": 8, "steps": 2, "log_every": 1, "device": "cpu", "precision": "fp32", "report": False}
    return tiny(photos, run=run, **short | {"score_every": 0} | options)


def saved(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(every(config.folder / "checkpoints")[-1] / "state.safetensors")


def test_a_forecast_is_what_the_first_steps_took_carried_on(monkeypatch):
    """Half a second a step but for the first, which compiles; 100 MB before, gradients, 10 MB for each image."""
    now, holds = [0.0], [100 * MB]
    monkeypatch.setattr(gauge.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gauge, "memory_in_use", lambda device: holds[0])
    monkeypatch.setattr(gauge, "memory_limit", lambda device: 1000 * MB)
    monkeypatch.setattr(gauge, "peak_memory", lambda device: 250.0)
    config = tiny("-", size=32, channels=3, device="cpu", precision="fp32", steps=1_000, batch=8)
    state = State.fresh(config, torch.device("cpu"))
    learned = [*state.generator_optimizer.learned, *state.discriminator_optimizer.learned]
    watched = Forecaster(config)
    watched.begin(state)
    holds[0] = 180 * MB + sum(each.nbytes for each in learned)
    made = []
    for seconds in [60.0] + [0.5] * 40:
        now[0] += seconds
        state.step += 1
        made += [forecast for forecast in [watched.look(state)] if forecast is not None]
    (forecast,) = made
    assert forecast.steps_left == 1_000 - 22  # two to warm up, twenty for ten seconds
    assert forecast.seconds_per_step == 0.5
    assert forecast.images_per_second == 16
    assert forecast.seconds_left == 978 / 2
    assert (forecast.memory_mb, forecast.limit_mb) == (250, 1000)
    assert forecast.largest_micro_batch == 64  # 8 + (900 - 180 - gradients) / 10 would be nearly 80
    assert str(forecast) == (
        "forecast: 16 images/s, so 8 min 09 s for the 978 steps left; 250 MB of memory of 1,000, enough for 64 images"
        " at once"
    )


def test_the_memory_there_is_is_what_is_held_and_what_is_free(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(memory, "memory_in_use", lambda device: 500)
    monkeypatch.setattr(memory, "free_memory", lambda: 3000)
    assert memory.memory_limit(cpu) == 3500
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    assert memory.memory_limit(cpu) is None
    monkeypatch.setattr(memory, "memory_in_use", lambda device: None)
    assert memory.memory_limit(cpu) is None


def test_a_forecast_leaves_no_trace_and_a_run_tells_its_own(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gauge, "SHORTEST", 0.0)
    options = ["--preset", "tiny", "--size", "32", "--width", "8", "--device", "cpu", "--steps", "100000"]
    assert cli.main(["train", str(photos), "--run", str(tmp_path / "run"), *options, "--forecast", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps_left"] == told["steps"] == 100_000
    assert told["seconds_left"] == pytest.approx(100_000 * told["seconds_per_step"], rel=0.01)
    assert told["memory_mb"] > 100
    assert not (tmp_path / "run").exists()
    notes, config = Notes(), small(photos, tmp_path / "run", steps=6)
    monkeypatch.setattr("handful.training.run.WORTH_TELLING", 0.0)
    train(config, notes)
    assert sum(line.startswith("forecast: ") for line in notes.lines) == 1
    left = handful.preflight(dataclasses.replace(config, steps=10), Quiet())
    assert (left.steps, left.steps_left) == (10, 4)


@pytest.mark.parametrize(("images", "micro_batch"), [(None, 2), (4, 4), (64, 8)])
def test_batch_auto_takes_what_fits_and_trying_changes_nothing(photos, tmp_path, monkeypatch, images, micro_batch):
    monkeypatch.setattr(Forecaster, "largest_micro_batch", lambda self, state: images)
    notes = Notes()
    config = small(photos, tmp_path / "auto", steps=1, batch="auto")
    train(config, notes)
    assert f"--batch auto: 8 images a step, {micro_batch} of them at once" in notes.lines
    train(dataclasses.replace(config, steps=2), Quiet())
    given = small(photos, tmp_path / "given", batch=8, micro_batch=micro_batch)
    train(given, Quiet())
    for name, value in saved(given).items():
        assert torch.equal(value, saved(config)[name]), name
