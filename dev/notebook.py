"""Run notebooks/first-run.ipynb from the first cell to the last with tiny sizes, and check what it shows.

    python dev/notebook.py RAN.ipynb

The argument is optional: where to keep the notebook that ran.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]

TINY = {"STEPS = 1200": "STEPS = 2", "draw(IMAGES, 100)": "draw(IMAGES, 12, 32)", "size=64": "size=32"}
TINY |= {"channels=3)": "channels=3, size=32, batch=4, compile='off')", "FRAMES = 48": "FRAMES = 6"}
"""What is changed in its code, so that it takes seconds."""

BUDGET = """
import dataclasses
from handful.config import budget
from handful.metrics.protocol import PROTOCOLS
budget.current = budget.Budget(calibration_images=16, grid_seeds=range(4), scored_seeds=range(16), walk_steps=2)
PROTOCOLS["quick"] = dataclasses.replace(PROTOCOLS["quick"], samples=24, pairs=20, paths=2, features="random")
"""


def main() -> None:
    """Run it in a folder of its own."""
    notebook = nbformat.read(ROOT / "notebooks" / "first-run.ipynb", as_version=4)
    for old, new in TINY.items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source]
        assert cells, f"no cell has {old}"
        for cell in cells:
            cell.source = cell.source.replace(old, new)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].source += BUDGET
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    shown = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in code]
    wanted = [set(), {"text/html"}, set(), {"text/html"}, {"image/png"}, {"text/html"}, {"text/html"}, {"image/gif"}]
    for cell, kinds, needed in zip(code, shown, wanted, strict=True):
        assert needed <= kinds, f"shows {kinds or 'nothing'} in place of {needed}:\n{cell.source}"
    if len(sys.argv) > 1:
        nbformat.write(notebook, sys.argv[1])
    print(f"{len(code)} cells of the notebook ran")


if __name__ == "__main__":
    main()
