"""A studio that is asked as a browser asks it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image
from starlette.testclient import TestClient, WebSocketTestSession

from handful.config.presets import tiny
from handful.records.settings import Settings, settle
from handful.studio import processes
from handful.studio.access import PARAMETER
from handful.studio.places import Places
from handful.studio.processes import Processes
from handful.studio.server import build
from support.models import made

TOKEN = "right-token"
HOST = "127.0.0.1:8765"
OURS = {"origin": f"http://{HOST}"}


@pytest.fixture(autouse=True, scope="module")
def quick_directions() -> Iterator[None]:
    """Find directions by few pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handful.sampling.response.LATENTS_PER_DIMENSION", 1)
        patch.setattr("handful.sampling.response.LATENTS_PER_BATCH", 256)
        yield


@pytest.fixture(autouse=True)
def nothing_trains_on(monkeypatch) -> Iterator[None]:
    """End what a test started: a run outlives the studio, and so a test that fails."""
    remembered: list[Processes] = []
    init = Processes.__init__

    def remember(self: Processes) -> None:
        init(self)
        remembered.append(self)

    monkeypatch.setattr(Processes, "__init__", remember)
    yield
    for process in [process for ours in remembered for process in ours.started.values()]:
        process.kill()
        process.wait()


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder of runs that holds none yet."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def stranger(runs, photos) -> Iterator[TestClient]:
    """A browser that has not opened the address with the token."""
    app = build(Places(runs, [photos]), TOKEN, "127.0.0.1", 8765)
    with TestClient(app, base_url=f"http://{HOST}", follow_redirects=False, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def browser(stranger) -> TestClient:
    """A browser that has."""
    assert stranger.get(f"/?{PARAMETER}={TOKEN}").status_code == 303
    stranger.headers.update(OURS)
    return stranger


def connect(client: TestClient, source: str, **headers: str | None) -> WebSocketTestSession:
    """Open the socket that draws, as a page of ours does; ``headers`` replace its own."""
    own = {"origin": f"http://{HOST}", "cookie": f"handful-studio-8765={TOKEN}"} | headers
    sent = {name: value for name, value in own.items() if value is not None}
    return client.websocket_connect(f"ws://{HOST}/api/draw?{urlencode({'source': source})}", headers=sent)


def write_run(folder: Path, photos: Path, step: int = 4, steps: int = 4, model: bool = True, **options) -> Path:
    """Write what a run of a few steps leaves, without training."""
    config = tiny(
        photos, run=folder, **{"size": 32, "steps": steps, "score_features": "random", "channels": 3} | options
    )
    folder.mkdir(parents=True)
    settle(Settings(config, "0" * 64, 12), None)
    line = {"step": step, "steps": steps, "seconds": 2.0, "seconds_left": 0.0, "images_per_second": 16.0}
    (folder / "log.jsonl").write_text(json.dumps(line | {"generator": 1.0, "discriminator": 1.0}) + "\n")
    (folder / "samples").mkdir()
    Image.new("RGB", (66, 66), "teal").save(folder / "samples" / f"step-{step:08d}.png")
    if model:
        made().save(folder / "model")
    return folder


@pytest.fixture
def run(runs, photos) -> Path:
    """A run that has ended."""
    return write_run(runs / "flowers", photos)


LITTLE = Path(__file__).with_name("little.py")


def search_path() -> str:
    """Return where ``little.py`` finds what it imports."""
    return os.pathsep.join([str(LITTLE.parents[1]), str(LITTLE.parents[2] / "src")])


@pytest.fixture
def little(monkeypatch) -> None:
    """Let runs have a small budget, as those of ``started`` have."""
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, str(LITTLE)))
    monkeypatch.setattr(processes, "NICENESS", 0)
    monkeypatch.setenv("PYTHONPATH", search_path())


@contextmanager
def started(runs: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a studio as a process of its own, with a small budget; yield the process and its address."""
    command = [sys.executable, str(LITTLE), "studio", str(runs), "--no-browser", *options]
    environment = os.environ | {"PYTHONPATH": search_path()}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def end_runs(runs: Path) -> None:
    """End runs that outlived the studio that started them, also those that have not begun."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{runs}{os.sep}" in (folder / "cmdline").read_text(errors="replace"):
                os.kill(int(folder.name), signal.SIGKILL)
