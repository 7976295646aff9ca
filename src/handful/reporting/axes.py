"""The axes of a chart: round numbers along them, and where values lie between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

Number = float | int

WIDTH, HEIGHT = 360, 224
"""Units of the drawing. A unit is about a pixel if the chart takes half of the page."""

RIGHT, BOTTOM = WIDTH - 12, HEIGHT - 24


@final
@dataclass(frozen=True)
class Axes:
    """Maps steps and values to positions in the drawing."""

    steps: tuple[float, float]
    marks: list[float]
    """Values of the horizontal lines, from the bottom to the top."""
    log: bool
    left: Number
    top: Number

    def x(self, step: Number) -> float:
        """Return the position of a step."""
        first, last = self.steps
        return self.left + (step - first) / (last - first) * (RIGHT - self.left)

    def y(self, value: Number) -> float:
        """Return the position of a value."""
        ends = self.marks[0], self.marks[-1], max(value, self.marks[0])
        low, high, at = map(math.log10, ends) if self.log else ends
        return BOTTOM - (at - low) / (high - low) * (BOTTOM - self.top)


def ticks(low: Number, high: Number, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers, evenly spaced, which cover ``low`` to ``high``."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        around = abs(low) / 10
        low, high = (low - around, high + around) if low else (0.0, 1.0)
    rough = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    # The small terms keep a rounding error from adding a tick.
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: Number, high: Number) -> list[float]:
    """Return powers of ten around two positive numbers, with 2 and 5, or 3, between them if they are few."""
    if high - low <= 1e-9 * high:
        low, high = low / 2, high * 2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = math.ceil((last - first) / 6)
    factors = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 4 else (1,)
    marks = [float(f"{factor}e{power}") for power in range(first, last + stride, stride) for factor in factors]
    # As above, a logarithm may be rounded past a whole number.
    bottom = max(tick for tick in marks if tick <= low * (1 + 1e-9))
    top = min(tick for tick in marks if tick >= high * (1 - 1e-9))
    return [tick for tick in marks if bottom <= tick <= top]


def short(value: Number, digits: int = 3) -> str:
    """Return a number with few digits: 10k for 10,000."""
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e9:
            return f"{value / size:.{digits}g}{sign}".replace("-", "\N{MINUS SIGN}")
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")


def whole(step: Number) -> str:
    """Return a step in full."""
    return f"{step:,.0f}"
