"""What a run will take: measured, told, and without a trace in the run."""

import dataclasses
import json

import pytest
import torch
from small_runs import CPU, require_same, saved, small

import handful
from handful.cli import main as cli
from handful.compute import memory
from handful.config.presets import tiny
from handful.progress import Quiet, shown_on
from handful.training import forecast as forecast_module
from handful.training.forecast import Forecaster, advice
from handful.training.loop import train
from handful.training.run import open_run
from handful.training.state import State
from handful.training.trial import try_steps
from notes import Notes

MB = 2**20


def test_a_forecast_extrapolates_the_first_steps(monkeypatch):
    """Half a second a step but for the first, which compiles; 100 MB before, gradients, 10 MB for each image."""
    now, holds = [0.0], [100 * MB]
    monkeypatch.setattr(forecast_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(forecast_module, "memory_in_use", lambda device: holds[0])
    monkeypatch.setattr(forecast_module, "memory_limit", lambda device: 1000 * MB)
    monkeypatch.setattr(forecast_module, "peak_memory", lambda device: 250.0)
    usual = {"device": "cpu", "precision": "fp32", "projected_weight": 0.0}
    config = tiny("-", size=32, channels=3, steps=1_000, batch=8, **usual)
    state = State.fresh(config, CPU)
    learned = [*state.generator_optimizer.learned, *state.discriminator_optimizer.learned]
    watched = Forecaster(config)
    watched.start(state)
    holds[0] = 180 * MB + sum(parameter.nbytes for parameter in learned)
    forecasts = []
    for seconds in [60.0] + [0.5] * 40:
        now[0] += seconds
        state.step += 1
        forecasts += [forecast for forecast in [watched.update(state)] if forecast is not None]
    (forecast,) = forecasts
    assert forecast.steps_left == 1_000 - 7  # one to warm up, six for three seconds
    assert forecast.seconds_per_step == 0.5
    assert forecast.images_per_second == 16
    assert forecast.seconds_left == 993 / 2
    assert (forecast.memory_mb, forecast.limit_mb) == (250, 1000)
    assert forecast.largest_micro_batch == 8  # nearly 80 would fit, but there are no more in a batch
    assert str(forecast) == (
        "forecast: 8 min 16 s for 993 steps at 16 images/s; 250 MB of memory of 1,000, enough for the whole batch at"
        " once"
    )
    large = Forecaster(dataclasses.replace(config, batch=128))
    large.memory_before, state.micro_batch = watched.memory_before, 8
    assert large.largest_micro_batch(state) == 64  # 8 + (900 - 180 - gradients) / 10 would be nearly 80
    holds[0] = 100 * MB + 1  # the steps found their memory in what was freed before
    assert large.largest_micro_batch(state) is None
    unknown = dataclasses.replace(forecast, largest_micro_batch=None)
    assert str(unknown).endswith("250 MB of memory of 1,000")


def test_the_limit_of_memory_is_what_is_held_and_what_is_free(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(memory, "memory_in_use", lambda device: 500)
    monkeypatch.setattr(memory, "free_memory", lambda: 3000)
    assert memory.memory_limit(cpu) == 3500
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    assert memory.memory_limit(cpu) is None
    monkeypatch.setattr(memory, "memory_in_use", lambda device: None)
    assert memory.memory_limit(cpu) is None


def test_a_forecast_leaves_no_trace_and_a_run_tells_its_own(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(forecast_module, "MIN_SECONDS_TIMED", 0.0)
    options = ["--preset", "tiny", "--size", "32", "--width", "8", "--device", "cpu", "--steps", "100000"]
    assert cli.main(["train", str(photos), "--run", str(tmp_path / "run"), *options, "--forecast", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps_left"] == told["steps"] == 100_000
    assert told["seconds_left"] == pytest.approx(100_000 * told["seconds_per_step"], rel=0.01)
    assert told["memory_mb"] > 100
    assert not (tmp_path / "run").exists()
    notes, config = Notes(), small(photos, tmp_path / "run", steps=6)
    monkeypatch.setattr("handful.training.run.MIN_SECONDS_TO_TELL", 0.0)
    train(config, notes)
    assert sum(line.startswith("forecast: ") for line in notes.lines) == 1
    left = handful.preflight(dataclasses.replace(config, steps=10), Quiet())
    assert (left.steps, left.steps_left) == (10, 4)


@pytest.mark.parametrize(("images", "micro_batch"), [(None, 2), (4, 4), (64, 8)])
def test_batch_auto_takes_what_fits_and_trying_changes_nothing(photos, tmp_path, monkeypatch, images, micro_batch):
    monkeypatch.setattr(Forecaster, "largest_micro_batch", lambda self, state: images)
    notes, config = Notes(), small(photos, tmp_path / "auto", batch="auto")
    with shown_on(notes), open_run(config) as run:
        state = run.start()
        assert state.micro_batch == micro_batch
        require_same(state.tensors(), State.fresh(run.config, CPU).tensors())
    assert f"--batch auto: 8 images a step, in micro-batches of {micro_batch}" in notes.lines


@pytest.mark.slow
def test_a_run_with_batch_auto_is_that_with_what_it_chose(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Forecaster, "largest_micro_batch", lambda self, state: 4)
    config = small(photos, tmp_path / "auto", steps=1, batch="auto")
    train(config, Quiet())
    train(dataclasses.replace(config, steps=2), Quiet())
    given = small(photos, tmp_path / "given", steps=2, batch=8, micro_batch=4)
    train(given, Quiet())
    require_same(saved(given), saved(config))


def test_before_it_compiles_on_a_cpu_a_run_says_how_long_it_will_be_and_what_to_do(photos, tmp_path):
    notes = Notes()
    with shown_on(notes), open_run(small(photos, tmp_path / "run")) as run:
        state = run.start()
        config = dataclasses.replace(run.config, compile="on", steps=10**7, preset="default", size=96)
        setup = dataclasses.replace(run.setup, config=dataclasses.replace(config, size=32))
        assert try_steps(setup, run.forecaster, state) == 4
    (line,) = (line for line in notes.lines if line.startswith("rough estimate: "))
    assert "for 10,000,000 steps, before compiling" in line
    assert notes.lines[-1].startswith("that is long")


@pytest.mark.parametrize(
    ("options", "hours", "hint"),
    [
        ({"size": 256}, 5, "--preset tiny learns a simple folder in minutes, and --size 64"),
        ({"size": 64}, 5, "lower --steps, or set --minutes"),
        ({"size": 256}, 3, None),
        ({"size": 256, "device": "cuda"}, 5, None),
    ],
)
def test_who_has_hours_to_wait_on_a_cpu_is_told_what_to_do(options, hours, hint):
    advised = advice(handful.default("-", **{"device": "cpu"} | options), 3600.0 * hours)
    assert advised is None if hint is None else hint in advised
