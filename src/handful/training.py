"""Train a generator against a discriminator on a folder of images.

    model = handful.train(handful.TrainConfig(images="photos", run="runs/photos"))

The same call resumes: it goes on from the newest checkpoint in the run folder. All that is random in a step is drawn
from ``(seed, step)`` and from nothing else. So a run that was killed and resumed ends with bit for bit the weights of
one that never stopped, and no checkpoint holds a random state.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from types import FrameType

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from handful import latent
from handful.ahead import drawing
from handful.augment import Changes, apply, draw
from handful.average import all_kept, blend
from handful.blocks import shrink
from handful.capture import Captured, compile_networks
from handful.checkpoint import State
from handful.config import TrainConfig
from handful.follower import opened
from handful.generator import small_shape
from handful.images import from_bytes
from handful.latent import Purpose, fold
from handful.log import Console, Watch
from handful.losses import Distance, Objective, Shown
from handful.machine import arithmetic
from handful.model import Model
from handful.ranks import ALONE, Ranks, join
from handful.shares import means, share, sharing, uniform


def train(config: TrainConfig, watch: Watch | None = None) -> Model:
    """Run ``config`` to its last step and return the averaged generator.

    Writes the run folder as it goes (see ``Run``). Ctrl-C and SIGTERM end the run early, after a checkpoint. In several
    processes (see ``ranks``) each calls this, and each gets the generator; what it raises is raised in all.

    Args:
        config: What to train, on what, where to.
        watch: Is told how it goes, in the process that leads; the terminal by default.

    Raises:
        UsageError: if the image folder, an option, or the run folder to go on with does not fit.
        TrainingError: if a loss is no longer finite; the newest checkpoint is from before.
        WeightsError: if ``--perceptual vgg16`` or ``--discriminator projected`` was asked for and its files cannot be
            had.

    Source: FastGAN (Liu et al. 2021), section 3.3; each departure is in ``docs/method.md``.
    """
    with (
        join() as ranks,
        opened(config, watch or Console(), ranks) as run,
        stop_signals() as stop,
        arithmetic(run.config.precision),
    ):
        state = State.fresh(run.config, run.device, run.trunk, run.classes)
        run.resume(state)
        state.take_over(ranks)
        step = Step(run.config, state, run.images, run.distance, ranks, run.labels)
        while ranks.agree(run.ended is None and not stop.is_set()):
            losses = step()
            state.step += 1
            run.report(state, losses)
        return run.finish(state)


class Step:
    """One step of training, to be called again and again.

    What differs from step to step comes in through ``batch``, ``keep`` and the seed of ``random``, which stay where
    they are in memory; ``take`` does the rest and never waits for the device. So a GPU can replay it as one CUDA graph.

    Of several processes each takes its share of the batch, operation by operation: neither compiled nor recorded, since
    nobody has seen either work with what they reduce together.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: State,
        images: UInt8[Tensor, "n c h w"],
        distance: Distance,
        ranks: Ranks = ALONE,
        labels: Sequence[int] = (),
    ) -> None:
        device = next(state.generator.parameters()).device
        self.config, self.state, self.images, self.ranks = config, state, images, ranks
        self.draw = drawing(images, device)
        self.numbers = torch.tensor(labels or [0] * len(images))
        kinds = range(int(self.numbers.max()) + 1)
        self.members = [(self.numbers == kind).nonzero().flatten().tolist() for kind in kinds]
        self.batch = torch.empty(config.batch // ranks.count, *images.shape[1:], dtype=torch.uint8, device=device)
        self.labels = torch.empty(len(self.batch), dtype=torch.int64, device=device)
        self.keep = torch.empty(len(state.averages), device=device)
        self.random = torch.Generator(device)
        self.objective = Objective(config, state.controls, distance)
        alone = ranks.count == 1
        if config.compile == "on" and alone:
            compile_networks(state, distance)
        # Two kinds of steps, so two graphs; without a gradient penalty the second is never recorded.
        takes: list[Callable[[], dict[str, Tensor]]] = [self.take, partial(self.take, penalise=True)]
        captured = device.type == "cuda" and alone
        self.runs = [Captured(take, self.random) if captured else take for take in takes]

    def __call__(self) -> dict[str, Float[Tensor, ""]]:
        """Take the next step and give its losses, which stay on the device."""
        config, seed, step = self.config, self.config.seed, self.state.step
        with sharing(self.ranks):
            now, coming = (share(torch.tensor(picks(seed, at, config.batch, self.members))) for at in (step, step + 1))
            self.batch.copy_(self.draw(now, coming), non_blocking=True)
            self.labels.copy_(self.numbers[now])
            self.keep.copy_(torch.tensor(all_kept(config, step)))
            self.random.manual_seed(fold(Purpose.STEP, seed, step))
            return self.runs[config.gradient_penalty > 0 and step % config.penalty_every == 0]()

    def take(self, *, penalise: bool = False) -> dict[str, Float[Tensor, ""]]:
        """Take a step with what lies in ``batch`` and ``keep``; ``penalise``: one that has the gradient penalty."""
        config, state, random = self.config, self.state, self.random
        generator, discriminator = state.generator, state.discriminator

        # Draw: real and generated images, changed as the discriminator sees them.
        labels = self.labels if generator.config.classes else None
        images = from_bytes(self.batch)
        images = mirror(images, random) if config.mirror else images
        changes = self.changes()
        changed = apply(images, config.augment, changes)
        real = Shown(changed, shrink(changed, small_shape(generator.config)), images, changes, labels)
        z, noise = latent.draw(len(images), generator.config.latent, generator.noise_shapes, random)
        images, small = generator(z, noise, labels)
        changes = self.changes()
        changed = apply(images, config.augment, changes)
        small = apply(small, config.augment, changes if config.augment_together else self.changes())
        fake = Shown(changed, small, images, changes, labels)

        # Discriminator: tell real from fake, and reconstruct the real.
        loss, losses = self.objective.discriminator(discriminator, real, fake, random, penalise=penalise)
        state.discriminator_optimizer.minimise(loss)

        # Generator: raise the score of what it made, through a discriminator held still.
        with frozen(discriminator):
            losses["generator"] = self.objective.generator(discriminator, real, fake, random)
            state.generator_optimizer.minimise(losses["generator"])

        # Average: the network that pictures are drawn from.
        latest = state.generator_optimizer.precise()
        for average, keep in zip(state.averages, self.keep.unbind(), strict=True):
            blend([*average.parameters()], latest, keep)

        return means({name: loss.detach() for name, loss in losses.items()})

    def changes(self) -> Changes:
        """Draw how the discriminator is to see a batch."""
        return draw(len(self.batch), self.config.augment, self.random, self.state.controls.probability)


def mirror(images: Float[Tensor, "b c h w"], random: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Mirror each image left to right, or not, as chance has it."""
    mirrored = uniform((len(images), 1, 1, 1), random) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def picks(seed: int, step: int, batch: int, classes: Sequence[Sequence[int]]) -> list[int]:
    """Say which images a step sees, where ``classes`` lists those of each class.

    Each class has its turn as often, in random order; of its images, all have theirs once in random order, then all
    again, and so on.
    """
    chosen = []
    for position in range(step * batch, (step + 1) * batch):
        turn, place = divmod(position, len(classes))
        number = int(order(Purpose.CLASS, seed, turn, len(classes))[place])
        images = classes[number]
        epoch, place = divmod(turn, len(images))
        chosen.append(images[order(Purpose.ORDER, seed, epoch * len(classes) + number, len(images))[place]])
    return chosen


@lru_cache(maxsize=256)
def order(purpose: Purpose, seed: int, number: int, count: int) -> Int64[np.ndarray, " n"]:
    """Shuffle the numbers below ``count``."""
    return np.random.default_rng(fold(purpose, seed, number)).permutation(count)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within the block, the network passes gradients on but gathers none."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


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
