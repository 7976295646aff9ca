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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from types import FrameType

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from handful import chain, latent, lattice, spectrum
from handful.ahead import drawing
from handful.augment import Changes, apply, draw
from handful.average import all_kept, blend
from handful.blocks import shrink
from handful.capture import Captured, compile_networks
from handful.checkpoint import State
from handful.config import TrainConfig
from handful.division import Drawn
from handful.errors import TrainingError
from handful.follower import Follower, opened
from handful.generator import small_shape
from handful.images import from_bytes
from handful.latent import Purpose, fold
from handful.log import Console, Watch
from handful.losses import Distance, Objective, Shown
from handful.machine import arithmetic, sent, side_by_side
from handful.memory import fewer, ran_out
from handful.model import Model
from handful.ranks import ALONE, Ranks, join
from handful.run import Run
from handful.schedule import learning_rate
from handful.shares import means, parting, share, sharing, uniform
from handful.spectral import SpectralAdam

Losses = dict[str, Float[Tensor, ""]]
Lose = Callable[[Drawn], tuple[Float[Tensor, ""], Losses]]
"""From a part of a batch to a player's loss, and what it is made of."""
WANTED = {"power": spectrum.wanted, "detail": lattice.wanted}
"""How the training images are looked at for what the controls watch."""


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
        state = begun(run, ranks)
        state.take_over(ranks)
        step = Step(run.config, state, run.images, run.distance, ranks, run.labels)
        # All agree on what the lead's clock says, and on the end, where it says nothing.
        while (clock := ranks.agree(None if run.ended or stop.is_set() else run.clock(state))) is not None:
            try:
                losses = step(clock)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                step.divide(error)
                losses = {}
            if not losses:  # seldom, since what takes memory in a step is over before it changes anything
                run.rewind(state)
                continue
            state.step += 1
            run.report(state, losses)
        return run.finish(state)


def begun(run: Run | Follower, ranks: Ranks = ALONE) -> State:
    """Make the state that a run starts from or goes on with."""
    config = run.config
    state = State.fresh(config, run.device, run.trunk, run.classes)
    run.resume(state)
    if config.batch == config.at_once == "auto" and state.step == 0 and ranks.count == 1:
        assert isinstance(run, Run)
        at_once = most_at_once(run, state)
        run.rewind(state)
        state.at_once = run.at_once = at_once
        run.watch.note(f"--batch auto: {config.whole_batch} images a step, {at_once} of them at once")
    return state


def most_at_once(run: Run, state: State) -> int:
    """Say how many images of a batch to compute at once, from a step with two of them, which the state is spoiled by.

    On the CPU only: a GPU says when its memory runs out, and then the batch is divided; a machine ends the program.
    """
    config = run.config
    if run.device.type != "cpu":
        return config.whole_batch
    trial = dataclasses.replace(config, batch=2, compile="off")
    state.at_once = 2
    Step(trial, state, run.images, run.distance, labels=run.labels)()
    return min(config.whole_batch, run.gauge.most_at_once(state) or 2)


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
        self.config, self.state, self.ranks = config, state, ranks
        self.draw = drawing(images, device)
        self.numbers = torch.tensor(labels or [0] * len(images))
        kinds = range(int(self.numbers.max()) + 1)
        self.members = [(self.numbers == kind).nonzero().flatten().tolist() for kind in kinds]
        count = config.whole_batch // ranks.count
        self.batch = torch.empty(count, *images.shape[1:], dtype=torch.uint8, device=device)
        self.labels = torch.empty(len(self.batch), dtype=torch.int64, device=device)
        self.keep = torch.empty(len(state.averages), device=device)
        self.random = torch.Generator(device)
        wanted = {name: WANTED[name](images, device, mirror=config.mirror) for name in state.controls.means}
        self.objective = Objective(config, state.controls, distance, wanted)
        self.running = chain.places(state.discriminator).values()
        alone = ranks.count == 1
        self.apply, self.blend = apply, blend
        if config.compile == "on" and alone:
            compile_networks(state, distance)
            if device.type == "cuda":
                self.apply, self.blend = torch.compile(apply, dynamic=False), side_by_side(blend)
        self.made: Shown | None = None
        # Two kinds of steps, so two graphs; without a gradient penalty the second is never recorded.
        self.takes: list[Callable[[], Losses]] = [self.take, partial(self.take, penalise=True)]
        self.captured = [Captured(take, self.random) for take in self.takes] if device.type == "cuda" and alone else []

    def __call__(self, clock: float = 0.0) -> Losses:
        """Take the next step and give its losses, which stay on the device.

        ``clock`` is the share of the run's minutes that is over.

        Raises:
            TrainingError: if memory runs out even for the fewest images at once.
        """
        config, seed, step = self.config, self.config.seed, self.state.step
        with sharing(self.ranks), parting(self.parts):
            steps = step, step + 1
            now, coming = (share(torch.tensor(picks(seed, at, config.whole_batch, self.members))) for at in steps)
            self.batch.copy_(self.draw(now, coming), non_blocking=True)
            self.labels.copy_(sent(self.numbers[now], self.labels.device))
            self.keep.copy_(sent(torch.tensor(all_kept(config, step)), self.keep.device))
            rate = learning_rate(config, max(step / config.steps, clock))
            for optimizer in (self.state.generator_optimizer, self.state.discriminator_optimizer):
                optimizer.rate.fill_(rate)
            self.random.manual_seed(fold(Purpose.STEP, seed, step))
            kind = config.gradient_penalty > 0 and step % config.penalty_every == 0
            if not self.captured or self.parts > 1:
                return self.takes[kind]()
            try:
                return self.captured[kind]()
            except (RuntimeError, MemoryError) as error:
                if not (self.captured[kind].recording and ran_out(error)):
                    raise
                self.divide(error)
        # What could not be recorded has not been done.
        self.random = torch.Generator(self.random.device)
        return self(clock)

    def take(self, *, penalise: bool = False) -> Losses:
        """Take a step with what lies in ``batch`` and ``keep``; ``penalise``: one that has the gradient penalty."""
        state = self.state
        generator, discriminator = state.generator_optimizer, state.discriminator_optimizer

        # Draw: real and generated images, and how the discriminator sees them changed.
        drawn = self.drawn()

        # Discriminator: tell real from fake, and reconstruct the real.
        losses = self.gather(drawn, discriminator, partial(self.judge, penalise=penalise))
        state.controls.update()
        discriminator.descend()

        # Generator: raise the score of what it made, through a discriminator held still.
        with frozen(state.discriminator):
            losses |= self.gather(drawn, generator, self.deceive)
        generator.descend()
        self.made = None

        # Average: the network that pictures are drawn from.
        latest = generator.precise()
        for average, keep in zip(state.averages, self.keep.unbind(), strict=True):
            self.blend([*average.parameters()], latest, keep)

        return means(losses)

    def drawn(self) -> Drawn:
        """Draw all that is random in the images of a step."""
        config, random, network = self.config, self.random, self.state.generator
        images = from_bytes(self.batch)
        images = mirror(images, random) if config.mirror else images
        changes = self.changes()
        changed = self.apply(images, config.augment, changes)
        labels = self.labels if network.config.classes else None
        real = Shown(changed, shrink(changed, small_shape(network.config)), images, changes, labels)
        z, noise = latent.draw(len(images), network.config.latent, network.noise_shapes, random)
        changes = self.changes()
        return Drawn(real, z, noise, changes, changes if config.augment_together else self.changes())

    def generate(self, drawn: Drawn) -> Shown:
        """Let the generator make what was drawn, and show it."""
        policy, labels = self.config.augment, drawn.real.labels
        images, small = self.state.generator(drawn.z, drawn.noise, labels)
        changed, small = self.apply(images, policy, drawn.changes), self.apply(small, policy, drawn.small_changes)
        return Shown(changed, small, images, drawn.changes, labels)

    def judge(self, drawn: Drawn, *, penalise: bool) -> tuple[Float[Tensor, ""], Losses]:
        """Give the discriminator's loss, and its parts."""

        def generate() -> Shown:
            fake = self.generate(drawn)
            if self.parts == 1:  # of a part, what the generator's gradient needs is given up
                self.made = fake
            return fake

        network, objective = self.state.discriminator, self.objective
        return objective.discriminator(network, drawn.real, generate, self.random, penalise=penalise)

    def deceive(self, drawn: Drawn) -> tuple[Float[Tensor, ""], Losses]:
        """Give the generator's loss."""
        fake = self.made or self.generate(drawn)
        loss = self.objective.generator(self.state.discriminator, drawn.real, fake, self.random)
        return loss, {"generator": loss}

    def gather(self, drawn: Drawn, optimizer: SpectralAdam, lose: Lose) -> Losses:
        """Gather a player's gradients and give its losses, their means over the batch, computed part by part.

        Where memory runs out it begins anew with smaller parts. Until it returns, nothing has changed that a step
        depends on.
        """
        random = self.random
        recording = random.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        start = None if recording else random.get_state()
        while True:
            try:
                losses = self.gather_parts(drawn, optimizer, lose, start)
            except (RuntimeError, MemoryError) as error:
                if start is None or not ran_out(error):
                    raise
                self.divide(error)
            else:
                chain.update(self.running)
                return losses
            random.set_state(start)

    def gather_parts(self, drawn: Drawn, optimizer: SpectralAdam, lose: Lose, start: Tensor | None) -> Losses:
        """Try once; each part draws from ``start`` on, for the whole batch, and takes its own."""
        count = self.parts
        so_far: Losses = {}
        self.state.controls.forget()
        chain.forget(self.running)
        for number in range(count):
            if start is not None and number:
                self.random.set_state(start)
            with parting(count, number):
                loss, losses = lose(drawn.part(number, count))
                optimizer.gather(loss / count, more=number > 0)
            for name, value in losses.items():
                mean = value.detach() / count
                so_far[name] = so_far[name] + mean if name in so_far else mean
        return so_far

    @property
    def parts(self) -> int:
        """How many parts a batch is computed in."""
        return self.config.whole_batch // self.state.at_once

    def divide(self, error: Exception) -> None:
        """Go on with half of the images at once.

        Raises:
            TrainingError: if there is no half.
            Exception: ``error``, where several processes would have to agree on it.
        """
        state = self.state
        if self.ranks.count > 1:
            error.add_note(f"Memory ran out with --at-once {state.at_once}; give a lower one to a new run.")
            raise error
        less = fewer(state.at_once, self.config.whole_batch)
        if less is None:
            raise TrainingError(
                f"step {state.step + 1}: memory ran out with {state.at_once} images at once, which cannot be halved; "
                "close other programs and give the same command, or start a new run with --recompute, a lower --size "
                "or a lower --width"
            ) from error
        state.at_once, self.made = less, None

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
