"""Every way to stop saves: the first signal answers at once and stops after the step, a later one stops now."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from small_runs import ENDLESS, small, start, wait_for_checkpoint

from handful.progress import shown_on
from handful.training import signals
from handful.training.checkpoint import every
from handful.training.loop import train
from handful.training.signals import SIGNALS, stop_on_signals
from notes import Notes

ANSWER = "stopping after this step; press Ctrl-C again to stop now"


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Handle signals as Python does: a program that a shell has put into the background ignores some."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch) -> Iterator[list[float]]:
    """A clock that a test moves."""
    now = [100.0]
    monkeypatch.setattr(signals, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_answers_at_once_and_asks_to_stop(number):
    usual, notes = signal.getsignal(number), Notes()
    with shown_on(notes), stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.is_set()
        assert notes.lines == [ANSWER if number == signal.SIGINT else f"{number.name}: {ANSWER}"]
    assert signal.getsignal(number) is usual


def test_a_double_ctrl_c_is_one_and_a_later_one_stops_now(clock):
    notes = Notes()
    with shown_on(notes), stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        clock[0] += 1.9
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        assert notes.lines == [ANSWER]
        clock[0] += 0.2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_scheduler_may_warn_before_it_terminates(clock):
    with shown_on(Notes()), stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        clock[0] += 60
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()


def test_under_nohup_a_closed_terminal_stops_nothing():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with shown_on(Notes()), stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.is_set()


class Gone(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


class Full(io.StringIO):
    """A stream into a full disk."""

    def flush(self):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("make", [Gone, Full, lambda: None])
def test_output_that_goes_away_ends_no_run(photos, tmp_path, monkeypatch, make):
    monkeypatch.setattr(sys, "stderr", make())
    config = small(photos, tmp_path / "run", steps=2)
    train(config)
    assert (config.folder / "checkpoints" / "step-00000002").is_dir()


def test_a_stream_that_was_closed_ends_no_run(photos, tmp_path, monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    train(small(photos, tmp_path / "run", steps=1))


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_every_signal_saves_a_run_even_if_nobody_reads_its_output(photos, tmp_path, number):
    config = small(photos, tmp_path / "run", steps=ENDLESS, checkpoint_every=2)
    process = start(config)
    wait_for_checkpoint(config, process)
    process.stderr.close()
    process.send_signal(number)
    assert process.wait(timeout=120) == 0
    newest = every(config.folder / "checkpoints")[-1]
    last = json.loads((config.folder / "log.jsonl").read_text().splitlines()[-1])
    assert newest.name == f"step-{last['step']:08d}"


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
    time.sleep(signals.SECONDS_AS_ONE + 0.5)  # earlier, it would count as the same Ctrl-C
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert not (config.folder / "model").exists()
