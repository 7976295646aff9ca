"""Try an installed handful as a new user does: the demo, cut to a few steps, and what one does with its run."""

import dataclasses
import sys
from pathlib import Path

import handful
from handful.cli.main import main
from handful.config import budget
from handful.example import demo
from handful.metrics.protocol import PROTOCOLS

demo.STEPS = 8
budget.current = budget.Budget(calibration_images=16, grid_seeds=range(4), scored_seeds=range(16), walk_steps=2)
PROTOCOLS["quick"] = dataclasses.replace(PROTOCOLS["quick"], samples=32, pairs=20, paths=2)


def run(*arguments: str) -> None:
    """Run a command, which must succeed."""
    print("$ handful", *arguments, flush=True)
    assert main(list(arguments)) == 0, arguments


if __name__ == "__main__":
    assert "site-packages" in handful.__file__, handful.__file__
    folder = Path(sys.argv[1])
    run("demo", "--out", str(folder / "demo"), "--device", "cpu")
    run("generate", str(folder / "demo" / "run"), "--seeds", "0-3", "--grid", str(folder / "grid.png"))
    run("check", str(folder / "demo" / "flowers"), "--html", str(folder / "check.html"))
    run("export", str(folder / "demo" / "run"), "--format", "web", "--out", str(folder / "page.html"))
    for name in ("demo/run/report.html", "grid.png", "check.html", "page.html"):
        assert (folder / name).stat().st_size > 1000, name
