"""TensorBoard events."""

import numpy as np
import pytest
from PIL import Image

from handful.config.presets import tiny
from handful.errors import UsageError
from handful.progress import Quiet
from handful.records.layout import TENSORBOARD
from handful.training.loop import train
from handful.training.tensorboard import Tracker


def test_numbers_and_pictures_are_read_back_by_tensorboard_and_a_resumed_run_replaces_what_it_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = Tracker(tmp_path, 0)
    for step in (100, 200, 300):
        tracker.write_entry({"step": step, "generator": step / 100, "kid": 0.5, "warnings": ["none"], "refused": None})
    tracker.write_samples(300, Image.fromarray(np.zeros((8, 8, 3), np.uint8)))
    tracker.close()
    tracker = Tracker(tmp_path, 100)
    tracker.write_entry({"step": 200, "generator": 20.0})
    tracker.close()
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("losses/generator")] == [(100, 1.0), (200, 20.0)]
    assert "scores/kid" in events.Tags()["scalars"]


def test_without_tensorboard_the_remedy_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for index in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{index}.png")
    config = tiny(tmp_path, run=tmp_path / "run", size=32, track=True, device="cpu")
    with pytest.raises(UsageError, match=r"pip install 'handful\[track\]'"):
        train(config, Quiet())
    assert not (tmp_path / "run").exists()
