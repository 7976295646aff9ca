"""The parts of the campaign, and one share of a part in a folder of its own."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import few
from campaign import processes, runs, strangers
from campaign.runs import Result, build
from handful.metrics.protocol import PROTOCOLS

PARTS = {
    "kills": runs.kills,
    "errors": runs.errors,
    "signals": runs.signals,
    "damages": runs.damages,
    "files": strangers.files,
    "lines": strangers.command_lines,
    "arguments": strangers.arguments,
    "processes": processes.processes,
}


def draw_photos(folder: Path) -> Path:
    """Draw twelve small smooth pictures."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(random.integers(0, 255, (4, 4, 3), np.uint8)).resize((32, 32)).save(folder / f"{index:02d}.png")
    return folder


def prepare() -> None:
    """Make scores and reports cheap, as in the tests."""
    torch.set_num_threads(1)
    few.spend_little()
    PROTOCOLS["quick"] = few.QUICK


def carry_out(task: tuple[str, int, int, bool]) -> list[Result]:
    """Carry out a share of a part in a folder of its own."""
    name, share, shares, short = task
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["HANDFUL_CACHE"] = str(folder / "cache")
        os.chdir(folder)
        bench = build(folder, draw_photos(folder / "photos"), short)
        return list(PARTS[name](dataclasses.replace(bench, share=share, shares=shares)))
