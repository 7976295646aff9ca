"""Runs of a few steps, and what they leave."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.records.layout import STATE
from handful.training.checkpoint import every

CPU = torch.device("cpu")

ENDLESS = 100_000
"""Steps that no test waits for."""


def small(photos: Path, run: Path, **options) -> TrainConfig:
    """Return the options of a run of a few quick steps, without projected heads, which take most of their time."""
    short = {"size": 32, "width": 8, "channels": 3, "steps": 4, "batch": 4, "device": "cpu", "precision": "fp32"}
    short |= {"compile": "off", "log_every": 1, "sample_every": 100, "checkpoint_every": 100, "score_every": 0}
    short |= {"projected_weight": 0.0, "report": False, "score_features": "random"}
    return tiny(photos, run=run, **short | options)


def weights(config: TrainConfig) -> bytes:
    """Return the model that a run has written."""
    return (config.folder / "model" / "model.safetensors").read_bytes()


def saved(config: TrainConfig) -> dict[str, torch.Tensor]:
    """Return the tensors of a run's newest checkpoint."""
    return load_file(every(config.folder / "checkpoints")[-1] / STATE)


def log_of(config: TrainConfig) -> list[dict]:
    """Return the lines of a run's log."""
    return [json.loads(line) for line in (config.folder / "log.jsonl").read_text().splitlines()]


def settings_of(config: TrainConfig) -> dict:
    """Return a run's config.json."""
    return json.loads((config.folder / "config.json").read_text())


def require_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Require the same tensors under the same names, bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], kind: str) -> float:
    """Return how far all tensors of a kind are from others, relative to their norm."""
    names = [name for name in one if name.startswith(kind)]
    assert names, kind
    first, second = (torch.cat([tensors[name].double().flatten() for name in names]) for tensors in (one, other))
    return float((first - second).norm() / first.norm())


def start(config: TrainConfig) -> subprocess.Popen:
    """Train in a process of its own, as a user does."""
    options = ["--preset", "tiny", "--size", 32, "--width", 8, "--channels", 3, "--batch", 4, "--device", "cpu"]
    options += ["--precision", "fp32", "--compile", "off", "--no-report", "--sample-every", 100, "--score-every", 0]
    options += ["--score-features", "random", "--steps", ENDLESS, "--checkpoint-every", 2, "--log-every", 1]
    options += ["--projected-weight", 0]
    command = [sys.executable, "-m", "handful", "train", config.images, "--run", config.folder, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(part) for part in command], env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(config: TrainConfig, process: subprocess.Popen) -> None:
    for _ in range(2400):
        if every(config.folder / "checkpoints"):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError
