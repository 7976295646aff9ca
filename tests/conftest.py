"""Shapes and types in the annotations of handful are checked at each call while the tests run."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

# The tests run in several processes; more threads than cores would slow all of them down.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# Not config and cli: tyro marks required options with values that are not of their type.
SOURCE = Path(__file__).parents[1] / "src" / "handful"
CHECKED = sorted(
    f"handful.{file.stem}" for file in SOURCE.glob("*.py") if file.stem not in ("__init__", "config", "cli")
)
install_import_hook(CHECKED, "beartype.beartype")

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def emoji() -> Path:
    """A real image set that is not part of the repository."""
    if not (DATA / "emoji").is_dir():
        pytest.skip("../shared/data/emoji is not here")
    return DATA / "emoji"
