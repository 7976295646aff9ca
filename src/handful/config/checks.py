"""Checks of options: types and ranges, read from a field's annotation, and rules about pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from handful.config.text import listed, option
from handful.errors import UsageError
from handful.files import shortened

PAPER_SIZES = (256, 512, 1024)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """Which numbers an option takes: ``Annotated[float, Range(above=0, most=1)]``."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    multiple_of: int | None = None
    reason: str = ""

    def __contains__(self, number: float) -> bool:
        return (
            (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or number < self.below)
            and (self.multiple_of is None or number % self.multiple_of == 0)
        )

    def __str__(self) -> str:
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        words = [f"{name} {bound:g}" for name, bound in bounds.items() if bound is not None]
        words += [] if self.multiple_of is None else [f"a multiple of {self.multiple_of}"]
        *others, last = words
        return (f"{', '.join(others)} and {last}" if others else last) + (f" ({self.reason})" if self.reason else "")


WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}


def check_value(name: str, value: object, kind: Any) -> None:  # noqa: ANN401
    """Check the value of an option against its annotated type.

    Raises:
        UsageError: if the type is another one, a number is NaN or infinite, or it is out of range.
    """
    if not fits(value, kind):
        raise UsageError(f"{option(name)} {written(value)}: must be {listed(wanted(kind))}")
    broken = broken_range(value, kind)
    if broken is not None:
        raise UsageError(f"{option(name)} {written(value)}: must be {broken}")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function check its arguments against its annotations: type, NaN, infinity, range.

    The function then raises UsageError, which names the argument.
    """

    @cache  # the types may only be imported later than the function
    def kinds() -> dict[str, Any]:
        return get_type_hints(function, include_extras=True)

    @wraps(function)
    def checking(*args: P.args, **kwargs: P.kwargs) -> R:
        known = kinds()
        bound = signature(function).bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in known and known[name] is not Any:
                bound.arguments[name] = plain(value) if not isinstance(value, list) else [*map(plain, value)]
                check_value(name, bound.arguments[name], known[name])
        return function(*bound.args, **bound.kwargs)

    return checking


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return Python's own number for one of NumPy, and any other value as it is."""
    if type(value) in (int, float, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def is_list(value: object) -> bool:
    """Return whether a value has items in order, and is no text."""
    ordered = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return ordered and not isinstance(value, str | bytes | Mapping)


def fits(value: Any, kind: Any) -> bool:  # noqa: ANN401
    """Return whether a value has a type; a whole number is a number, and True is neither."""
    parts = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return fits(value, parts[0])
        case origin if origin in (Union, UnionType):
            return any(fits(value, part) for part in parts)
        case origin if origin is Literal:
            return any(type(value) is type(known) and value == known for known in parts)
        case origin if origin is tuple:
            if not isinstance(value, tuple):
                return False
            kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
            return len(kinds) == len(value) and all(map(fits, value, kinds))
        case origin if origin is Sequence:
            # A range has whole numbers only, and may be too long to look through.
            return isinstance(value, range) or (is_list(value) and all(fits(plain(item), parts[0]) for item in value))
        case origin if origin is Callable:
            return callable(value)
        case origin if origin is not None:
            return isinstance(value, origin)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
    return type(value) is int and abs(value) < 2**63 if kind is int else isinstance(value, kind)


def wanted(kind: Any) -> list[str]:  # noqa: ANN401
    """Return the values that a type has, in words: ``["a number", "auto"]``."""
    parts = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return wanted(parts[0])
        case origin if origin in (Union, UnionType):
            return [words for part in parts if part is not NoneType for words in wanted(part)]
        case origin if origin is Literal:
            return [str(part) for part in parts]
        case origin if origin is tuple:
            words = listed(wanted(parts[0]))
            return [f"some of {words}" if parts[-1] is Ellipsis else f"{len(parts)} times {words}"]
        case origin if origin is Sequence:
            return [f"a list (each {listed(wanted(parts[0]))})"]
    return [WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"]


def broken_range(value: Any, kind: Any) -> Range | None:  # noqa: ANN401
    """Return the range that a value of the right type is not in, if there is one."""
    parts = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            ranges = (part for part in parts[1:] if isinstance(part, Range))
            inner = broken_range(value, parts[0])
            return inner or next((range for range in ranges if fits(value, parts[0]) and value not in range), None)
        case origin if origin in (Union, UnionType):
            return next((range for part in parts if fits(value, part) and (range := broken_range(value, part))), None)
        case origin if origin is tuple and isinstance(value, tuple):
            kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
            return next(filter(None, map(broken_range, value, kinds)), None)
    return None


def written(value: object) -> str:
    """Write a value as the command line has it."""
    try:
        return shortened(" ".join(map(str, value)) if isinstance(value, tuple) else str(value))
    except Exception:  # a number of 5,000 digits, or an object that cannot show itself
        return f"(a {type(value).__name__})"


def check_paper(preset: str, size: int | str) -> None:
    """Refuse sizes for which the paper has no networks.

    Raises:
        UsageError: if it is one of these.
    """
    if preset == "paper" and size not in PAPER_SIZES:
        raise UsageError(
            f"--size {size}: the paper has networks for 256, 512 and 1024; use --preset default --recipe published"
        )


def check_micro_batch(batch: int, micro_batch: int | Literal["auto"]) -> None:
    """Refuse a micro-batch that does not divide the batch evenly.

    Raises:
        UsageError: with those that do.
    """
    if micro_batch != "auto" and batch % micro_batch:
        fitting = [str(count) for count in range(2, batch + 1) if batch % count == 0]
        raise UsageError(f"--micro-batch {micro_batch}: does not divide --batch {batch} evenly; use {listed(fitting)}")
