"""What the browser asks to be drawn: a picture is a recipe, and the same recipe gives the same picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from handful.errors import UsageError
from handful.files import shortened

CORNERS = 4

MAX_MOVES = 64

MAX_STOPS = 64

STRONGEST_MOVE = 20.0
"""Standard deviations of a latent that a slider may move it by."""

MAX_DIGITS = 15
"""Of a seed: JavaScript's whole numbers are exact up to here."""


@final
@dataclass(frozen=True)
class Recipe:
    """All that a picture depends on, beside the model."""

    corners: tuple[str, ...]
    """Seeds, or names of latents: one, or the four corners of the pad: top left and right, bottom left and right."""
    at: tuple[float, float] = (0.0, 0.0)
    """Place on the pad, from the left and from the top, 0 to 1 each."""
    moves: Mapping[int, float] = field(default_factory=dict)
    """How far to move along directions, by their index."""
    truncation: float = 1.0
    class_name: str | None = None
    style: Recipe | None = None
    """The picture that sets the gates: colours and texture. It has no style of its own."""

    @property
    def shares(self) -> list[float]:
        """The share of each corner."""
        if len(self.corners) == 1:
            return [1.0]
        x, y = self.at
        return [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]


@final
@dataclass(frozen=True)
class Stroll:
    """A moment of a walk from recipe to recipe: 1.5 is half way from the second to the third."""

    stops: tuple[Recipe, ...]
    moment: float


def read_recipe(value: Any) -> Recipe:  # noqa: ANN401
    """Read a recipe that a browser sent.

    Raises:
        UsageError: It is none; the message says what is wrong.
    """
    if not isinstance(value, dict):
        raise UsageError("a picture must be an object")
    unknown = value.keys() - {entry.name for entry in dataclasses.fields(Recipe)}
    if unknown:
        raise UsageError(f"{shortened(sorted(map(str, unknown))[0])}: is no part of a picture")
    corners = value.get("corners")
    if not isinstance(corners, list) or len(corners) not in (1, CORNERS) or not all(map(is_name, corners)):
        raise UsageError("corners: must be one seed or name, or four")
    at = value.get("at", (0.0, 0.0))
    if not isinstance(at, list | tuple) or len(at) != 2 or not all(is_number(part, 0, 1) for part in at):
        raise UsageError("at: must be two numbers from 0 to 1")
    truncation = value.get("truncation", 1.0)
    if not is_number(truncation, 0, 1):
        raise UsageError("truncation: must be a number from 0 to 1")
    class_name = value.get("class_name")
    if class_name is not None and not isinstance(class_name, str):
        raise UsageError("class_name: must be a text")
    moves, style = read_moves(value.get("moves", {})), read_style(value.get("style"))
    return Recipe(tuple(corners), (float(at[0]), float(at[1])), moves, float(truncation), class_name, style)


def read_style(value: Any) -> Recipe | None:  # noqa: ANN401
    """Read the picture that sets the style of another; None for none.

    Raises:
        UsageError: It is no recipe, or has a style itself.
    """
    if value is None:
        return None
    if isinstance(value, dict) and value.get("style") is not None:
        raise UsageError("style: must have no style of its own")
    return read_recipe(value)


def read_moves(value: Any) -> dict[int, float]:  # noqa: ANN401
    """Read how far to move along directions; those that move nothing are left out.

    Raises:
        UsageError: They are not numbers by index.
    """
    if not isinstance(value, dict) or len(value) > MAX_MOVES:
        raise UsageError("moves: must be numbers by index")
    moves = {}
    for index, strength in value.items():
        if not index.isdecimal() or len(index) > 3 or not is_number(strength, -STRONGEST_MOVE, STRONGEST_MOVE):
            raise UsageError(f"moves: must be numbers from {-STRONGEST_MOVE:g} to {STRONGEST_MOVE:g}, by index")
        if strength:
            moves[int(index)] = float(strength)
    return moves


def read_stops(value: Any) -> tuple[Recipe, ...]:  # noqa: ANN401
    """Read the pictures that a walk visits.

    Raises:
        UsageError: They are too few or too many, or one is no recipe.
    """
    if not isinstance(value, list) or not 2 <= len(value) <= MAX_STOPS:
        raise UsageError(f"a walk needs from 2 to {MAX_STOPS} pictures")
    return tuple(map(read_recipe, value))


def read_stroll(value: Any) -> Stroll:  # noqa: ANN401
    """Read a moment of a walk.

    Raises:
        UsageError: as ``read_stops``, or there is no such moment.
    """
    stops = read_stops(value.get("stops") if isinstance(value, dict) else None)
    if not is_number(value.get("moment"), 0, len(stops) - 1):
        raise UsageError("moment: must be a number from 0 to the last picture")
    return Stroll(stops, float(value["moment"]))


def is_number(value: object, low: float | int, high: float | int) -> bool:
    """Return whether a value is a number within bounds."""
    return type(value) in (int, float) and math.isfinite(value) and low <= value <= high  # type: ignore[arg-type, operator]


def is_name(value: object) -> bool:
    """Return whether a value names a seed or latents."""
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        return False
    return not value.isdecimal() or len(value) <= MAX_DIGITS


def names_of(recipes: Sequence[Recipe]) -> list[str]:
    """Return a short name for each of some recipes, none twice."""
    names: list[str] = []
    for recipe in recipes:
        stem = "+".join(name for name, share in zip(recipe.corners, recipe.shares, strict=True) if share).replace(
            ",", "_"
        )
        stem = stem[:80] + ("-moved" if recipe.moves else "")
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names
