"""Measure this machine and put its tables into docs/benchmarks.md: what `make bench` runs.

    python benchmarks/speed.py

Each row is `handful bench` in a process of its own. The published step (published_step.py) runs before and after it, so
that both meet the machine in the same mood. Takes about a quarter of an hour. Tables of other machines in
the page are left as they are.
"""

from __future__ import annotations

import datetime
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
CPU = ["", "--perceptual", "--precision fp32 --compile off", "--compile off"]
CUDA = [
    f"--size {size} --precision {precision}{perceptual}"
    for size in (256, 512, 1024)
    for precision in ("bf16", "fp32")
    for perceptual in ("", " --perceptual")
]
HEAD = [
    "options",
    "step, s",
    "training, images/s",
    "share of peak",
    "peak, GFLOP/s",
    "generating, images/s: one by one",
    "at once",
    "memory, MB",
    "first step, s",
]
PUBLISHED = ["published step, s", "times as fast"]


def run(command: list[str]) -> dict[str, Any]:
    """Run a command that prints one JSON object."""
    print("$", " ".join(command), file=sys.stderr)
    done = subprocess.run([sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(options: str, on_cpu: bool) -> tuple[dict[str, Any], list[str]]:
    """Measure one row, with the published step before and after it."""
    size = re.search(r"--size \d+", options)
    published = ["benchmarks/published_step.py", "--steps", "3" if on_cpu else "20", *(size[0].split() if size else [])]
    published += ["--perceptual"] * ("--perceptual" in options)
    steps = [run(published)["seconds_per_step"]]
    result = run(["-m", "handful", "bench", "--preset", "paper", "--json", *options.split()])
    steps += [run(published)["seconds_per_step"]]
    row = [
        f"`{options}`" if options else "",
        f"{result['train_seconds_per_step']:.3g}",
        f"{result['train_images_per_second']:.3g}",
        f"{result['train_share_of_peak']:.0%}",
        f"{result['peak_gflops']:,.0f}",
        f"{result['generate_images_per_second']:.1f}",
        f"{result['generate_images_per_second_best']:.1f} ({result['generate_best_batch']})",
        f"{result['peak_memory_mb']:,.0f}",
        f"{result['first_step_seconds']:.0f}",
    ]
    before = statistics.mean(steps)
    row += [f"{before:.3g}", f"{before / result['train_seconds_per_step']:.2f}"]
    return result, row


def main() -> None:
    """Measure, and write the page's part about this machine."""
    on_cpu = not torch.cuda.is_available()
    measured = [measure(options, on_cpu) for options in (CPU if on_cpu else CUDA)]
    first = measured[0][0]
    head = [*HEAD, *PUBLISHED]
    lines = [f"### {first['hardware']}", ""]
    lines += [f"{datetime.date.today()}, {first['versions']}. `handful bench --preset paper` and:", ""]
    lines += [
        " | ".join(["", *cells, ""]).strip() for cells in (head, ["---"] * len(head), *(row for _, row in measured))
    ]
    part = "\n".join(["<!-- " + first["hardware"] + " -->", *lines, "<!-- end -->"])
    page = PAGE.read_text(encoding="utf-8")
    mine = re.compile("<!-- " + re.escape(first["hardware"]) + " -->.*?<!-- end -->", re.DOTALL)
    page = mine.sub(lambda _: part, page) if mine.search(page) else page.rstrip() + "\n\n" + part + "\n"
    PAGE.write_text(page, encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
