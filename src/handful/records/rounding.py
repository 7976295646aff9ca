"""Write a measured value with the digits that its error allows. Imports no torch."""

from __future__ import annotations

import math


def decimals(error: float) -> int:
    """Return how many decimals an error allows: down to its first digit, or to its second if the first is 1."""
    mantissa, exponent = f"{error:.1e}".split("e")
    return max(0, (mantissa < "2") - int(exponent))


def rounded(value: float, error: float | None = None, digits: str = ".2f") -> str:
    """Return a value as text.

    Args:
        value: A finite value.
        error: Its standard error, which then decides the decimals.
        digits: Format without an error, as ``format`` takes it; with ``%``, the text is a percentage.
    """
    if error is None or not 0 < error < math.inf:
        return format(value, digits)
    if digits.endswith("%"):
        return f"{100 * value:.{decimals(100 * error)}f}%"
    return f"{value:.{decimals(error)}f}"


def with_error(value: float, error: float | None = None, digits: str = ".2f") -> str:
    """Return a value and its standard error, both with the same decimals: ``5.4 ± 0.3``."""
    text = rounded(value, error, digits)
    return text if error is None or not 0 < error < math.inf else f"{text} ± {rounded(error, error, digits)}"
