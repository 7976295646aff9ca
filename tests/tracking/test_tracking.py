"""Runs in trackers: a stand-in of one, and the real ones where they are installed, without a network."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from PIL import Image

from handful.config.choices import TrackerName
from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.progress import Quiet, shown_on
from handful.records.layout import CONFIG, TENSORBOARD, TRACKED, WANDB
from handful.tracking.tracker import Tracking, facts, require_tracker
from handful.training.loop import train
from notes import Notes

NAMES = [name for name in get_args(TrackerName) if name != "none"]
ENTRY = {"step": 100, "seconds_left": 9.0, "steps": 400, "generator": 0.5, "kid": 0.25, "micro_batch": 8}
ENTRY |= {"warnings": ["none"], "refused": None, "novelty": float("inf"), "seconds": 2.0}


@pytest.fixture
def folder(tmp_path) -> Path:
    run = tmp_path / "walnuts"
    run.mkdir()
    (run / CONFIG).write_text(json.dumps({"handful": "9.9", "fingerprint": "f00d"}))
    return run


def config_for(folder: Path, track: str) -> TrainConfig:
    return tiny(folder.parent / "secret", run=folder, track=track, size=32)


class StandIn:
    """A tracker that keeps what it gets."""

    def __init__(self, config, step):
        self.config, self.calls = config, [("open", step)]
        print("greetings")

    def write_numbers(self, step, numbers):
        self.calls.append((step, dict(numbers)))

    def write_picture(self, step, picture):
        self.calls.append((step, picture.size))

    def close(self):
        self.calls.append("close")


@pytest.fixture
def opened(monkeypatch) -> list[StandIn]:
    """Trackers that were opened in place of Weights & Biases."""
    opened = []

    def open_tracker(config, step):
        opened.append(StandIn(config, step))
        return opened[-1]

    monkeypatch.setitem(sys.modules, "handful.tracking.wandb", SimpleNamespace(open_tracker=open_tracker))
    return opened


def test_a_tracker_gets_the_finite_numbers_of_the_log_in_groups_and_is_opened_only_then(folder, opened, capsys):
    tracking = Tracking(config_for(folder, "wandb"), 50)
    assert opened == []
    tracking.write_entry(ENTRY)
    tracking.write_samples(100, Image.new("RGB", (6, 4)))
    tracking.close()
    numbers = {"losses/generator": 0.5, "scores/kid": 0.25, "run/seconds": 2.0}
    assert opened[0].calls == [("open", 50), (100, numbers), (100, (6, 4)), "close"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["__init__", "write_numbers", "write_picture", "close"])
def test_a_tracker_that_fails_is_told_once_and_ends_no_run(folder, opened, monkeypatch, method):
    def fail(*arguments):
        raise ConnectionError("no route to \x1b[31mhost\nand much more")

    monkeypatch.setattr(StandIn, method, fail)
    tracking = Tracking(config_for(folder, "wandb"), 0)
    with shown_on(notes := Notes()):
        for _ in range(2):
            tracking.write_entry(ENTRY)
            tracking.write_samples(100, Image.new("RGB", (6, 4)))
        tracking.close()
    assert notes.lines == ["--track wandb: no route to \\x1b[31mhost; the run continues without it"]


@pytest.mark.parametrize("name", NAMES)
def test_without_its_package_a_tracker_is_refused_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setattr("handful.tracking.tracker.find_spec", lambda package: None)
    for index in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{index}.png")
    config = tiny(tmp_path, run=tmp_path / "run", size=32, track=name, device="cpu")
    with pytest.raises(UsageError, match=rf"^track {name}: is not installed; pip install 'handful\[{name}\]'"):
        train(config, Quiet())
    assert not (tmp_path / "run").exists()
    require_tracker("none")


def test_a_tracker_is_told_of_the_run_but_of_no_path(folder):
    told = facts(config_for(folder, "wandb"))
    assert (told["handful"], told["fingerprint"], told["seed"]) == ("9.9", "f00d", 0)
    assert "secret" not in str(told)
    assert "walnuts" not in str(told)


def test_runs_of_0_1_0_knew_tensorboard_alone():
    assert TrainConfig.from_options({"images": "a", "track": True}).track == "tensorboard"
    assert TrainConfig.from_options({"images": "a", "track": False}).track == "none"


def test_trackers_are_imported_by_a_run_that_asks_for_one_alone():
    script = "import sys, handful.training.loop, handful.tracking.tracker; "
    script += f"assert not {set(NAMES)} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def write_a_run_that_is_resumed(config: TrainConfig) -> None:
    """Write steps 100 to 300, die, and write 200 and 300 again from step 100 on."""
    tracking = Tracking(config, 0)
    with shown_on(notes := Notes()):
        for step in (100, 200, 300):
            tracking.write_entry({"step": step, "generator": step / 100, "kid": 0.5})
        tracking.write_samples(300, Image.new("RGB", (8, 8)))
        tracking.close()
        tracking = Tracking(config, 100)
        for step in (200, 300):
            tracking.write_entry({"step": step, "generator": step / 100})
        tracking.close()
    assert not [line for line in notes.lines if "continues without it" in line], notes.lines


def test_tensorboard_reads_back_what_was_written(folder):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_a_run_that_is_resumed(config_for(folder, "tensorboard"))
    events = EventAccumulator(str(folder / TENSORBOARD)).Reload()
    points = [(event.step, event.value) for event in events.Scalars("losses/generator")]
    assert points == [(100, 1.0), (200, 2.0), (300, 3.0)]
    assert events.Tags()["images"] == ["samples"]


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_back_what_was_written(folder, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    from mlflow import MlflowClient

    write_a_run_that_is_resumed(config_for(folder, "mlflow"))
    identity = json.loads((folder / TRACKED).read_text())["mlflow"]
    client = MlflowClient()
    run = client.get_run(identity)
    assert (run.info.run_name, run.info.status, run.data.params["seed"]) == ("walnuts", "FINISHED", "0")
    points = [(metric.step, metric.value) for metric in client.get_metric_history(identity, "losses/generator")]
    assert points == [(100, 1.0), (200, 2.0), (300, 3.0)]
    assert [file.path for file in client.list_artifacts(identity, "samples")] == ["samples/step-00000300.png"]


def records(log: bytes) -> Iterator[bytes]:
    """Records of a log as LevelDB writes them: blocks of 32 KiB, and each record in one or several pieces."""
    record = b""
    position, block = 7, 32 * 1024
    while position + 7 <= len(log):
        if block - position % block < 7:  # a block's last bytes are padding
            position += block - position % block
            continue
        length, kind = struct.unpack("<HB", log[position + 4 : position + 7])
        record += log[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last piece
            yield record
            record = b""


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline_without_a_login(folder, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("NETRC", str(folder.parent / "netrc"))
    from wandb.proto import wandb_internal_pb2 as wire

    write_a_run_that_is_resumed(config_for(folder, "wandb"))
    identity = json.loads((folder / TRACKED).read_text())["wandb"]
    first, second = sorted((folder / WANDB).glob(f"offline-run-*-{identity}"))
    points = []
    for data in records(next(first.glob("*.wandb")).read_bytes()):
        record = wire.Record()
        record.ParseFromString(data)
        items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        if "losses/generator" in items:
            points.append((record.history.step.num, json.loads(items["losses/generator"])))
    assert points == [(100, 1.0), (200, 2.0), (300, 3.0)]
    assert list(first.rglob("samples*.png"))
    assert second != first


def test_trackio_gets_each_step_once(folder, monkeypatch):
    logged, begun = [], []
    run = SimpleNamespace(log=lambda values, step: logged.append((step, values.get("losses/generator", "picture"))))
    package = SimpleNamespace(init=lambda *names, **options: begun.append(names) or run, Image=str, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "trackio", package)
    write_a_run_that_is_resumed(config_for(folder, "trackio"))
    assert logged == [(100, 1.0), (200, 2.0), (300, 3.0), (300, "picture")]
    assert begun[0] == begun[1]

    tracking = Tracking(config_for(folder, "trackio"), 300)
    tracking.write_entry({"step": 400, "generator": 4.0})
    tracking.write_samples(400, Image.new("RGB", (8, 8)))
    tracking.close()
    assert logged[4:] == [(400, 4.0), (400, "picture")]


@pytest.mark.filterwarnings("ignore")
def test_trackio_reads_back_what_was_written(folder, monkeypatch):
    if "trackio" not in sys.modules:  # it reads its folder once, when it is imported
        monkeypatch.setenv("TRACKIO_DIR", str(folder.parent / "trackio"))
    pytest.importorskip("trackio", reason="trackio is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    write_a_run_that_is_resumed(config_for(folder, "trackio"))
    name = json.loads((folder / TRACKED).read_text())["trackio"]
    assert name.startswith("walnuts-")
    logs = SQLiteStorage.get_logs("handful", name)
    points = [(line["step"], line["losses/generator"]) for line in logs if "losses/generator" in line]
    assert points == [(100, 1.0), (200, 2.0), (300, 3.0)]
    assert any("samples" in line for line in logs)
