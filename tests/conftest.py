"""Shapes and types in the annotations of handful are checked at each call while the tests run."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook
from PIL import Image

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
WEIGHTS = (os.environ.get("HANDFUL_WEIGHTS"), DATA.parent / "weights")
"""Folders where tests look for weight files that cannot be committed."""


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_this_machine(tmp_path_factory) -> Iterator[None]:
    """Keep what is looked up for the next time out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDFUL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Leave writing to the system: no test pulls the plug, and a flush takes milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def small_budget() -> Iterator[None]:
    """Draw few pictures beside the steps."""
    from few import QUICK, SMALL
    from handful.config import budget
    from handful.metrics.protocol import PROTOCOLS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "current", SMALL)
        patch.setitem(PROTOCOLS, "quick", QUICK)
        yield


@pytest.fixture(scope="module")
def full_budget() -> Iterator[None]:
    """Draw as many as users have, for tests that judge what is measured over them."""
    from handful.config import budget

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "current", budget.Budget())
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """Real image sets that are not part of the repository."""
    if not DATA.is_dir():
        pytest.skip("../shared/data is not here")
    return DATA


@pytest.fixture(scope="session")
def squeezenet_weights() -> Path:
    """The folder that has SqueezeNet's weight file, which is not part of the repository."""
    for folder in WEIGHTS:
        if folder and (Path(folder) / "squeezenet1_0-deep-compression.net").is_file():
            return Path(folder)
    pytest.skip("squeezenet1_0-deep-compression.net is neither in $HANDFUL_WEIGHTS nor in ../shared/weights")


@pytest.fixture(scope="session")
def emoji() -> Path:
    """A real image set that is not part of the repository."""
    if not (DATA / "emoji").is_dir():
        pytest.skip("../shared/data/emoji is not here")
    return DATA / "emoji"


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of twelve small smooth RGB pictures."""
    folder = tmp_path_factory.mktemp("shared") / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(random.integers(0, 255, (4, 4, 3), np.uint8)).resize((32, 32)).save(folder / f"{index:02d}.png")
    return folder
