"""Runs as cards: their state comes from their folders."""

import json
import os
import socket
import sys

import pytest
from filelock import FileLock

from handful.errors import UsageError
from handful.records.holder import is_training, read_holder, write_holder
from handful.records.layout import HOLDER, LOCK
from handful.studio import processes
from handful.studio.processes import Processes
from studio.conftest import write_run


def card(browser) -> dict:
    """Return the only card."""
    return browser.get("/api/runs").json()["runs"][0]


def test_a_card_says_what_a_run_is(browser, run):
    shown = card(browser)
    assert shown["title"] == "flowers"
    assert (shown["step"], shown["steps"], shown["images"], shown["size"]) == (4, 4, 12, "32 x 32 px")
    assert shown["state"] == "finished"
    assert shown["sample"] == 4
    assert shown["model"]
    assert shown["verdict"] is None


def test_a_checkpoint_at_the_last_step_makes_a_stop(browser, runs, photos):
    folder = write_run(runs / "a", photos, step=2)
    assert card(browser)["state"] == "interrupted"
    (folder / "checkpoints" / "step-00000002").mkdir(parents=True)
    assert card(browser)["state"] == "stopped"


def test_a_run_without_a_step_did_not_start(browser, runs, photos):
    folder = write_run(runs / "a", photos)
    (folder / "log.jsonl").unlink()
    assert card(browser)["state"] == "failed"


def test_a_held_lock_means_training(browser, runs, photos):
    folder = write_run(runs / "a", photos, step=2)
    with FileLock(folder / LOCK):
        write_holder(folder)
        assert card(browser)["state"] == "training"
        assert browser.post("/api/run/delete", json={"name": "a"}).status_code == 400
        assert browser.post("/api/run/resume", json={"name": "a"}).status_code == 400
    assert card(browser)["state"] == "interrupted"
    assert folder.exists()


def test_the_holder_of_a_lock_is_named_with_its_machine(tmp_path):
    write_holder(tmp_path)
    holder = read_holder(tmp_path)
    assert holder.pid == os.getpid()
    assert holder.is_here
    assert not holder.is_gone


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": "1", "host": "a"}',
        '{"pid": -1, "host": "a"}',
        '{"pid": 1}',
        '{"pid": true, "host": "a"}',
    ],
)
def test_a_damaged_holder_is_none(tmp_path, text):
    (tmp_path / HOLDER).write_text(text)
    assert read_holder(tmp_path) is None


def test_the_lock_of_a_process_that_is_gone_is_left_alone(tmp_path):
    (tmp_path / LOCK).touch()
    (tmp_path / HOLDER).write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    with FileLock(tmp_path / LOCK):
        assert not is_training(tmp_path)  # it was not even tried


def test_a_run_that_cannot_be_read_is_a_card_too(browser, run):
    config = json.loads((run / "config.json").read_text())
    config["options"]["steps"] = "<script>"
    (run / "config.json").write_text(json.dumps(config))
    assert "steps" in card(browser)["error"]


def test_deleting_takes_the_run_and_nothing_else(browser, run, runs, photos):
    write_run(runs / "other", photos)
    (run / "link").symlink_to(photos)
    assert browser.post("/api/run/delete", json={"name": "flowers"}).status_code == 200
    assert not run.exists()
    assert (runs / "other").exists()
    assert len(list(photos.iterdir())) == 12


def test_a_run_is_told_with_its_charts_and_pictures(browser, run):
    told = browser.get("/api/run?name=flowers").json()
    assert told["samples"] == [4]
    assert [chart["title"] for chart in told["charts"]] == ["Losses"]
    assert told["charts"][0]["svg"].startswith("<svg")
    assert not told["report"]
    assert browser.get("/api/run/sample?name=flowers&step=4&width=20").content.startswith(b"\x89PNG")


def test_pairs_of_a_report_on_another_model_are_not_shown(browser, run):
    match = {"sample": "seed 3", "training": "00.png", "novelty": 0.5}
    for step, seeds in ((4, [3]), (2, [])):
        (run / "evaluation.json").write_text(json.dumps({"step": step, "closest": [match]}))
        assert [pair["seed"] for pair in browser.get("/api/run/pairs?name=flowers").json()["pairs"]] == seeds


def test_training_images_that_cannot_be_shown_are_told(browser, run, photos):
    assert browser.get("/api/run/pairs?name=flowers").json()["unseen"] == ""
    photos.rename(photos.with_name("moved"))
    try:
        told = browser.get("/api/run/pairs?name=flowers").json()["unseen"]
    finally:
        photos.with_name("moved").rename(photos)
    assert f"{photos}: is not there" in told
    assert "--allow" in told


def test_no_more_runs_are_started_than_may_train_at_once(runs, photos, monkeypatch):
    monkeypatch.setattr(processes, "MAX_TRAINING", 1)
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-c", "import time; time.sleep(100)"))
    ours = Processes()
    ours.train(photos, runs / "first")
    with pytest.raises(UsageError, match="train already"):
        ours.train(photos, runs / "second")
    assert not (runs / "second").exists()


def test_names_with_markup_stay_text(browser, runs, photos):
    name = "<img src=x onerror=alert(1)>"
    write_run(runs / name, photos)
    told = browser.get("/api/run", params={"name": name}).json()
    assert told["name"] == name
    assert all("<img" not in chart["svg"] for chart in told["charts"])
