"""Train a generator against a discriminator on a folder of images.

    model = handful.train(handful.TrainConfig(images="photos", run="runs/photos"))

The same call resumes: it goes on from the newest checkpoint in the run folder. All that is random in a step is drawn
from ``(seed, step)`` and from nothing else. So a run that was killed and resumed ends with bit for bit the weights of
one that never stopped, and no checkpoint holds a random state.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from handful.compute.memory import is_out_of_memory
from handful.compute.precision import arithmetic
from handful.compute.processes import ALONE, Processes, join
from handful.config.train import TrainConfig
from handful.progress import Progress, note, shown_on
from handful.records.layout import MODEL
from handful.sampling.model import Model
from handful.training.run import Run
from handful.training.state import State
from handful.training.step import Step
from handful.training.worker import Worker, opened


def train(config: TrainConfig, progress: Progress | None = None) -> Model:
    """Run ``config`` to its last step and return the averaged generator.

    Writes the run folder as it goes (see ``Run``). Ctrl-C and SIGTERM end the run early, after a checkpoint. In several
    processes (see ``processes``) each calls this, and each gets the generator; what it raises is raised in all.

    Args:
        config: What to train, on what, where to.
        progress: Is told how it goes, in the process that leads; the terminal by default.

    Raises:
        UsageError: if the image folder, an option, or the run folder to go on with does not fit.
        TrainingError: if a loss is no longer finite; the newest checkpoint is from before.
        WeightsError: if ``--perceptual vgg16`` or ``--discriminator projected`` was asked for and its files cannot be
            had.

    Source: FastGAN (Liu et al. 2021), section 3.3; each departure is in ``docs/paper.md``.
    """
    with (
        shown_on(progress),
        join() as processes,
        opened(config, processes) as run,
        stop_signals() as stop,
        arithmetic(run.config.precision),
    ):
        state = begun(run, processes)
        state.take_over(processes)
        step = Step(run.config, state, run.images, run.distance, processes, run.labels)
        while processes.broadcast_object(run.ended is None and not stop.is_set()):
            try:
                losses = step()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # Rare: what takes most memory in a step is over before the step changes anything.
                step.accumulate.halve(error)
                run.rewind(state)
                continue
            state.step += 1
            run.report(state, losses)
        model = run.finish(state)
        model.source = run.config.folder / MODEL
        return model


def begun(run: Run | Worker, processes: Processes = ALONE) -> State:
    """Make the state that a run starts from or goes on with."""
    config = run.config
    state = State.fresh(config, run.device, run.backbone, run.classes)
    run.resume(state)
    if config.batch == config.micro_batch == "auto" and state.step == 0 and processes.count == 1:
        assert isinstance(run, Run)
        micro_batch = largest_micro_batch(run, state)
        run.rewind(state)
        state.micro_batch = run.micro_batch = micro_batch
        note(f"--batch auto: {config.whole_batch} images a step, {micro_batch} of them at once")
    return state


def largest_micro_batch(run: Run, state: State) -> int:
    """Say how many images of a batch to compute at once, from a step with two of them, which the state is spoiled by.

    On the CPU only: a GPU says when its memory runs out, and then the batch is divided; a machine ends the program.
    """
    config = run.config
    if run.device.type != "cpu":
        return config.whole_batch
    trial = dataclasses.replace(config, batch=2, compile="off")
    state.micro_batch = 2
    Step(trial, state, run.images, run.distance, labels=run.labels)()
    return min(config.whole_batch, run.gauge.largest_micro_batch(state) or 2)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop after the step at hand; a second one acts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        restore()

    for number in usual:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
