"""The axes of a chart: round numbers along them, and where values lie between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

Number = float | int


WIDTH, HEIGHT = 360, 224
"""Units of the drawing; a unit is about a pixel where the chart has half of a page."""


RIGHT, BOTTOM = WIDTH - 12, HEIGHT - 24


@final
@dataclass(frozen=True)
class Axes:
    """Where steps and values lie in the drawing."""

    steps: tuple[float, float]
    marks: list[float]
    """The values at the horizontal lines; the first is the bottom, the last the top."""
    log: bool
    left: Number
    top: Number

    def x(self, step: Number) -> float:
        """Give the place of a step."""
        first, last = self.steps
        return self.left + (step - first) / (last - first) * (RIGHT - self.left)

    def y(self, value: Number) -> float:
        """Give the place of a value."""
        ends = self.marks[0], self.marks[-1], max(value, self.marks[0])
        low, high, at = map(math.log10, ends) if self.log else ends
        return BOTTOM - (at - low) / (high - low) * (BOTTOM - self.top)


def ticks(low: Number, high: Number, count: int = 5) -> list[float]:
    """List about ``count`` round numbers, evenly spaced, the first not above ``low``, the last not below ``high``."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        around = abs(low) / 10
        low, high = (low - around, high + around) if low else (0.0, 1.0)
    rough = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    # The small shares keep a rounding error from costing one more tick.
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: Number, high: Number) -> list[float]:
    """List powers of ten, with 2 and 5 or 3 between them if they are few, around two positive numbers."""
    if high - low <= 1e-9 * high:
        low, high = low / 2, high * 2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = math.ceil((last - first) / 6)
    factors = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 4 else (1,)
    found = [float(f"{factor}e{power}") for power in range(first, last + stride, stride) for factor in factors]
    # As above: a logarithm may be rounded past a whole number.
    bottom = max(tick for tick in found if tick <= low * (1 + 1e-9))
    top = min(tick for tick in found if tick >= high * (1 - 1e-9))
    return [tick for tick in found if bottom <= tick <= top]


def short(value: Number, digits: int = 3) -> str:
    """Write a number with few digits: 10k for 10,000."""
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e9:
            return f"{value / size:.{digits}g}{sign}".replace("-", "\N{MINUS SIGN}")
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")


def whole(step: Number) -> str:
    """Write a step in full."""
    return f"{step:,.0f}"
