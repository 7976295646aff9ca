"""A run as the processes beside the lead have it: everything comes from the lead, and nothing is written or decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from handful.compute.device import place_images, prepare_device
from handful.compute.precision import PRECISIONS
from handful.compute.processes import Processes
from handful.config.train import TrainConfig
from handful.data.cache import map_images, mapped_file
from handful.networks.calibrate import calibrate
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.losses import Distance, absolute_difference
from handful.sampling.model import Model
from handful.training.run import Run
from handful.training.state import State


@final
class Worker:
    """Stands where the lead has its ``Run``."""

    ended: str | None = None

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        images: UInt8[Tensor, "n c h w"],
        distance: Distance,
        backbone: EfficientNet | None,
        classes: tuple[str, ...],
        labels: list[int],
    ) -> None:
        self.config, self.device, self.images, self.distance, self.backbone = config, device, images, distance, backbone
        self.classes, self.labels = classes, labels

    def resume(self, state: State) -> None:
        """Leave the state, which the lead is going to hand over."""

    def rewind(self, state: State) -> None:
        """Never asked for: one of several processes that runs out of memory ends all."""

    def report(self, state: State, losses: dict[str, Tensor]) -> None:
        """Say nothing."""

    def finish(self, state: State) -> Model:
        """Give the averaged generator."""
        calibrate(state.average)
        return Model(state.average)


@contextmanager
def opened(config: TrainConfig, processes: Processes) -> Iterator[Run | Worker]:
    """Open the run in the process that leads, and hand what it is made of to the others, which read no file.

    Raises:
        UsageError: see ``Run.open``; in all processes.
    """
    if not processes.is_main:
        yield receive(processes)
        return
    with Run.open(config, processes) as run:
        file = mapped_file(run.images)
        processes.broadcast_object((run.config, run.images.shape, file, run.classes, run.labels))
        processes.broadcast([*([] if file else [run.images]), *weights(run.distance), *weights(run.backbone)])
        yield run


def receive(processes: Processes) -> Worker:
    """Take what the lead hands over."""
    nothing: tuple[TrainConfig, torch.Size, Path | None, tuple[str, ...], list[int]] | None = None
    said = processes.broadcast_object(nothing)
    assert said is not None
    config, shape, file, classes, labels = said
    device = processes.local_device(config.device)
    prepare_device(device)
    distance: Distance = absolute_difference
    if config.perceptual == "vgg16":
        distance = Perceptual().to(device).for_training(PRECISIONS[config.precision], config.recompute)
    images = map_images(file, shape) if file else torch.empty(shape, dtype=torch.uint8)
    backbone = EfficientNet() if config.discriminator == "projected" else None
    processes.broadcast([*([] if file else [images]), *weights(distance), *weights(backbone)])
    return Worker(config, device, place_images(images, device), distance, backbone, classes, labels)


def weights(part: Distance | nn.Module | None) -> list[Tensor]:
    """List what a network has learned, where it is one."""
    return [*part.parameters()] if isinstance(part, nn.Module) else []
