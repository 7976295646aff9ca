"""Time a step of each recipe, in interleaved rounds, and print the medians in milliseconds.

    python benchmarks/recipes.py [--size 64] [--width 8] [--threads 1] [--rounds 12]

On a CPU, in float32, compiled, at a batch of 8, on random images. Projected heads look through random weights.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from handful.compute.device import prepare_device
from handful.config.presets import RECIPES, default
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.losses import absolute_difference
from handful.training.state import State
from handful.training.step import Step

WARM_UP_STEPS = 3


def main() -> None:
    """Print a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    prepare_device(torch.device("cpu"))
    torch.set_num_threads(given.threads)
    steps = {recipe: built(recipe, given.size, given.width) for recipe in RECIPES}
    for step in steps.values():
        for _ in range(WARM_UP_STEPS):
            seconds(step)
    times: dict[str, list[float]] = {recipe: [] for recipe in steps}
    for _ in range(given.rounds):
        for recipe, step in steps.items():
            times[recipe].append(seconds(step))
    for recipe, taken in times.items():
        print(f"{recipe} {1000 * statistics.median(taken):.0f} ms")


def built(recipe: str, size: int, width: int) -> Step:
    """Build a step; reconstructions are compared by pixels, so that recipes differ in what costs no weight file."""
    options = {"size": size, "width": width, "channels": 3, "precision": "fp32", "device": "cpu", "compile": "on"}
    config = default("-", recipe=recipe, **options | {"perceptual": "none"})
    images = torch.randint(0, 256, (32, 3, size, size), dtype=torch.uint8)
    backbone = EfficientNet() if config.projected_weight else None
    return Step(config, State.fresh(config, torch.device("cpu"), backbone), images, absolute_difference)


def seconds(step: Step) -> float:
    """Take a step and return how long it took."""
    start = time.perf_counter()
    step()
    step.state.step += 1
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
