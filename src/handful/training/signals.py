"""Stop training between two steps when the user presses Ctrl-C or the system sends SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from handful.progress import note

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets. A second one acts as usual, which stops at once.

    Only the main thread can handle signals; in another thread nothing sets the event.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    usual = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def request_stop(number: int, frame: FrameType | None) -> None:
        restore()
        stop.set()
        with suppress(RuntimeError):  # the signal interrupted a write to the same stream
            note("stopping after this step; press Ctrl-C again to stop now")

    for number in SIGNALS:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        restore()
