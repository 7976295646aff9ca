"""Time a step of each recipe, in interleaved rounds, and print the medians in milliseconds.

    python benchmarks/recipes.py [--recipes default scratch published] [--size 64] [--width 8] [--batch 8] \
        [--threads 1] [--compile on] [--rounds 12]

On a CPU, in float32, on random images. Projected heads look through random weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

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
    parser.add_argument("--recipes", nargs="+", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--compile", choices=("on", "off"), default="on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    prepare_device(torch.device("cpu"))
    torch.set_num_threads(given.threads)
    options = {"size": given.size, "width": given.width, "batch": given.batch, "compile": given.compile}
    steps = {recipe: built(recipe, **options) for recipe in given.recipes}
    for step in steps.values():
        for _ in range(WARM_UP_STEPS):
            seconds(step)
    times: dict[str, list[float]] = {recipe: [] for recipe in steps}
    for _ in range(given.rounds):
        for recipe, step in steps.items():
            times[recipe].append(seconds(step))
    for recipe, taken in times.items():
        print(f"{recipe} {1000 * statistics.median(taken):.0f} ms")


def built(recipe: str, **options: Any) -> Step:
    """Build a step; reconstructions are compared by pixels, so that recipes differ in what costs no weight file."""
    usual = {"channels": 3, "precision": "fp32", "device": "cpu", "perceptual": "none"}
    config = default("-", recipe=recipe, **usual, **options)
    images = torch.randint(0, 256, (32, 3, *config.shape), dtype=torch.uint8)
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
