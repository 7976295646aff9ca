"""Train a generator against a discriminator on a folder of images.

    model = handful.train(handful.TrainConfig(images="photos", run="runs/photos"))

The same call resumes from the newest checkpoint in the run folder. Everything random in a step is drawn from
``(seed, step)``, so a run that was killed and resumed ends with the same weights, bit for bit, as one that never
stopped. Checkpoints hold no random state.
"""

from __future__ import annotations

from handful.compute.memory import is_out_of_memory
from handful.compute.precision import arithmetic
from handful.compute.processes import join
from handful.config.checks import checked
from handful.config.train import TrainConfig
from handful.progress import Progress, shown_on
from handful.records.layout import MODEL
from handful.sampling.model import Model
from handful.training.signals import stop_on_signals
from handful.training.worker import open_everywhere


@checked
def train(config: TrainConfig, progress: Progress | None = None) -> Model:
    """Train until the run ends, and return the averaged generator.

    Writes the run folder as it goes (see ``records.layout``). Ctrl-C and SIGTERM end the run after the current step,
    with a checkpoint. With several processes (see ``compute.processes``), each calls this and gets the generator.

    Args:
        config: What to train, on which images, and where to write.
        progress: Shows progress of the main process. Default: the terminal.

    Raises:
        UsageError: The image folder, an option, or the run folder to resume does not fit.
        TrainingError: A loss or a weight is not finite, or there is too little memory. The newest checkpoint is good.
        WeightsError: The weights for ``--perceptual vgg16`` or of EfficientNet-Lite0 cannot be had.

    Source: FastGAN (Liu et al. 2021), section 3.3; ``docs/paper.md`` lists each departure.
    """
    with (
        shown_on(progress),
        join() as processes,
        open_everywhere(config, processes) as run,
        stop_on_signals() as stop,
        arithmetic(run.config.precision),
    ):
        state = run.start()
        state.broadcast(processes)
        step = run.setup.build_step(state, processes)
        while processes.broadcast_object(run.ended is None and not stop.is_set()):
            try:
                losses = step()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # Rare: a step needs the most memory before it changes anything, and then repeats itself.
                step.accumulate.halve(error)
                run.rewind(state)
                continue
            state.step += 1
            run.report(state, losses)
        model = run.finish(state)
        model.source = run.config.folder / MODEL
        return model
