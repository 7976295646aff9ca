"""Ctrl-C and SIGTERM: the first one answers at once and stops after the step, a second one stops now."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from small_runs import small

from handful.progress import shown_on
from handful.training.signals import stop_on_signals
from notes import Notes

ANSWER = "stopping after this step; press Ctrl-C again to stop now"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_answers_at_once_and_asks_to_stop(number):
    usual, notes = signal.getsignal(number), Notes()
    with shown_on(notes), stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.is_set()
        assert notes.lines == [ANSWER]
        assert signal.getsignal(number) is usual
    assert signal.getsignal(number) is usual


@pytest.fixture
def usual_ctrl_c() -> Iterator[None]:
    """Handle Ctrl-C as Python does: a program that a shell has put into the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_second_ctrl_c_stops_now():
    with shown_on(Notes()), stop_on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_signals_are_left_alone():
    found = []

    def work():
        with stop_on_signals() as stop:
            found.append((stop.is_set(), signal.getsignal(signal.SIGINT)))

    usual = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, usual)]


@pytest.mark.compile
def test_ctrl_c_is_answered_while_networks_are_compiled(photos, tmp_path, monkeypatch):
    """Both signals go to the whole process group, as a terminal sends them."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    config = small(photos, tmp_path / "run")
    options = ["--preset", "tiny", "--size", "32", "--channels", "3", "--device", "cpu", "--precision", "fp32"]
    options += ["--compile", "on", "--steps", "100000", "--score-every", "0", "--score-features", "random"]
    command = [sys.executable, "-m", "handful", "train", str(photos), "--run", str(config.folder), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("rough estimate: ") for line in lines), "it never came to compiling"
    time.sleep(5)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    assert any(ANSWER in line for line in lines)
    assert time.monotonic() - began < 10
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert not (config.folder / "model").exists()
