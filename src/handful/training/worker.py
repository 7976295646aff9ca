"""A run in the processes other than the main one, which sends them everything. They write and decide nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from handful.compute.device import place_images, prepare_device
from handful.compute.precision import PRECISIONS
from handful.compute.processes import Processes
from handful.config.train import TrainConfig
from handful.data.cache import map_images, mapped_file
from handful.data.training_set import TrainingSet
from handful.networks.calibrate import calibrate
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.feature_distance import FeatureDistance
from handful.objective.losses import Distance, Losses, absolute_difference
from handful.sampling.model import Model
from handful.training.run import Run, open_run
from handful.training.setup import Setup
from handful.training.state import State


@final
class Worker:
    """Takes the place of ``Run`` in the other processes."""

    ended: str | None = None

    def __init__(self, setup: Setup) -> None:
        self.setup, self.config = setup, setup.config

    def start(self) -> State:
        """Return a fresh state, which the main process's state then replaces."""
        return self.setup.fresh_state()

    def rewind(self, state: State) -> None:
        """Do nothing: if one of several processes runs out of memory, all end."""

    def report(self, state: State, losses: Losses) -> None:
        """Do nothing."""

    def finish(self, state: State) -> Model:
        """Return the averaged generator."""
        calibrate(state.average)
        return Model(state.average)


@contextmanager
def open_everywhere(config: TrainConfig, processes: Processes) -> Iterator[Run | Worker]:
    """Open the run in the main process, and send its setup to the others, which read no files.

    Raises:
        UsageError: as ``setup.prepare``; in all processes.
        WeightsError: as ``setup.prepare``; in all processes.
    """
    if not processes.is_main:
        yield Worker(receive(processes))
        return
    with open_run(config, processes) as run:
        send(run.setup, processes)
        yield run


def send(setup: Setup, processes: Processes) -> None:
    """Send a setup to the other processes; images in a file by its path."""
    images, training_set = setup.images, setup.training_set
    file = mapped_file(images)
    processes.broadcast_object((setup.config, images.shape, file, training_set.classes, training_set.labels))
    processes.broadcast([*([] if file else [images]), *weights_of(setup.distance), *weights_of(setup.backbone)])


def receive(processes: Processes) -> Setup:
    """Receive the setup that the main process sends."""
    nothing: tuple[TrainConfig, torch.Size, Path | None, tuple[str, ...], tuple[int, ...]] | None = None
    message = processes.broadcast_object(nothing)
    assert message is not None
    config, shape, file, classes, labels = message
    device = processes.local_device(config.device)
    prepare_device(device)
    distance: Distance = absolute_difference
    if config.perceptual != "none" and config.reconstruction:
        network = Perceptual() if config.perceptual == "vgg16" else FeatureDistance(EfficientNet())
        distance = network.to(device).for_training(PRECISIONS[config.precision], config.recompute)
    images = map_images(file, shape) if file else torch.empty(shape, dtype=torch.uint8)
    backbone = EfficientNet() if config.projected_weight else None
    processes.broadcast([*([] if file else [images]), *weights_of(distance), *weights_of(backbone)])
    training_set = TrainingSet(images, labels, images[:0], (), classes)
    return Setup(config, device, training_set, place_images(images, device), distance, backbone)


def weights_of(network: Distance | nn.Module | None) -> list[Tensor]:
    """Return the parameters of a network; none for a plain function."""
    return [*network.parameters()] if isinstance(network, nn.Module) else []
