"""Killed with -9: the studio while a run trains, and the run."""

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file

from handful.records.holder import is_training, read_holder
from handful.studio import processes
from handful.studio.processes import spelled
from studio.conftest import end_runs, started

pytestmark = pytest.mark.processes

OPTIONS = {"preset": "tiny", "size": 32, "steps": 100_000, "batch": 4, "score_every": 0}

PATIENCE = 300
"""Seconds."""


def until(condition) -> object:
    """Return what a condition returns once it holds."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError("it never came true")


def start_elsewhere(runs: Path, photos: Path) -> None:
    """Start a run from a studio that is a process of its own, and kill that studio as soon as the run trains."""
    with started(runs, "--allow", str(photos)) as (studio, address):
        base = address.split("/?token=")[0]
        with httpx.Client(base_url=base, headers={"origin": base}, timeout=PATIENCE) as client:
            client.get(address.removeprefix(base), follow_redirects=True)
            body = {"source": str(photos), "name": "live", "options": OPTIONS}
            assert client.post("/api/start", json=body).json() == {"name": "live"}
            until(lambda: client.get("/api/runs").json()["runs"][0].get("step", 0) > 6)
        os.kill(studio.pid, signal.SIGKILL)
        assert studio.wait() == -signal.SIGKILL


def test_a_run_outlives_its_studio_and_once_killed_is_resumed_bit_equal(browser, runs, photos, tmp_path, little):
    def told() -> dict:
        return browser.get("/api/runs").json()["runs"][0]

    folder = runs / "live"
    try:
        start_elsewhere(runs, photos)
        before = told()
        assert before["state"] == "training"
        until(lambda: told()["step"] > before["step"])

        os.kill(read_holder(folder).pid, signal.SIGKILL)
        until(lambda: not is_training(folder))
        killed = told()
        assert killed["state"] == "interrupted"
        assert killed["step"] > 6

        assert browser.post("/api/run/resume", json={"name": "live"}).status_code == 200
        until(lambda: told()["state"] == "training" and told()["step"] > killed["step"])
        assert browser.post("/api/run/stop", json={"name": "live"}).status_code == 200
        until(lambda: told()["state"] == "stopped")
        steps = told()["step"]
    finally:
        end_runs(runs)
    whole = tmp_path / "whole"
    command = [*processes.COMMAND, "train", str(photos), "--run", str(whole), *spelled(OPTIONS | {"steps": steps})]
    subprocess.run(command, check=True, capture_output=True)
    files = sorted(file.relative_to(whole) for file in whole.rglob("*.safetensors") if "best" not in file.parts)
    assert any(f"step-{steps:08d}" in str(file) for file in files)
    for file in files:
        expected, got = load_file(whole / file), load_file(folder / file)
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[name], got[name]) for name in expected), file
