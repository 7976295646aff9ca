"""Print hashes of the weights and optimiser states of three six-step runs.

python benchmarks/golden.py

A change that should not alter results leaves them as they were, on the same machine with the same versions: run it
before and after. Each line has a run's name, the hash of its averaged generator, the hash of its master weights and
Adam's moments, and how many tensors its checkpoint holds. It takes half a minute of one core.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import handful
from handful.progress import Quiet

COMMON: dict[str, Any] = {"size": 64, "width": 8, "steps": 6, "batch": 4, "device": "cpu", "compile": "off"}
COMMON |= {"precision": "fp32", "report": False, "score_every": 0, "log_every": 3, "sample_every": 100}
RUNS: dict[str, dict[str, Any]] = {"fp32": {}, "published": {"recipe": "published"}, "bf16": {"precision": "bf16"}}
OPTIMISER = ("master", "exp_avg")
"""What the names of the optimisers' tensors contain."""


def main() -> None:
    """Train the three runs in a temporary folder and print a line for each."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        write_images(images)
        for name, options in RUNS.items():
            run = Path(folder) / name
            handful.train(handful.tiny(images, run=run, **COMMON | options), Quiet())
            weights = load_file(run / "model" / "model.safetensors")
            state = load_file(max(run.glob("checkpoints/step-*")) / "state.safetensors")
            optimiser = {key: value for key, value in state.items() if any(part in key for part in OPTIMISER)}
            sys.stdout.write(f"{name} {digest(weights)} {digest(optimiser)} {len(state)}\n")


def write_images(folder: Path) -> None:
    """Write twelve images of 8 x 8 random colours, enlarged to 64 px."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(12):
        colours = Image.fromarray(random.integers(0, 255, (8, 8, 3), np.uint8))
        colours.resize((64, 64)).save(folder / f"{index:02d}.png")


def digest(tensors: dict[str, Tensor]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of names and values, in the order of names."""
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        hashed.update(name.encode())
        hashed.update(tensors[name].float().numpy().tobytes())
    return hashed.hexdigest()[:16]


if __name__ == "__main__":
    main()
