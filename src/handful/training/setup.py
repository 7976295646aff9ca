"""Prepare a run: settle its options, read its images, load frozen networks, and lock its folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.compute.device import choose_device, hardware, place_images
from handful.compute.processes import ALONE, Processes
from handful.config.train import TrainConfig, size_in_words
from handful.data import cache
from handful.data.checkup.examine import quick_check
from handful.data.checkup.terminal import one_line
from handful.data.classes import find_classes
from handful.data.content import require_content
from handful.data.dataset import Dataset, load_folder
from handful.data.order import natural_key
from handful.data.sources import open_photos
from handful.data.training_set import TrainingSet
from handful.files import printable
from handful.images.channels import CHANNEL_NAMES
from handful.metrics.features import Extractor
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.losses import Distance
from handful.progress import note
from handful.records.settings import Settings, read_own_settings, reconcile, settle
from handful.training.resolve import resolve
from handful.training.state import State
from handful.training.step import Step
from handful.training.transfer import TrainedModel, compare, read_source
from handful.training.writer import locked

NAMED_FILES = 20
"""Files that a message names before it counts the rest."""


@final
@dataclass(frozen=True)
class Setup:
    """What a run trains with. Nothing in it changes while the run trains."""

    config: TrainConfig
    """All options; none is automatic any more, except ``batch`` and ``micro_batch``."""
    device: torch.device
    training_set: TrainingSet
    images: UInt8[Tensor, "n c h w"]
    """Those of ``training_set``, on the GPU if they fit there."""
    distance: Distance
    """How far a reconstruction is from its image."""
    backbone: EfficientNet | None = None
    """What a projected discriminator looks through."""
    extractor: Extractor | None = None
    """What scores compare features of; None in a process that does not score."""
    second: Extractor | None = None
    """Another network that scores compare features of, if its weight file is there."""
    source: TrainedModel | None = None
    """The trained model that a new run starts from."""

    def fresh_state(self) -> State:
        """Return the state of a run that has not begun."""
        return State.fresh(self.config, self.device, self.backbone, self.training_set.classes)

    def build_step(self, state: State, processes: Processes = ALONE, config: TrainConfig | None = None) -> Step:
        """Return the function that takes a training step; ``config`` replaces the run's own options."""
        labels = self.training_set.labels
        return Step(config or self.config, state, self.images, self.distance, processes, labels)


@contextmanager
def prepare(config: TrainConfig, processes: Processes = ALONE) -> Iterator[Setup]:
    """Create or reopen the run folder, and hold its lock; refuse what cannot be trained before anything is written.

    Raises:
        UsageError: Options, images or the run folder do not fit, or several processes cannot share the batch.
        WeightsError: A weight file that was asked for cannot be had.
    """
    saved = read_own_settings(config.folder)
    if saved is not None:
        config = reconcile(config, saved.config)
    micro_batch = None if config.micro_batch == "auto" else config.micro_batch
    processes.check(config.whole_batch, choose_device(config.device), micro_batch)
    config, networks = resolve(config, processes)
    source = read_source(config)
    # File names tell the classes, or that there are none, before the images are read. Without --labels nobody asks.
    files = open_photos(config.images).files if config.labels == "folders" else []
    classes = find_classes([file.as_posix() for file in files], config).names
    dataset = load_folder(config.images, config.geometry) if cache.fits_in_memory(config) else None
    start = saved.start if saved else None
    if source is not None:
        start = compare(source, config, networks.backbone, classes)
    with locked(config.folder):
        dataset = dataset or cache.load(config)
        require_content(dataset.images, config)
        describe(dataset, config)
        images, device = len(dataset.images), torch.device(config.device)
        settle(Settings(config, dataset.fingerprint, images, hardware(config.device), start), saved)
        training_set = divide(dataset, config)
        yield Setup(
            config,
            device,
            training_set,
            place_images(training_set.images, device),
            networks.distance,
            networks.backbone,
            networks.extractor,
            networks.second,
            source,
        )


def divide(dataset: Dataset, config: TrainConfig) -> TrainingSet:
    """Hold out some images, and tell the user how many."""
    classes = find_classes(dataset.names, config)
    for line in classes.notes:
        note(line)
    training_set = TrainingSet.of(dataset, classes, config)
    if count := len(training_set.held_out):
        note(f"holding out {count} images to measure memorisation")
    return training_set


def describe(dataset: Dataset, config: TrainConfig) -> None:
    """Tell the user what is in the image folder, and what may need attention."""
    kind, size = CHANNEL_NAMES[dataset.images.shape[1]], size_in_words(config)
    note(f"{len(dataset.images)} images from {printable(config.images)}, at {size}, {kind}")
    list_files("skipped", [str(problem) for problem in dataset.skipped])
    list_files("passed over", [str(passed) for passed in dataset.passed_over])
    list_files(f"enlarged, smaller than {size}", [printable(name) for name in sorted(dataset.small, key=natural_key)])
    if dataset.ignored:
        endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in dataset.ignored.items())
        note(f"files that are not pictures, by ending: {endings}")
    findings = quick_check(dataset, config)
    for finding in findings:
        note(f"  {finding.severity}: {one_line(finding)}")
    if findings:
        note(f"  for details, run: handful check {printable(config.images)}")


def list_files(what: str, names: list[str]) -> None:
    """Show the first few of a list of files, and count the rest."""
    for name in names[:NAMED_FILES]:
        note(f"  {what}: {name}")
    if len(names) > NAMED_FILES:
        note(f"  {what}: {len(names) - NAMED_FILES} more")
