"""Processes wait for the main one as long as its pulse beats, and no longer."""

import threading
import time

import pytest
import torch.distributed as dist

from handful.compute import processes, pulse
from handful.compute.processes import Processes, is_lost, leave_together
from handful.compute.pulse import Pulse
from handful.errors import TrainingError


@pytest.fixture
def store(monkeypatch):
    """A store in memory, and a time in which tests can wait."""
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(pulse, "SILENT_SECONDS", 0.2)
    return dist.HashStore()


def test_a_call_is_answered_and_calls_are_counted(store):
    main, other = Pulse(store), Pulse(store)
    for _ in range(pulse.KEPT_CALLS + 5):
        main.call()
        other.wait_for_call()
    assert store.num_keys() <= pulse.KEPT_CALLS + 1


def test_a_main_process_that_works_for_long_is_waited_for(store):
    main, other = Pulse(store), Pulse(store)
    main.start()
    threading.Timer(0.6, main.call).start()
    other.wait_for_call()
    main.stop()


def test_a_main_process_that_is_silent_is_noticed(store):
    main, other = Pulse(store), Pulse(store)
    main.beat(0)
    began = time.monotonic()
    with pytest.raises(TrainingError, match=r"has not answered .* so it hangs; end it and run the same command again"):
        other.wait_for_call()
    assert 0.2 < time.monotonic() - began < 5


def test_a_main_process_that_is_gone_is_noticed():
    class Gone:
        def wait(self, keys, timeout):
            raise RuntimeError("Connection reset by peer")

        def get(self, key):
            raise RuntimeError("Connection reset by peer")

    waiting = Pulse.__new__(Pulse)
    waiting.store, waiting.calls = Gone(), 0
    with pytest.raises(TrainingError, match="the main process is gone"):
        waiting.wait_for_call()


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[/pytorch/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1", True),
        ("Timed out waiting 300000ms for recv operation to complete", True),
        ("NCCL error", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_a_lost_process_is_told_from_a_mistake_of_ours(text, lost):
    assert is_lost(RuntimeError(text)) == lost


def test_a_process_that_is_lost_after_the_work_is_done_harms_nothing(monkeypatch):
    def lose(*arguments):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(processes.dist, "broadcast_object_list", lose)
    leave_together(Processes(0, 2))
