"""Thousands of steps leave memory, descriptors and the size of the log flat or linear. Takes an hour: -m soak."""

import json
import os
import resource
from itertools import pairwise
from pathlib import Path

import pytest
from small_runs import small

from handful.progress import Quiet
from handful.training.loop import train
from handful.training.run import Run

STEPS = int(os.environ.get("HANDFUL_SOAK_STEPS", "20000"))

PARTS = 10


def resident() -> int:
    """Memory of this process now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux only")
def test_thousands_of_steps_leave_memory_descriptors_and_log_flat_or_linear(photos, tmp_path, monkeypatch):
    every = STEPS // PARTS
    config = small(
        photos, tmp_path / "run", steps=STEPS, batch=2, log_every=100, sample_every=every, checkpoint_every=every // 4,
        score_every=every,
    )  # fmt: skip
    seen = []
    real = Run.report

    def measure(run, state, losses):
        real(run, state, losses)
        if state.step % every == 0:
            seen.append(
                (resident(), len([*Path("/proc/self/fd").iterdir()]), (config.folder / "log.jsonl").stat().st_size)
            )

    monkeypatch.setattr(Run, "report", measure)
    train(config, Quiet())
    memory, descriptors, log = zip(*seen, strict=True)
    print(
        json.dumps(
            {"MB": [value >> 20 for value in memory], "descriptors": descriptors, "log kB": [v >> 10 for v in log]}
        )
    )
    assert len(seen) == PARTS
    half = PARTS // 2
    assert max(memory[half:]) - min(memory[half:]) < 64 * 2**20
    assert len(set(descriptors[1:])) == 1
    growth = [after - before for before, after in pairwise(log)]
    assert max(growth[1:]) < 1.5 * min(growth[1:])
    assert len(list((config.folder / "checkpoints").iterdir())) == config.keep
    assert not list(config.folder.rglob(".*.part"))
