"""A training step of small networks on the CPU, for the tests of how it is computed."""

import torch

from handful.config.presets import tiny
from handful.config.train import TrainConfig
from handful.objective.losses import absolute_difference
from handful.training.state import State
from handful.training.step import Step

CPU = torch.device("cpu")


def config(**options) -> TrainConfig:
    usual = {"size": 32, "channels": 3, "width": 8, "batch": 4, "device": "cpu", "precision": "fp32", "compile": "off"}
    return tiny("-", **usual | {"projected_weight": 0.0} | options)


def images(count: int = 8, size: int = 32) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=random)


def step_of(options: TrainConfig, distance=absolute_difference) -> Step:
    return Step(options, State.fresh(options, CPU), images(size=options.size), distance)


def run(step: Step, steps: int) -> list[dict[str, float]]:
    losses = []
    for _ in range(steps):
        losses.append({name: float(value) for name, value in step().items()})
        step.state.step += 1
    return losses
