"""A sample of the campaign that tries to lose a run; ``make campaign`` is all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def survives(*parts: str) -> None:
    """Require that a sample of these parts ends as promised."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "campaign", "--short", *parts]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc").is_dir(), reason="Linux only")
@pytest.mark.parametrize("parts", [["kills", "errors"], ["signals", "damages"], ["files", "lines", "arguments"]])
def test_a_sample_of_the_campaign_ends_as_promised(parts):
    survives(*parts)
