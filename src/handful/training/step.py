"""How large a step of the optimisers is, as a run goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from handful.compute.compiling import side_by_side
from handful.compute.device import sent
from handful.compute.memory import fewer, ran_out
from handful.compute.processes import ALONE, Ranks
from handful.compute.shared_batch import means, parting, share, sharing, uniform
from handful.config.train import TrainConfig
from handful.data.order import batch_indices
from handful.data.prefetch import batch_reader
from handful.errors import TrainingError
from handful.images.grid import from_bytes
from handful.networks import chain, latent
from handful.networks.generator import small_shape
from handful.networks.layers import shrink
from handful.objective import lattice, spectrum
from handful.objective.augment import Changes, apply, draw
from handful.objective.losses import AugmentedBatch, Distance
from handful.objective.objective import Objective
from handful.optim.average import all_kept, blend
from handful.optim.spectral_adam import SpectralAdam
from handful.seeds import Purpose, fold
from handful.training.batch import StepInputs
from handful.training.cuda_graph import Captured, compile_networks
from handful.training.state import State


def learning_rate(config: TrainConfig, done: float) -> float:
    """Give Adam's step size where a share ``done`` of the run, 0 to 1, is behind.

    It is ``config.step_size`` until ``config.learning_rate_fall`` of the run is left, and from there on in
    proportion to what is left.

    Source: linear decay to zero, as in CycleGAN (Zhu et al. 2017), appendix 7.1.
    """
    if not config.learning_rate_fall:
        return config.step_size
    return config.step_size * min(1.0, max(0.0, 1 - done) / config.learning_rate_fall)


Losses = dict[str, Float[Tensor, ""]]


LossFunction = Callable[[StepInputs], tuple[Float[Tensor, ""], Losses]]
"""From a part of a batch to a player's loss, and what it is made of."""


WANTED = {"power": spectrum.wanted, "detail": lattice.wanted}
"""How the training images are looked at for what the controls watch."""


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
        self.draw = batch_reader(images, device)
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
        self.made: AugmentedBatch | None = None
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
            indices = (batch_indices(seed, at, config.whole_batch, self.members) for at in steps)
            now, coming = (share(torch.tensor(chosen)) for chosen in indices)
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

    def drawn(self) -> StepInputs:
        """Draw all that is random in the images of a step."""
        config, random, network = self.config, self.random, self.state.generator
        images = from_bytes(self.batch)
        images = mirror(images, random) if config.mirror else images
        changes = self.changes()
        changed = self.apply(images, config.augment, changes)
        labels = self.labels if network.config.classes else None
        real = AugmentedBatch(changed, shrink(changed, small_shape(network.config)), images, changes, labels)
        z, noise = latent.draw(len(images), network.config.latent, network.noise_shapes, random)
        changes = self.changes()
        return StepInputs(real, z, noise, changes, changes if config.augment_together else self.changes())

    def generate(self, drawn: StepInputs) -> AugmentedBatch:
        """Let the generator make what was drawn, and show it."""
        policy, labels = self.config.augment, drawn.real.labels
        images, small = self.state.generator(drawn.z, drawn.noise, labels)
        changed, small = self.apply(images, policy, drawn.changes), self.apply(small, policy, drawn.small_changes)
        return AugmentedBatch(changed, small, images, drawn.changes, labels)

    def judge(self, drawn: StepInputs, *, penalise: bool) -> tuple[Float[Tensor, ""], Losses]:
        """Give the discriminator's loss, and its parts."""

        def generate() -> AugmentedBatch:
            fake = self.generate(drawn)
            if self.parts == 1:  # of a part, what the generator's gradient needs is given up
                self.made = fake
            return fake

        network, objective = self.state.discriminator, self.objective
        return objective.discriminator(network, drawn.real, generate, self.random, penalise=penalise)

    def deceive(self, drawn: StepInputs) -> tuple[Float[Tensor, ""], Losses]:
        """Give the generator's loss."""
        fake = self.made or self.generate(drawn)
        loss = self.objective.generator(self.state.discriminator, drawn.real, fake, self.random)
        return loss, {"generator": loss}

    def gather(self, drawn: StepInputs, optimizer: SpectralAdam, lose: LossFunction) -> Losses:
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

    def gather_parts(
        self, drawn: StepInputs, optimizer: SpectralAdam, lose: LossFunction, start: Tensor | None
    ) -> Losses:
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
