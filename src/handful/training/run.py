"""What the main process does beside the training steps: resume, score, log, draw samples, save, stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, final

from handful.compute.memory import peak_memory
from handful.compute.processes import ALONE, Processes
from handful.config.train import TrainConfig
from handful.errors import TrainingError
from handful.files import printable
from handful.networks.calibrate import calibrate
from handful.objective.losses import Losses
from handful.progress import advance, note
from handful.records import layout
from handful.records.outlook import warnings
from handful.records.scores import Score, best, refusal
from handful.reporting.build import write_report
from handful.sampling.model import Model
from handful.training.ending import note_verdict
from handful.training.forecast import MIN_SECONDS_TO_TELL, Forecaster, advice
from handful.training.meter import Meter, NotFiniteError
from handful.training.room import require_room
from handful.training.schedule import end_reason, score_is_due
from handful.training.scoring import RunScorer
from handful.training.setup import Setup, prepare
from handful.training.state import State
from handful.training.transfer import begin
from handful.training.trial import needs_trial, try_steps
from handful.training.writer import RunWriter, told

MIN_SCORED_IMAGES = 3
"""Training images from which on KID and the distances between images are defined."""


@contextmanager
def open_run(config: TrainConfig, processes: Processes = ALONE) -> Iterator[Run]:
    """Create or reopen a run, and hold the lock of its folder.

    Raises:
        UsageError: as ``setup.prepare``.
        WeightsError: as ``setup.prepare``.
    """
    with prepare(config, processes) as setup:
        run = Run(setup, processes)
        try:
            yield run
        finally:
            run.writer.close()


@final
class Run:
    """A run in the main process. Nothing here changes what the steps compute; ``ended`` says when to stop."""

    def __init__(self, setup: Setup, processes: Processes = ALONE) -> None:
        assert setup.extractor is not None
        self.setup, self.config, self.processes = setup, setup.config, processes
        self.writer = RunWriter(setup.config)
        self.scorer = RunScorer(setup.config, setup.training_set, setup.extractor, setup.second)
        self.forecaster = Forecaster(setup.config)
        self.meter = Meter()
        self.history: list[Score] = []
        self.warned: set[str] = set()
        self.ended: str | None = None
        """Why the run ends here, as a message; None while it continues."""
        self.entry: dict[str, Any] | None = None
        """The entry that was written to the log in this step; shown when it is complete."""
        self.scorable = len(setup.training_set.images) >= MIN_SCORED_IMAGES
        self.scored = False
        """Whether this process has scored."""
        self.first_step = self.micro_batch = self.drawn_step = 0
        self.calibrated_step: int | None = None

    def start(self) -> State:
        """Return the state to train from: that of the newest checkpoint, of ``--from``, or fresh weights."""
        state = self.setup.fresh_state()
        require_room(self.config, state)
        if not self.scorable and self.config.score_every != 0:
            count = len(self.setup.training_set.images)
            note(f"the run is not scored: scores need at least {MIN_SCORED_IMAGES} images, and there are {count}")
        self.load(state)
        self.first_step = state.step
        if state.step:
            note(f"{printable(self.config.folder)}: resuming from step {state.step:,} of {self.config.steps:,}")
            self.score_if_missing(state)
        elif self.ended is None and self.processes.count == 1 and needs_trial(self.config):
            micro_batch = try_steps(self.setup, self.forecaster, state)
            self.rewind(state)
            state.micro_batch = self.micro_batch = micro_batch
        return state

    def score_if_missing(self, state: State) -> None:
        """Score the step that the run resumes from, if it died while that was being scored."""
        entry = self.writer.read_entry(state.step)
        unscored = entry is not None and "kid" not in entry
        if self.score_is_due(state) and (unscored or all(score.step != state.step for score in self.history)):
            self.entry = entry
            self.history = [score for score in self.history if score.step != state.step]
            self.score(state)
            self.show()

    def rewind(self, state: State) -> None:
        """Reset a spoiled state to the newest checkpoint, or to the start; ``micro_batch`` never grows again."""
        micro_batch = state.micro_batch
        state.load(self.setup.fresh_state().tensors())
        state.step, state.seconds = 0, 0.0
        self.load(state)
        # The run still knows the checkpoint's own, so that it tells the user of the change and saves it.
        self.micro_batch, state.micro_batch = state.micro_batch, min(micro_batch, state.micro_batch)

    def load(self, state: State) -> None:
        """Load the newest checkpoint into a fresh state, or ``--from`` if there is none, and the log with it."""
        resumed = self.writer.resume(state)
        self.history = self.writer.read_history(state.step)
        self.warned = set(warnings(self.history))
        self.meter.reset()
        self.micro_batch, self.calibrated_step = state.micro_batch, None
        self.ended = self.end_reason(state)
        self.forecaster.start(state)
        if not resumed and self.setup.source is not None:
            begin(state, self.setup.source)
            self.writer.write_samples(self.model(state), state.step)
            self.save(state)  # from here on the run does not need its source

    def report(self, state: State, losses: Losses) -> None:
        """Do what is due after a step: forecast, sample grid, checkpoint, score, log."""
        config, step = self.config, state.step
        self.meter.add(losses)
        advance("training", step, step + self.forecaster.steps_to_come(step, 60 * self.minutes(state)))
        self.forecast(state)
        halved = state.micro_batch < self.micro_batch
        if halved:
            note(
                f"step {step:,}: memory ran out with micro-batches of {self.micro_batch} images; repeated the step "
                f"with {state.micro_batch}, which the run keeps"
            )
            self.micro_batch = state.micro_batch
        self.ended = self.end_reason(state)
        score_due = self.score_is_due(state)
        late = self.writer.minutes_since_save >= config.checkpoint_minutes
        # Also saved when micro-batches were halved, so that a resumed run halves them at the same step; and before the
        # first score, which may take more memory than there is.
        untried = score_due and not self.scored
        save_due = halved or late or untried or step % config.checkpoint_every == 0
        if step % config.log_every == 0 or score_due:
            self.log(state)
        self.write(state, samples=step % config.sample_every == 0, checkpoint=save_due)
        if score_due:
            with told("the run continues without this score"):
                self.score(state)
            self.ended = self.end_reason(state)
            self.write(state)
        self.show()

    def write(self, state: State, samples: bool = False, checkpoint: bool = False) -> None:
        """Write the files that are due, and all of them at the end of the run; none is written twice."""
        last = self.ended is not None
        if (samples or last) and self.drawn_step != state.step:
            self.writer.write_samples(self.model(state), state.step)
            self.drawn_step = state.step
        if (checkpoint or last) and self.writer.saved_step != state.step:
            self.save(state)

    def finish(self, state: State) -> Model:
        """Save the newest state, also after a signal; write the report; return the averaged generator."""
        config, model = self.config, self.model(state)
        if state.step > self.writer.saved_step:
            self.write(state, samples=True, checkpoint=True)
            self.show()
        stopped = f"stopped at step {state.step:,} of {config.steps:,}; run the same command again to resume"
        note(self.ended or stopped)
        if (top := best(self.history)) is not None:
            note(f"best model: step {top.step:,}, in {printable(config.folder / layout.BEST)}")
        changed = state.step > self.first_step or not (config.folder / layout.REPORT).exists()
        if config.report and self.ended is not None and changed:
            with told("run handful report to write it"):
                note(f"report: {printable(write_report(config.folder, config.device))}")
        if self.ended is not None:
            note_verdict(config.folder, self.history)
        return model

    def score_is_due(self, state: State) -> bool:
        """Return whether to score the state as it is."""
        last = self.ended is not None
        return self.scorable and score_is_due(self.config, state.step, self.minutes(state), self.history, last=last)

    def minutes(self, state: State) -> float:
        """Return the training time so far, over all sittings."""
        return (state.seconds + self.meter.seconds) / 60

    def end_reason(self, state: State) -> str | None:
        """Return why the run ends after this step; None if it continues."""
        return end_reason(self.config, state.step, self.minutes(state), self.history)

    def forecast(self, state: State) -> None:
        """Tell the user, once, how long the run will take."""
        forecast = self.forecaster.update(state)
        if forecast is not None and forecast.seconds_left >= MIN_SECONDS_TO_TELL:
            note(str(forecast))
            if hint := advice(self.config, forecast.seconds_left):
                note(hint)

    def score(self, state: State) -> None:
        """Score the averaged generator, keep it if it is the best, and show new warnings.

        Raises:
            TrainingError: A loss or a weight is not finite.
            OSError: A file that scores need cannot be read.
        """
        since = time.monotonic()
        self.require_finite(state)
        model, probability = self.model(state), state.controls.probability
        score = self.scorer.score(model, state.discriminator, state.step, since, probability)
        self.scored = True
        self.history.append(score)
        self.writer.write_score(model, self.history)
        problems = warnings(self.history)
        for kind in problems.keys() - self.warned:
            note(f"step {state.step:,}: {problems[kind]}")
        self.warned = set(problems)
        entry = {name: round(value, 5) if isinstance(value, float) else value for name, value in vars(score).items()}
        self.log(state)
        if self.entry is not None:
            self.entry |= entry | {"refused": refusal(score), "warnings": list(problems.values())}
            self.writer.amend_entry(self.entry)

    def log(self, state: State) -> None:
        """Write the mean losses since the last entry to the log.

        Raises:
            TrainingError: A loss is not finite.
        """
        steps = self.meter.steps
        if not steps:
            return  # the last entry is of this very step
        try:
            means = self.meter.read()
        except NotFiniteError as error:
            self.fail(state.step - error.steps_ago, str(error))
        seconds = self.meter.seconds
        state.seconds += seconds
        self.forecaster.seconds_per_step = seconds / steps
        self.meter.reset()
        self.entry = {
            "step": state.step,
            "steps": self.config.steps,
            "seconds": round(state.seconds, 2),
            "seconds_left": round(self.forecaster.steps_to_come(state.step, state.seconds) * seconds / steps, 2),
            "images_per_second": round(steps * self.config.whole_batch / seconds, 3),
            **{name: round(value, 5) for name, value in means.items()},
            "micro_batch": state.micro_batch,
            "peak_memory_mb": round(peak_memory(self.setup.device), 1),
        }
        self.writer.write_entry(self.entry)

    def show(self) -> None:
        """Show the entry that was written to the log in this step, if there is one."""
        if self.entry is not None:
            self.writer.show(self.entry)
            self.entry = None

    def save(self, state: State) -> None:
        """Write the model and a checkpoint.

        Raises:
            TrainingError: A loss or a weight is not finite, or the disk is full.
        """
        self.log(state)
        self.require_finite(state)
        self.writer.write_checkpoint(self.model(state), state)

    def require_finite(self, state: State) -> None:
        """Check that all of a state is finite.

        Raises:
            TrainingError: It is not.
        """
        for name, value in state.tensors().items():
            if not value.isfinite().all():
                self.fail(state.step, f"{name} is not finite")

    def fail(self, step: int, what: str) -> NoReturn:
        """Raise the error that ends a run with numbers that are not finite."""
        config = self.config
        raise TrainingError(
            f"step {step}: {what}; {self.writer.safe}. Start a new run with a lower --learning-rate (it is "
            f"{config.step_size:g}), a larger --batch (it is {config.whole_batch}) or another --seed"
        )

    def model(self, state: State) -> Model:
        """Return the averaged generator with its BatchNorm statistics measured."""
        if self.calibrated_step != state.step:
            calibrate(state.average)
            self.calibrated_step = state.step
        return Model(state.average)
