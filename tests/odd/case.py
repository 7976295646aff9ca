"""One odd file, and what it must look like."""

from dataclasses import dataclass

from odd.writers import DARK, LEFT, LIGHT, RIGHT

TRANSPARENT = (0, 0, 0, 0)


@dataclass(frozen=True)
class Odd:
    """A file with the colours of its halves, or with the words in which it must be refused."""

    name: str
    data: bytes
    left: tuple[int, ...] = (*LEFT, 255)
    right: tuple[int, ...] = (*RIGHT, 255)
    """Straight RGBA; the colour of a transparent half does not matter."""
    refused: str = ""
    levels: int = 1
    """How far a sample may be from these values."""


def grey(name: str, data: bytes, left: int = DARK, right: int = LIGHT, **options) -> Odd:
    """Return a grey picture."""
    return Odd(name, data, (left,) * 3 + (255,), (right,) * 3 + (255,), **options)
