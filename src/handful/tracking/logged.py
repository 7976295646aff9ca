"""A run of wandb, or of trackio, which has the same interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from PIL import Image


@final
class LoggedRun:
    """Writes to a run that has begun.

    Args:
        run: What takes ``log``.
        wrap: Makes a picture that ``log`` takes.
        finish: Ends the run; waits until all is written.
    """

    def __init__(self, run: Any, wrap: Callable[[Image.Image], Any], finish: Callable[[], object]) -> None:  # noqa: ANN401
        self.run, self.wrap, self.finish = run, wrap, finish

    def write_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers."""
        self.run.log(dict(numbers), step=step)

    def write_picture(self, step: int, picture: Image.Image) -> None:
        """Write the picture."""
        self.run.log({"samples": self.wrap(picture)}, step=step)

    def close(self) -> None:
        """End the run."""
        self.finish()
