"""Train a high-resolution image generator from a handful of pictures.

    model = handful.train(handful.TrainConfig(images="photos", run="runs/photos", size=256))
    model = handful.load("runs/photos")
    pictures = model.images()

Names are imported when first used, so ``import handful`` does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handful.config.generator import GeneratorConfig
    from handful.config.presets import default, paper, tiny
    from handful.config.train import TrainConfig
    from handful.data.checkup.examine import Checkup, check
    from handful.errors import TrainingError, UsageError, WeightsError
    from handful.explore.interpolate import interpolate
    from handful.explore.mix import mix
    from handful.explore.neighbours import Neighbourhood, neighbours
    from handful.explore.project import Effort, Projection, project
    from handful.explore.study import Study, study
    from handful.exporting.export import export
    from handful.exporting.hub import push
    from handful.exporting.report import report
    from handful.metrics.evaluation import evaluate
    from handful.metrics.results import Evaluation
    from handful.records.run_folder import RunFolder
    from handful.sampling.directions import Directions, load_directions
    from handful.sampling.generate import generate
    from handful.sampling.latents import Latents, load_latents
    from handful.sampling.load import load
    from handful.sampling.model import Model
    from handful.training.benchmark import bench
    from handful.training.benchmark_result import Benchmark
    from handful.training.forecast import Forecast
    from handful.training.loop import train
    from handful.training.preflight import preflight

HOME = {
    "Benchmark": "training.benchmark_result",
    "Checkup": "data.checkup.examine",
    "Directions": "sampling.directions",
    "Effort": "explore.project",
    "Evaluation": "metrics.results",
    "Forecast": "training.forecast",
    "GeneratorConfig": "config.generator",
    "Model": "sampling.model",
    "Neighbourhood": "explore.neighbours",
    "Latents": "sampling.latents",
    "Projection": "explore.project",
    "RunFolder": "records.run_folder",
    "Study": "explore.study",
    "TrainConfig": "config.train",
    "TrainingError": "errors",
    "UsageError": "errors",
    "WeightsError": "errors",
    "bench": "training.benchmark",
    "check": "data.checkup.examine",
    "default": "config.presets",
    "evaluate": "metrics.evaluation",
    "export": "exporting.export",
    "generate": "sampling.generate",
    "interpolate": "explore.interpolate",
    "load": "sampling.load",
    "load_directions": "sampling.directions",
    "load_latents": "sampling.latents",
    "mix": "explore.mix",
    "neighbours": "explore.neighbours",
    "paper": "config.presets",
    "preflight": "training.preflight",
    "project": "explore.project",
    "push": "exporting.hub",
    "report": "exporting.report",
    "study": "explore.study",
    "tiny": "config.presets",
    "train": "training.loop",
}
__all__ = [
    "Benchmark",
    "Checkup",
    "Directions",
    "Effort",
    "Evaluation",
    "Forecast",
    "GeneratorConfig",
    "Latents",
    "Model",
    "Neighbourhood",
    "Projection",
    "RunFolder",
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
    "export",
    "generate",
    "interpolate",
    "load",
    "load_directions",
    "load_latents",
    "mix",
    "neighbours",
    "paper",
    "preflight",
    "project",
    "push",
    "report",
    "study",
    "tiny",
    "train",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("handful")
    if name not in HOME:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    return getattr(import_module(f"handful.{HOME[name]}"), name)
