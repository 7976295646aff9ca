"""Carry out the campaign, and print its table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
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


def main() -> int:
    """Carry out the parts that were asked for, and return 1 if anything ended otherwise than promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all of them")
    parser.add_argument("--short", action="store_true", help="a sample of each part but processes")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    few.spend_little()
    PROTOCOLS["quick"] = few.QUICK
    names = asked.parts or [name for name in PARTS if not (asked.short and name == "processes")]
    began, results = time.monotonic(), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["HANDFUL_CACHE"] = str(folder / "cache")
        os.chdir(folder)
        bench = build(folder, draw_photos(folder / "photos"), asked.short)
        for name in names:
            for result in PARTS[name](bench):
                results.append(result)
                if result.fault is not None:
                    print(f"{result.part}, {result.what}: {result.fault}", file=sys.stderr, flush=True)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print_table(results)
    return int(any(result.fault for result in results))


def print_table(results: list[Result]) -> None:
    """Print tries and survivals by part."""
    tries, sound = Counter(result.part for result in results), Counter(r.part for r in results if r.fault is None)
    print("| what | tries | as promised |\n|---|---|---|")
    for part, count in tries.items():
        print(f"| {part} | {count:,} | {sound[part]:,} |")


if __name__ == "__main__":
    sys.exit(main())
