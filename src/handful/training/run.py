"""A run on the disk: its folder, and what happens beside the training steps.

``records.layout`` says what lies in the folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from handful.compute.device import choose_device, hardware, place_images
from handful.compute.memory import peak_memory
from handful.compute.processes import ALONE, Processes
from handful.config import budget
from handful.config.train import TrainConfig
from handful.data import cache
from handful.data.classes import Classes, find_classes
from handful.data.dataset import Dataset, load_folder
from handful.data.sources import open_photos
from handful.data.training_set import TrainingSet
from handful.errors import TrainingError, UsageError
from handful.files import sweep, write_json
from handful.images.grid import grid, write_png
from handful.metrics.features import Extractor
from handful.networks.calibrate import calibrate
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.losses import Distance
from handful.progress import advance, note, show_entry
from handful.records import layout
from handful.records.journal import Journal
from handful.records.scores import Score, best, plateau, read_history, refusal
from handful.records.settings import Settings, read_settings, reconcile, settle
from handful.records.verdict import warnings
from handful.reporting.build import report
from handful.sampling.model import Model
from handful.training import checkpoint
from handful.training.forecast import WORTH_TELLING, Forecaster
from handful.training.scoring import RunScorer
from handful.training.setup import pretrained, resolve, tell
from handful.training.state import State
from handful.training.tensorboard import Tracker
from handful.training.transfer import TrainedModel, begin, compare, trained_model

SCORE_EVERY = 500
"""Steps between two scores, at least, where the run chooses."""


SCORE_SHARE = 0.05
"""Share of the time that scores may take where the run chooses."""


class Run:
    """A run that is open: its settings, its images, and its folder, which it holds so that nobody else trains there."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        classes: Classes,
        distance: Distance,
        extractor: Extractor,
        backbone: EfficientNet | None,
    ) -> None:
        self.config = config
        self.distance, self.backbone = distance, backbone
        self.device = torch.device(config.device)
        self.source: TrainedModel | None = None
        """What a run that has not begun starts from."""
        self.journal = Journal(config.folder / layout.LOG)
        self.checkpoints = config.folder / layout.CHECKPOINTS
        training_set = TrainingSet.of(dataset, classes, config)
        if count := len(training_set.held_out):
            note(f"holding out {count} of them to measure memorisation")
        self.classes, self.labels = training_set.classes, training_set.labels
        self.judge = RunScorer(config, training_set, extractor)
        self.images = place_images(training_set.images, self.device)
        self.gauge = Forecaster(config)
        self.losses: list[dict[str, Tensor]] = []
        self.history: list[Score] = []
        self.warned: set[str] = set()
        self.ended: str | None = None
        self.tracker: Tracker | None = None
        self.calibrated: int | None = None
        self.saved_step, self.began = 0, 0
        self.reported = self.saved = time.monotonic()

    @classmethod
    @contextmanager
    def open(cls, config: TrainConfig, processes: Processes = ALONE) -> Iterator[Run]:
        """Make or find the run folder, hold it, settle what is automatic, and read the images.

        Raises:
            UsageError: if the folder is in use, belongs to other images or other options, or the images do not do;
                or several processes cannot share out the batch, or a device to each.
        """
        saved = read_settings(config.folder)
        if saved is not None:
            config = reconcile(config, saved.config)
        micro_batch = None if config.micro_batch == "auto" else config.micro_batch
        processes.check(config.whole_batch, choose_device(config.device), micro_batch)
        config, distance, extractor = resolve(config, processes)
        backbone = pretrained(config)
        source = trained_model(config)
        try:
            # Of what a class needs, the names say most before all images are read; without classes nobody needs them.
            files = open_photos(config.images).files if config.labels == "folders" else []
            expected = find_classes([file.as_posix() for file in files], config)
            dataset = load_folder(config.images, config.geometry) if cache.fits_in_memory(config) else None
            start = saved.start if saved else None
            if source is not None:
                start = compare(source, config, backbone, expected.names)
            config.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(config.folder / layout.LOCK, timeout=0):
                sweep(config.folder)
                dataset = dataset or cache.load(config)
                tell(dataset, config)
                classes = find_classes(dataset.names, config)
                for line in classes.notes:
                    note(line)
                count, words = len(dataset.images), hardware(config.device)
                settle(Settings(config, dataset.fingerprint, count, words, start), saved)
                run = cls(config, dataset, classes, distance, extractor, backbone)
                run.source = source
                try:
                    yield run
                finally:
                    run.close()
        except Timeout:
            raise UsageError(f"--run {config.folder}: another process is training in this folder") from None

    def resume(self, state: State) -> None:
        """Bring a fresh state to the newest checkpoint, if there is one, and the log with it."""
        found = checkpoint.every(self.checkpoints)
        if found:
            checkpoint.restore(state, found[-1])
            note(f"going on from step {state.step:,} of {self.config.steps:,} in {self.config.folder}")
        self.journal.cut(state.step)
        if self.config.track:
            self.tracker = Tracker(self.config.folder, state.step)
        self.history = read_history(self.journal.read())
        self.warned = set(warnings(self.history))
        self.saved_step = state.step
        self.reported = self.saved = time.monotonic()
        self.ended = self.end(state)
        self.began, self.micro_batch = state.step, state.micro_batch
        self.gauge.begin(state)
        if not found and self.source is not None:
            begin(state, self.source)
            self.source = None
            self.show(state)
            self.save(state)  # from here on the run needs its source no more

    def rewind(self, state: State) -> None:
        """Bring a state that is half changed, or was tried out, to the newest checkpoint, or to the start."""
        micro_batch = state.micro_batch
        state.load(State.fresh(self.config, self.device, self.backbone, self.classes).tensors())
        state.step, state.seconds = 0, 0.0
        self.losses.clear()
        self.close()
        self.resume(state)
        # As it was when that was written, so that the difference is told of and kept.
        self.micro_batch, state.micro_batch = state.micro_batch, min(micro_batch, state.micro_batch)

    def report(self, state: State, losses: dict[str, Tensor]) -> None:
        """Take the losses of the step just done, and do what is due after it: score, log, samples, checkpoint.

        Nothing here changes what training goes on to do, but that ``ended`` says when to stop.
        """
        config, step = self.config, state.step
        self.losses.append({name: value.detach() for name, value in losses.items()})
        advance("training", step, config.steps)
        forecast = self.gauge.look(state)
        if forecast is not None and forecast.seconds_left >= WORTH_TELLING:
            note(str(forecast))
        divided = state.micro_batch < self.micro_batch
        if divided:
            note(
                f"step {step:,}: memory ran out with {self.micro_batch} images at once; the step was taken again with "
                f"{state.micro_batch}, and so will be those to come"
            )
            self.micro_batch = state.micro_batch
        self.ended = self.end(state)
        if self.score_due(state):
            self.score(state)
            self.ended = self.end(state)
        last = self.ended is not None
        if last or step % config.log_every == 0:
            self.log(state)
        if last or step % config.sample_every == 0:
            self.show(state)
        minutes = (time.monotonic() - self.saved) / 60
        # Saved where it was divided too, so that a resumed run divides the same steps.
        if last or divided or step % config.checkpoint_every == 0 or minutes >= config.checkpoint_minutes:
            self.save(state)

    def finish(self, state: State) -> Model:
        """Leave the newest state on the disk, also where a signal came between, and give the averaged generator."""
        if state.step > self.saved_step:
            self.show(state)
            self.save(state)
        folder, steps = self.config.folder, self.config.steps
        early = f"stopped at step {state.step:,} of {steps:,}; the same command goes on from there"
        note(self.ended or early)
        top = best(self.history)
        if top is not None:
            note(f"best: step {top.step:,}, in {folder / layout.BEST}")
        new = state.step > self.began or not (folder / layout.REPORT).exists()
        if self.config.report and self.ended is not None and new:
            note(f"all of it on one page: {report(folder, self.config.device)}")
        return self.model(state)

    def end(self, state: State) -> str | None:
        """Say why the run ends here; None if it goes on."""
        config = self.config
        if state.step >= config.steps:
            return f"{config.folder} is trained for {state.step:,} steps; a higher --steps goes on"
        if config.minutes is not None and self.minutes(state) >= config.minutes:
            return f"stopped at step {state.step:,}, after --minutes {config.minutes:g}; more minutes go on"
        if config.stop_when == "plateau" and plateau(self.history):
            return f"stopped at step {state.step:,}, since no score improves any more; --stop-when never goes on"
        return None

    def minutes(self, state: State) -> float:
        """Say how long the run has been training, over all sittings."""
        return (state.seconds + time.monotonic() - self.reported) / 60

    def score_due(self, state: State) -> bool:
        """Say whether it is time for a score: at the chosen steps and at the end; by default only where it is cheap."""
        config, step = self.config, state.step
        if config.score_every is not None:
            return config.score_every > 0 and (step % config.score_every == 0 or self.ended is not None)
        if step < SCORE_EVERY:
            return False
        if self.ended is not None:
            return True  # whatever it costs: what the person is left with goes by it
        if step % SCORE_EVERY:
            return False
        spent = [score.score_seconds for score in self.history]
        total = 60 * self.minutes(state)
        return sum(spent) + (spent[-1] if spent else 0.0) <= SCORE_SHARE * total

    def score(self, state: State) -> None:
        """Score the averaged generator, keep it if it is the best, and say what goes wrong.

        Raises:
            TrainingError: if a loss or a weight is not finite.
        """
        since = time.monotonic()
        self.require_finite(state)
        probability = state.controls.probability
        score = self.judge.score(self.model(state), state.discriminator, state.step, since, probability)
        self.history.append(score)
        if best(self.history) is score:
            keep_best(self.model(state), score, self.config.folder / layout.BEST)
        found = warnings(self.history)
        for kind in found.keys() - self.warned:
            note(f"step {state.step:,}: {found[kind]}")
        self.warned = set(found)
        entry = {name: round(value, 5) if isinstance(value, float) else value for name, value in vars(score).items()}
        self.log(state, entry | {"refused": refusal(score), "warnings": list(found.values())})

    def log(self, state: State, score: dict[str, Any] | None = None) -> None:
        """Write the mean of the losses since the last report to the log, with a score if there is one.

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
            "images_per_second": round(len(table) * self.config.whole_batch / seconds, 3),
            **{name: round(value, 5) for name, value in means.items()},
            "micro_batch": state.micro_batch,
            "peak_memory_mb": round(peak_memory(self.device), 1),
            **(score or {}),
        }
        self.losses.clear()
        self.journal.write(entry)
        if self.tracker is not None:
            self.tracker.numbers(entry)
        show_entry(entry)

    def require_finite(self, state: State) -> None:
        """Stop the run if a weight is no longer finite."""
        for name, value in state.tensors().items():
            if not value.isfinite().all():
                self.fail(state.step, f"{name} is no longer finite")

    def fail(self, step: int, what: str) -> NoReturn:
        """Stop the run because a number is no longer finite."""
        found = checkpoint.every(self.checkpoints)
        left = f"the last good checkpoint is {found[-1]}" if found else "there was no checkpoint yet"
        raise TrainingError(
            f"step {step}: {what}; {left}. Start a new run with a lower --learning-rate (it is "
            f"{self.config.step_size:g}), a larger --batch (it is {self.config.whole_batch}) or another --seed"
        )

    def show(self, state: State) -> None:
        """Write a grid of the same seeds' pictures as at the steps before."""
        picture = grid(list(self.model(state).sample(budget.current.grid_seeds)))
        write_png(self.config.folder / layout.SAMPLES / f"{layout.step_name(state.step)}.png", picture)
        if self.tracker is not None:
            self.tracker.picture(state.step, picture)

    def save(self, state: State) -> None:
        """Write the model, then a checkpoint; a run that dies in between writes the model again.

        Raises:
            TrainingError: if a loss or a weight is not finite.
        """
        self.log(state)
        self.require_finite(state)
        self.model(state).save(self.config.folder / layout.MODEL)
        checkpoint.save(state, self.checkpoints, self.config.keep)
        self.saved, self.saved_step = time.monotonic(), state.step

    def close(self) -> None:
        """Leave nothing open."""
        if self.tracker is not None:
            self.tracker.close()

    def model(self, state: State) -> Model:
        """Return the averaged generator, its BatchNorm statistics measured."""
        if self.calibrated != state.step:
            calibrate(state.average)
            self.calibrated = state.step
        return Model(state.average)


def keep_best(model: Model, score: Score, folder: Path) -> None:
    """Write the model and its score; at no time does the score of one checkpoint lie beside the model of another."""
    (folder / layout.SCORE).unlink(missing_ok=True)
    model.save(folder)
    write_json(folder / layout.SCORE, vars(score))
