"""The step size as a run goes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.progress import Quiet
from handful.training import step as schedule
from handful.training.loop import train
from handful.training.run import Run


@pytest.mark.parametrize(
    ("fall", "expected"),
    [(0.0, [1, 1, 1, 1, 1]), (1.0, [1, 0.75, 0.5, 0.25, 0]), (0.5, [1, 1, 1, 0.5, 0]), (0.25, [1, 1, 1, 1, 0])],
)
def test_the_step_size_falls_in_proportion_to_what_is_left(fall, expected):
    config = TrainConfig("-", learning_rate=0.1, learning_rate_fall=fall)
    found = [schedule.learning_rate(config, done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([0.1 * share for share in expected])


def test_beyond_its_end_a_run_does_not_climb():
    assert schedule.learning_rate(TrainConfig("-", learning_rate_fall=0.5), 1.01) == 0


@pytest.mark.parametrize("fall", [-0.1, 1.1, float("nan")])
def test_a_fall_is_a_share(fall):
    with pytest.raises(UsageError, match="learning_rate_fall"):
        TrainConfig("-", learning_rate_fall=fall)


def rates_of(photos, monkeypatch, **options) -> list[float]:
    """Train, and give the step sizes that Adam had, of both networks in turn."""
    small = {"size": 32, "batch": 2, "score_every": 0, "report": False, "device": "cpu", "precision": "fp32"}
    config = tiny(photos, run=photos.parent / "run", compile="off", **small | options)
    rates = []
    usual = torch.optim.Adam.step

    def step(adam, *arguments, **options):
        rates.append(float(adam.param_groups[0]["lr"]))
        return usual(adam, *arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    train(config, Quiet())
    return rates


@pytest.fixture
def photos(tmp_path) -> Path:
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_both_networks_take_the_steps_of_the_schedule(photos, monkeypatch):
    found = rates_of(photos, monkeypatch, steps=4, learning_rate=0.01, learning_rate_fall=0.75)
    assert found[::2] == found[1::2] == pytest.approx([0.01, 0.01, 0.02 / 3, 0.01 / 3])


def test_with_minutes_the_step_size_goes_by_the_clock(photos, monkeypatch):
    monkeypatch.setattr(Run, "minutes", lambda self, state: 0.5 * state.step)
    found = rates_of(photos, monkeypatch, minutes=2.0, learning_rate=0.01, learning_rate_fall=1.0)
    assert found[::2] == found[1::2] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
