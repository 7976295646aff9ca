"""Whether the main process, which others wait for, is still alive: a pulse in the store that all share.

The main process may work for an hour alone, as when it reads a large set or scores. So others do not wait for it with a
time limit, but as long as its pulse beats.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import final

from torch.distributed.distributed_c10d import Store

from handful.errors import TrainingError

BEAT_SECONDS = 5.0

SILENT_SECONDS = 180.0
"""After so long without a beat the main process is taken to hang."""

KEPT_CALLS = 100
"""Calls that stay in the store; others have answered those before long ago."""


@final
class Pulse:
    """The pulse of the main process, and its calls that others wait for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls = 0
        self.over = threading.Event()

    def start(self) -> None:
        """Let the pulse beat, in the main process."""
        self.beat(0)
        threading.Thread(target=self.keep_beating, name="pulse", daemon=True).start()

    def keep_beating(self) -> None:
        """Beat until ``stop``, or until the store is gone."""
        count = 0
        with suppress(RuntimeError):
            while not self.over.wait(BEAT_SECONDS):
                count += 1
                self.beat(count)

    def beat(self, count: int) -> None:
        """Write a beat."""
        self.store.set("pulse", str(count))

    def stop(self) -> None:
        """Stop beating."""
        self.over.set()

    def call(self) -> None:
        """Tell the others, from the main process, that it is ready for the next collective operation."""
        self.calls += 1
        self.store.set(f"call-{self.calls}", "")
        if self.calls > KEPT_CALLS:
            self.store.delete_key(f"call-{self.calls - KEPT_CALLS}")

    def wait_for_call(self) -> None:
        """Wait for the main process's next call.

        Raises:
            TrainingError: It is gone, or has been silent for three minutes.
        """
        self.calls += 1
        last, since = b"", monotonic()
        while True:
            try:
                self.store.wait([f"call-{self.calls}"], timedelta(seconds=BEAT_SECONDS))
                return
            except RuntimeError:  # not yet
                beat = self.read()
            if beat != last:
                last, since = beat, monotonic()
            elif monotonic() - since > SILENT_SECONDS:
                raise TrainingError(
                    f"the main process has not answered for {SILENT_SECONDS / 60:g} minutes, so it hangs; end it and "
                    "run the same command again to resume"
                )

    def read(self) -> bytes:
        """Return the newest beat.

        Raises:
            TrainingError: The store is gone, and the main process with it.
        """
        try:
            return bytes(self.store.get("pulse"))
        except RuntimeError as error:
            raise TrainingError(f"the main process is gone ({error}); run the same command again to resume") from error
