"""Every public function checks the types of its arguments, and names the one that is wrong."""

import inspect
import math
import random
from contextlib import suppress
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import handful
from handful.config.checks import fits, plain
from handful.config.train import PATHS, TrainConfig, kinds
from handful.errors import UsageError
from support.models import made

FUNCTIONS = [name for name in handful.__all__ if inspect.isfunction(getattr(handful, name))]

METHODS = ["sample", "images", "latents", "labels"]


class Unshowable:
    """An object whose text cannot be had."""

    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


VALUES = [
    None, True, 0, -1, 1.5, math.nan, math.inf, 10**400, 10**5000, "", "auto", "x" * 5000, b"bytes", [], [None], [[1]],
    {}, {"a": 1}, (), (1, 2), object(), Unshowable(), Path("nowhere"), np.int64(3), np.float32(0.5), np.zeros(2),
    np.array(["a"]), lambda: None, int, 1j, range(3), set(), "\x1b[2J", "\0", "\udcff",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return made()


def refused(function, arguments, name):
    """Require a message that names the argument, in one line that a terminal shows."""
    with pytest.raises(UsageError) as error:
        function(**arguments)
    text = str(error.value)
    assert text.startswith(f"{name} "), text
    assert len(text) < 300, text
    assert text.isprintable(), text


def required(function):
    """Return arguments that only stand in for those without a default."""
    parameters = inspect.signature(function).parameters.values()
    return [
        entry.name for entry in parameters if entry.default is entry.empty and entry.name not in ("self", "options")
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_a_public_function_is_checked(name):
    function = getattr(handful, name)
    known = {key: kind for key, kind in get_type_hints(function, include_extras=True).items() if key != "return"}
    known.pop("options", None)
    first = required(function)
    for argument, kind in known.items():
        for value in VALUES:
            if fits(plain(value), kind):
                continue
            # Arguments are checked in their order, and the first ones have no values that are quick to make.
            arguments = {argument: value}
            if argument not in first and set(first) <= {"source", "images", "out", "run"}:
                arguments = dict.fromkeys(first, "nowhere") | arguments
            elif set(first) - {argument}:
                continue
            refused(function, arguments, {"moves": "moves", "class_name": "class_name"}.get(argument, argument))


@pytest.mark.parametrize("name", METHODS)
def test_every_argument_of_a_model_is_checked(model, name):
    method = getattr(model, name)
    known = {key: kind for key, kind in get_type_hints(method, include_extras=True).items() if key != "return"}
    for argument, kind in known.items():
        for value in VALUES:
            if not fits(plain(value), kind):
                others = {"seeds": [1]} if name in ("labels", "latents") and argument != "seeds" else {}
                refused(method, others | {argument: value}, argument)


def test_random_options_of_a_run_are_taken_or_refused_by_name():
    draw = random.Random(0)
    for _ in range(500):
        name, value = draw.choice(list(kinds())), draw.choice(VALUES)
        options = {"images": "photos", name: value}
        if (name in PATHS and isinstance(value, str)) or fits(plain(value), kinds()[name]):
            with suppress(UsageError):  # out of range, or it does not go with the others
                config = TrainConfig(**options)
                assert config == TrainConfig.from_options(config.to_json())
        else:
            refused(TrainConfig, options, name)


def test_numbers_of_numpy_are_numbers(model):
    config = TrainConfig("photos", steps=np.int64(5), hold_back=np.float64(0.25))
    assert (type(config.steps), type(config.hold_back)) == (int, float)
    assert model.sample([np.int64(1), 2], truncation=np.float32(0.5)).shape[0] == 2
