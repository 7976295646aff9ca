"""Thousands of steps leave memory, descriptors and the size of the log flat or linear. Takes an hour: -m soak."""

import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from small_runs import small

from handful.config.train import TrainConfig
from handful.records.layout import LOG

STEPS = int(os.environ.get("HANDFUL_SOAK_STEPS", "20000"))

PARTS = 10

MEGABYTE = 2**20


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux only")
def test_thousands_of_steps_leave_memory_descriptors_and_log_flat_or_linear(photos, tmp_path):
    every = STEPS // PARTS
    config = small(
        photos, tmp_path / "run", steps=STEPS, batch=2, log_every=100, sample_every=every, checkpoint_every=every // 4,
        score_every=every,
    )  # fmt: skip
    measured = measurements(config, every)
    memory, descriptors, log = zip(*measured, strict=True)
    print(json.dumps({"MB": [size // MEGABYTE for size in memory], "descriptors": descriptors, "log": log}))
    assert len(measured) == PARTS
    half = PARTS // 2
    assert max(memory[half:]) - min(memory[half:]) < 32 * MEGABYTE
    assert len(set(descriptors[1:])) == 1
    growth = [after - before for before, after in pairwise(log)]
    assert max(growth[1:]) < 1.5 * min(growth[1:])
    assert len(list((config.folder / "checkpoints").iterdir())) == config.keep
    assert not list(config.folder.rglob(".*.part"))


def measurements(config: TrainConfig, every: int) -> list[tuple[int, int, int]]:
    """Train in a process of its own; return its bytes of memory, descriptors and bytes of log, every so many steps.

    The process has none of the type checks that tests add to every call: this is the program that users run.
    """
    options = config.folder.parent / "options.json"
    options.write_text(json.dumps({"options": config.to_json()}))
    process = subprocess.Popen(
        [sys.executable, "-m", "handful", "train", config.images, "--config", options, "--run", config.folder],
        stdout=sys.stderr,
    )
    log, measured = config.folder / LOG, []
    while process.poll() is None:
        time.sleep(0.05)
        # Half a part after the score, where the process only trains.
        if newest_step(log) >= every * len(measured) + every // 2:
            measured.append((memory_of(process.pid), open_files(process.pid), log.stat().st_size))
    assert process.returncode == 0
    return measured


def newest_step(log: Path) -> int:
    """Return the step of the last whole line of a log; 0 before there is one."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    whole = [line for line in lines[-2:] if line.endswith("\n")]
    return json.loads(whole[-1])["step"] if whole else 0


def memory_of(pid: int) -> int:
    """Return the memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def open_files(pid: int) -> int:
    """Return how many files and connections a process holds open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
