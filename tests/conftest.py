"""Shapes and types in the annotations of handful are checked at each call while the tests run."""

import dataclasses
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

from few import FEW, QUICK

# The tests run in several processes; more threads than cores would slow all of them down.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# Not config and cli: tyro marks required options with values that are not of their type.
SOURCE = Path(__file__).parents[1] / "src"
CHECKED = sorted(
    ".".join(file.relative_to(SOURCE).with_suffix("").parts)
    for file in SOURCE.rglob("handful/**/*.py")
    if file.stem != "__init__" and not {"config", "cli"} & set(file.parts)
)
install_import_hook(CHECKED, "beartype.beartype")

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_this_machine(tmp_path_factory) -> Iterator[None]:
    """Keep what is looked up for the next time out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDFUL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def usual_pictures() -> Iterator[dict[str, object]]:
    """Have few pictures drawn beside the steps, and give the numbers that users have, by the name of their constant."""
    from handful.metrics.protocol import PROTOCOLS

    usual = {name: pkgutil.resolve_name(name) for name in FEW}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FEW.items():
            patch.setattr(name, value)
        patch.setitem(PROTOCOLS, "quick", dataclasses.replace(PROTOCOLS["quick"], **QUICK))
        yield usual


@pytest.fixture(scope="module")
def all_pictures(usual_pictures) -> Iterator[None]:
    """Have as many drawn as users have, in a file of tests that judges what is measured over them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in usual_pictures.items():
            patch.setattr(name, value)
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """Real image sets that are not part of the repository."""
    if not DATA.is_dir():
        pytest.skip("../shared/data is not here")
    return DATA


@pytest.fixture(scope="session")
def emoji() -> Path:
    """A real image set that is not part of the repository."""
    if not (DATA / "emoji").is_dir():
        pytest.skip("../shared/data/emoji is not here")
    return DATA / "emoji"
