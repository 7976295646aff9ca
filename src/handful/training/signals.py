"""Stop training between two steps when the user or the system asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType

from handful.progress import note

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
"""Ctrl-C; systemd and schedulers; a closed terminal; warnings of schedulers before they end a job."""

SIGNALS = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)

SECONDS_AS_ONE = 2.0
"""Signals of one kind within this time count as one: a double Ctrl-C, or a shell that passes on what its jobs got."""


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that the first signal sets. A later one of the same kind acts as usual, which stops at once.

    Only the main thread can handle signals; in another thread nothing sets the event. Signals that are ignored stay
    so, as SIGHUP under ``nohup``, but for Ctrl-C.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    usual = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number in SIGNALS if usual[number] != signal.SIG_IGN or number == signal.SIGINT]
    since: dict[int, float] = {}

    def request_stop(number: int, frame: FrameType | None) -> None:
        if monotonic() - since.setdefault(number, monotonic()) >= SECONDS_AS_ONE:
            signal.signal(number, usual[signal.Signals(number)])
            signal.raise_signal(number)
        elif not stop.is_set():
            stop.set()
            asked = "" if number == signal.SIGINT else f"{signal.Signals(number).name}: "
            with suppress(RuntimeError):  # the signal interrupted a write to the same stream
                note(f"{asked}stopping after this step; press Ctrl-C again to stop now")

    for number in handled:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        for number in handled:
            signal.signal(number, usual[number])
