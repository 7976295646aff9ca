"""Train a high-resolution image generator from a handful of pictures.

    model = handful.train(handful.TrainConfig(images="photos", run="runs/photos", size=256))
    model = handful.load("runs/photos")
    pictures = model.images(seeds=range(16))

Names are imported when first used, so ``import handful`` does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handful.benchmark import Benchmark, bench
    from handful.config import GeneratorConfig, TrainConfig, default, paper, tiny
    from handful.doctor.examine import Checkup, check
    from handful.errors import TrainingError, UsageError, WeightsError
    from handful.explore.mix import mix
    from handful.explore.neighbours import Neighbourhood, neighbours
    from handful.explore.project import Effort, Projection, project
    from handful.explore.study import Study, study
    from handful.forecast import preflight
    from handful.gauge import Forecast
    from handful.metrics.evaluation import Evaluation, evaluate
    from handful.model import Model, load
    from handful.points import Points, load_points, read_points
    from handful.reporting.build import report
    from handful.sample import generate
    from handful.training import train
    from handful.walks import interpolate

HOME = {
    "Benchmark": "benchmark",
    "Checkup": "doctor.examine",
    "Effort": "explore.project",
    "Evaluation": "metrics.evaluation",
    "Forecast": "gauge",
    "GeneratorConfig": "config",
    "Model": "model",
    "Neighbourhood": "explore.neighbours",
    "Points": "points",
    "Projection": "explore.project",
    "Study": "explore.study",
    "TrainConfig": "config",
    "TrainingError": "errors",
    "UsageError": "errors",
    "WeightsError": "errors",
    "bench": "benchmark",
    "check": "doctor.examine",
    "default": "config",
    "evaluate": "metrics.evaluation",
    "generate": "sample",
    "interpolate": "walks",
    "load": "model",
    "load_points": "points",
    "mix": "explore.mix",
    "neighbours": "explore.neighbours",
    "paper": "config",
    "preflight": "forecast",
    "project": "explore.project",
    "read_points": "points",
    "report": "reporting.build",
    "study": "explore.study",
    "tiny": "config",
    "train": "training",
}
__all__ = [
    "Benchmark",
    "Checkup",
    "Effort",
    "Evaluation",
    "Forecast",
    "GeneratorConfig",
    "Model",
    "Neighbourhood",
    "Points",
    "Projection",
    "Study",
    "TrainConfig",
    "TrainingError",
    "UsageError",
    "WeightsError",
]
__all__ += [
    "bench",
    "check",
    "default",
    "evaluate",
    "generate",
    "interpolate",
    "load",
    "load_points",
    "mix",
    "neighbours",
    "paper",
    "preflight",
    "project",
    "read_points",
    "report",
    "study",
    "tiny",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in HOME:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    return getattr(import_module(f"handful.{HOME[name]}"), name)
