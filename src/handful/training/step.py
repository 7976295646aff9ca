"""One step of training: draw, discriminator, generator, average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from handful.compute.compiling import compile_fused
from handful.compute.device import to_device
from handful.compute.memory import is_out_of_memory
from handful.compute.processes import ALONE, Processes
from handful.compute.shared_batch import local_slice, mean_losses, micro_batches, shared_among, uniform
from handful.config.train import TrainConfig
from handful.data.order import batch_indices
from handful.data.prefetch import batch_reader
from handful.images.grid import from_bytes
from handful.networks import latent
from handful.networks.conv import shrink
from handful.networks.generator import small_shape
from handful.networks.heads import Maps
from handful.objective import augment, lattice, spectrum
from handful.objective.losses import AugmentedBatch, Distance, Losses, Objective
from handful.optim.average import blend, decay
from handful.progress import working
from handful.seeds import Purpose, fold
from handful.training.accumulate import Accumulator
from handful.training.batch import StepInputs
from handful.training.cuda_graph import Captured, compile_networks
from handful.training.state import State

TARGETS = {"power": spectrum.target, "detail": lattice.target}
"""Functions that measure the training images, by the names of ``Controls.means``."""


class Step:
    """A step of training, called once for each.

    ``__call__`` writes what differs from step to step into ``batch``, ``labels``, ``keep`` and the seed of ``random``,
    which keep their place in memory. ``take`` does the rest without waiting for the device, so a GPU can replay it as
    one CUDA graph.

    With several processes, each takes its share of the batch. Steps are then neither compiled nor captured, which is
    not tested with collective operations.

    Args:
        config: The run's options.
        state: Updated in place.
        images: The training images.
        distance: How far a reconstruction is from its image.
        processes: The processes that share the batch.
        labels: Class number of each image; empty without classes.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: State,
        images: UInt8[Tensor, "n c h w"],
        distance: Distance,
        processes: Processes = ALONE,
        labels: Sequence[int] = (),
    ) -> None:
        device = next(state.generator.parameters()).device
        self.config, self.state, self.processes = config, state, processes
        self.read_batch = batch_reader(images, device)
        self.all_labels = torch.tensor(labels or [0] * len(images))
        numbers = range(int(self.all_labels.max()) + 1)
        self.members = [(self.all_labels == number).nonzero().flatten().tolist() for number in numbers]
        count = config.whole_batch // processes.count
        self.batch = torch.empty(count, *images.shape[1:], dtype=torch.uint8, device=device)
        self.labels = torch.empty(count, dtype=torch.int64, device=device)
        self.keep = torch.empty((), device=device)
        self.random = torch.Generator(device)
        targets = {name: TARGETS[name](images, device, mirror=config.mirror) for name in state.controls.means}
        self.objective = Objective(config, state.controls, distance, targets)
        self.accumulate = Accumulator(config, state, processes)
        self.apply, self.blend = augment.apply, blend
        self.fake: AugmentedBatch | None = None
        """Generated images, kept from the discriminator's half of a step for the generator's, without micro-batches."""
        self.captured: Captured | None = None
        self.compiling: AbstractContextManager[None] = nullcontext()
        """Shows progress of the first step."""
        if processes.count > 1:
            return
        if config.compile == "on":
            compile_networks(state, distance)
            self.compiling = working("compiling the networks")
            if device.type == "cuda":
                self.apply, self.blend = torch.compile(augment.apply, dynamic=False), compile_fused(blend)
        if device.type == "cuda":
            self.captured = Captured(self.take, self.random)

    def __call__(self) -> Losses:
        """Take the next step, and return its losses, which stay on the device.

        Raises:
            TrainingError: Memory runs out even for the smallest micro-batch.
        """
        config, seed, step = self.config, self.config.seed, self.state.step
        first, self.compiling = self.compiling, nullcontext()
        with first, shared_among(self.processes), micro_batches(self.accumulate.count):
            now, coming = (
                local_slice(torch.tensor(batch_indices(seed, at, config.whole_batch, self.members)))
                for at in (step, step + 1)
            )
            self.batch.copy_(self.read_batch(now, coming), non_blocking=True)
            self.labels.copy_(to_device(self.all_labels[now], self.labels.device))
            self.keep.fill_(decay(config.average_decay, step))
            self.random.manual_seed(fold(Purpose.STEP, seed, step))
            if self.captured is None or self.accumulate.count > 1:
                return self.take()
            try:
                return self.captured()
            except (RuntimeError, MemoryError) as error:
                if not (self.captured.capturing and is_out_of_memory(error)):
                    raise
                self.accumulate.halve(error)
        # A step that could not be captured has changed nothing.
        self.random = torch.Generator(self.random.device)
        return self()

    def take(self) -> Losses:
        """Take a step on ``batch`` and ``labels``."""
        state, random = self.state, self.random
        generator, discriminator = state.generator_optimizer, state.discriminator_optimizer

        # Draw: real images, latents, augmentation.
        inputs = self.draw()

        # Discriminator: tell real from fake, reconstruct the real.
        losses = self.accumulate(inputs, discriminator, self.discriminator_loss, random)
        state.controls.update()
        discriminator.step()

        # Generator: raise the logits of its images, with the discriminator frozen.
        with frozen(state.discriminator):
            losses |= self.accumulate(inputs, generator, self.generator_loss, random)
        generator.step()
        self.fake = None

        # Average: the network that draws pictures.
        self.blend([*state.average.parameters()], generator.exact_weights(), self.keep)

        return mean_losses(losses)

    def draw(self) -> StepInputs:
        """Draw everything random in a step, and augment the real images."""
        config, random, network = self.config, self.random, self.state.generator
        images = from_bytes(self.batch)
        images = mirrored(images, random) if config.mirror else images
        augmented = self.apply(images, config.augment, self.draw_changes())
        labels = self.labels if network.config.classes else None
        real = AugmentedBatch(augmented, shrink(augmented, small_shape(network.config)), labels)
        z, noise = latent.draw(len(images), network.config.latent, network.noise_shapes, random)
        return StepInputs(real, z, noise, self.draw_changes(), self.draw_changes())

    def draw_changes(self) -> augment.Changes:
        """Draw how to augment a batch."""
        return augment.draw(len(self.batch), self.config.augment, self.random, self.state.controls.probability)

    def generate(self, inputs: StepInputs) -> AugmentedBatch:
        """Return generated images, augmented."""
        policy, labels = self.config.augment, inputs.real.labels
        images, small = self.state.generator(inputs.z, inputs.noise, labels)
        augmented, small = self.apply(images, policy, inputs.changes), self.apply(small, policy, inputs.small_changes)
        return AugmentedBatch(augmented, small, labels, self.look(augmented), self.state.controls.measure(images))

    def look(self, images: Float[Tensor, "b c h w"]) -> Maps | None:
        """Return what the frozen network of projected heads sees; None if there are none."""
        heads = self.state.discriminator.projected
        return None if heads is None else heads.look(images)

    def discriminator_loss(self, inputs: StepInputs) -> tuple[Float[Tensor, ""], Losses]:
        """Return the discriminator's loss, and its parts for the log."""

        def generate() -> AugmentedBatch:
            fake = self.generate(inputs)
            # With micro-batches the generator generates anew, to free this graph's memory.
            self.fake = fake if self.accumulate.count == 1 else None
            return fake

        real = inputs.real._replace(maps=self.look(inputs.real.images))
        return self.objective.discriminator(self.state.discriminator, real, generate, self.random)

    def generator_loss(self, inputs: StepInputs) -> tuple[Float[Tensor, ""], Losses]:
        """Return the generator's loss."""
        whole = self.accumulate.count == 1
        fake = self.fake if whole and self.fake is not None else self.generate(inputs)
        loss = self.objective.generator(self.state.discriminator, fake)
        return loss, {"generator": loss}


def mirrored(images: Float[Tensor, "b c h w"], random: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Mirror each image left to right with probability one half."""
    flipped = uniform((len(images), 1, 1, 1), random) < 0.5
    return torch.where(flipped, images.flip(-1), images)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Stop gradients of a network's parameters within the block; gradients still pass through it."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
