"""A run on the disk: its folder, and what happens beside the training steps.

config.json      every option as resolved, the version, the fingerprint of the image folder
log.jsonl        one line a report
samples/         step-00001000.png: fixed seeds, averaged generator
checkpoints/     step-00001000/: all that an exact resume needs; the newest few
model/           the newest averaged generator, for use
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

import torch
from filelock import FileLock, Timeout
from jaxtyping import UInt8
from torch import Tensor

from handful import checkpoint
from handful.average import calibrate
from handful.checkpoint import State
from handful.config import TrainConfig
from handful.data import Dataset, load_folder, readable
from handful.errors import TrainingError, UsageError, WeightsError
from handful.files import sweep
from handful.images import grid, write_png
from handful.log import Journal, Watch, peak_memory
from handful.losses import Distance, absolute_difference
from handful.model import Model, choose_device
from handful.perceptual import Perceptual
from handful.settings import Settings, read_settings, reconcile, settle

SAMPLES = range(36)
"""Seeds of the pictures in a sample grid."""
NAMED = 20
"""Files named in a message before the rest is only counted."""


class Run:
    """A run that is open: its settings, its images, and its folder, which it holds so that nobody else trains there."""

    def __init__(self, config: TrainConfig, dataset: Dataset, distance: Distance, watch: Watch) -> None:
        self.config = config
        self.watch = watch
        self.distance = distance
        self.device = torch.device(config.device)
        self.images = place(dataset.images, self.device)
        self.journal = Journal(config.folder / "log.jsonl")
        self.checkpoints = config.folder / "checkpoints"
        self.losses: list[dict[str, Tensor]] = []
        self.calibrated, self.saved_step = -1, 0
        self.reported = self.saved = time.monotonic()

    @classmethod
    @contextmanager
    def open(cls, config: TrainConfig, watch: Watch) -> Iterator[Run]:
        """Make or find the run folder, hold it, settle what is automatic, and read the images.

        Raises:
            UsageError: if the folder is in use, belongs to other images or other options, or the images do not do.
        """
        saved = read_settings(config.folder)
        if saved is not None:
            config = reconcile(config, saved.config)
        config, distance = resolve(config, watch)
        try:
            dataset = load_folder(config.images, config.size, config.fit, partial(watch.advance, "reading images"))
            tell(dataset, config, watch)
            config.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(config.folder / ".lock", timeout=0):
                sweep(config.folder)
                settle(Settings(config, dataset.fingerprint, len(dataset.images)), saved)
                yield cls(config, dataset, distance, watch)
        except Timeout:
            raise UsageError(f"--run {config.folder}: another process is training in this folder") from None
        finally:
            watch.close()

    def resume(self, state: State) -> None:
        """Bring a fresh state to the newest checkpoint, if there is one, and the log with it."""
        found = checkpoint.every(self.checkpoints)
        if found:
            checkpoint.restore(state, found[-1])
            self.watch.note(f"going on from step {state.step:,} of {self.config.steps:,} in {self.config.folder}")
        self.journal.cut(state.step)
        self.saved_step = state.step
        self.reported = self.saved = time.monotonic()

    def report(self, state: State, losses: dict[str, Tensor]) -> None:
        """Take the losses of the step just done, and do what is due after it: log, samples, checkpoint.

        Nothing here changes what training goes on to do.
        """
        config, step = self.config, state.step
        self.losses.append({name: value.detach() for name, value in losses.items()})
        self.watch.advance("training", step, config.steps)
        last = step == config.steps
        if last or step % config.log_every == 0:
            self.log(state)
        if last or step % config.sample_every == 0:
            self.show(state)
        minutes = (time.monotonic() - self.saved) / 60
        if last or step % config.checkpoint_every == 0 or minutes >= config.checkpoint_minutes:
            self.save(state)

    def finish(self, state: State) -> Model:
        """Leave the newest state on the disk, also where a signal came between, and give the averaged generator."""
        if state.step > self.saved_step:
            self.show(state)
            self.save(state)
        folder, steps = self.config.folder, self.config.steps
        if state.step < steps:
            self.watch.note(f"stopped at step {state.step:,} of {steps:,}; the same command goes on from there")
        else:
            self.watch.note(f"{folder} is trained for {state.step:,} steps; a higher --steps goes on")
        return self.model(state)

    def log(self, state: State) -> None:
        """Write the mean of the losses since the last report to the log.

        Raises:
            TrainingError: if one of them is not finite.
        """
        if not self.losses:
            return  # the last report was at this very step
        names = list(self.losses[0])
        table = torch.stack([torch.stack([*step.values()]) for step in self.losses]).cpu().double()  # [steps losses]
        bad = (~table.isfinite()).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            self.fail(state.step - len(table) + row + 1, f"the {names[column]} loss is {table[row, column]}")
        now = time.monotonic()
        seconds, self.reported = now - self.reported, now
        state.seconds += seconds
        means = dict(zip(names, table.mean(dim=0).tolist(), strict=True))
        entry = {
            "step": state.step,
            "steps": self.config.steps,
            "seconds": round(state.seconds, 2),
            "seconds_left": round((self.config.steps - state.step) * seconds / len(table), 2),
            "images_per_second": round(len(table) * self.config.batch / seconds, 3),
            **{name: round(value, 5) for name, value in means.items()},
            "peak_memory_mb": round(peak_memory(self.device), 1),
        }
        self.losses.clear()
        self.journal.write(entry)
        self.watch.report(entry)

    def fail(self, step: int, what: str) -> NoReturn:
        """Stop the run because a number is no longer finite."""
        found = checkpoint.every(self.checkpoints)
        left = f"the last good checkpoint is {found[-1]}" if found else "there was no checkpoint yet"
        raise TrainingError(
            f"step {step}: {what}; {left}. Start a new run with a lower --learning-rate (it is "
            f"{self.config.learning_rate:g}), a larger --batch (it is {self.config.batch}) or another --seed"
        )

    def show(self, state: State) -> None:
        """Write a grid of the same seeds' pictures as at the steps before."""
        pictures = self.model(state).sample(SAMPLES)
        write_png(self.config.folder / "samples" / f"step-{state.step:08d}.png", grid(list(pictures)))

    def save(self, state: State) -> None:
        """Write the model, then a checkpoint; a run that dies in between writes the model again.

        Raises:
            TrainingError: if a loss or a weight is not finite.
        """
        self.log(state)
        for name, value in state.tensors().items():
            if not value.isfinite().all():
                self.fail(state.step, f"{name} is no longer finite")
        self.model(state).save(self.config.folder / "model")
        checkpoint.save(state, self.checkpoints, self.config.keep)
        self.saved, self.saved_step = time.monotonic(), state.step

    def model(self, state: State) -> Model:
        """Give the averaged generator, fit for use."""
        if self.calibrated != state.step:
            calibrate(state.average)
            self.calibrated = state.step
        return Model(state.average)


def resolve(config: TrainConfig, watch: Watch) -> tuple[TrainConfig, Distance]:
    """Settle what is automatic: the device, and how reconstructions are judged.

    Raises:
        UsageError: if the device is not there.
        WeightsError: if weight files were asked for and cannot be had.
    """
    config = dataclasses.replace(config, device=str(choose_device(config.device)))
    perceptual, distance = config.perceptual, absolute_difference
    if not config.reconstruction:
        if perceptual == "vgg16":
            watch.note("--perceptual vgg16 has no effect with --no-reconstruction")
        else:
            perceptual = "none"
    elif perceptual != "none":
        try:
            bar = lambda name, done, total: watch.advance(f"downloading {name}", done, total)  # noqa: E731
            distance = Perceptual.pretrained(config.weights, progress=bar).to(config.device)
            perceptual = "vgg16"
        except WeightsError as error:
            if perceptual == "vgg16":
                raise
            watch.note(f"--perceptual auto: taking none, the mean absolute difference, since {error}")
            perceptual = "none"
    return dataclasses.replace(config, perceptual=perceptual), distance


def place(images: UInt8[Tensor, "n 3 h w"], device: torch.device) -> UInt8[Tensor, "n 3 h w"]:
    """Put the images on the device if they take less than half of its free memory; otherwise steps fetch them."""
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return images.to(device)
    return images


def tell(dataset: Dataset, config: TrainConfig, watch: Watch) -> None:
    """Say what was found in the image folder, and name what the user may want to look after."""
    watch.note(f"{len(dataset.images)} images from {readable(config.images)}, at {config.size} x {config.size} px")
    name_some(watch, "skipped, since it cannot be read", [str(problem) for problem in dataset.skipped])
    name_some(watch, f"enlarged, since it is smaller than {config.size} px", [readable(name) for name in dataset.small])
    if dataset.ignored:
        endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in dataset.ignored.items())
        watch.note(f"not looked at, by ending: {endings}")


def name_some(watch: Watch, what: str, names: list[str]) -> None:
    """Name the first few of a list of files, and count the rest."""
    for name in names[:NAMED]:
        watch.note(f"  {what}: {name}")
    if len(names) > NAMED:
        watch.note(f"  {what}: {len(names) - NAMED} more")
