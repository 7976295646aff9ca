"""All that training changes."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from handful.compute.precision import PRECISIONS
from handful.compute.processes import Processes
from handful.config.train import TrainConfig
from handful.networks.build import AnyDiscriminator, build_discriminator
from handful.networks.discriminator import ResidualDownBlock
from handful.networks.generator import Generator, initialise
from handful.networks.layers import NoisyUpBlock, UpBlock
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.controls import Controls
from handful.optim.spectral_adam import SpectralAdam
from handful.seeds import Purpose, fold


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds."""

    generator: Generator
    average: Generator
    """The averaged generator, the one that pictures are drawn from."""
    discriminator: AnyDiscriminator
    generator_optimizer: SpectralAdam
    discriminator_optimizer: SpectralAdam
    controls: Controls
    micro_batch: int
    """Images computed at once; fewer than at first where memory ran out."""
    step: int = 0
    seconds: float = 0.0
    """Training time so far, over all sittings."""

    @classmethod
    def fresh(
        cls,
        config: TrainConfig,
        device: torch.device,
        backbone: EfficientNet | None = None,
        classes: tuple[str, ...] = (),
    ) -> State:
        """Make the networks and their optimisers; the weights depend on the seed, not on the device.

        A projected discriminator needs the ``backbone`` that it looks through, and copies it. ``classes``: the names of
        the classes, if there are any.
        """
        random = torch.Generator().manual_seed(fold(Purpose.WEIGHTS, config.seed))
        generator = Generator(dataclasses.replace(config.generator, classes=classes))
        discriminator = build_discriminator(config, device, backbone, classes)
        for network in (generator, discriminator):
            initialise(network, random)
            network.to(device)
        average = copy.deepcopy(generator).eval().requires_grad_(False)
        for module in (*generator.modules(), *discriminator.modules()):
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False  # only the average is ever used in eval mode
            if isinstance(module, (UpBlock, NoisyUpBlock, ResidualDownBlock)):
                module.recompute = config.recompute
        adam = partial(
            SpectralAdam,
            learning_rate=config.step_size,
            betas=config.betas,
            random=random,
            precision=PRECISIONS[config.precision],
        )
        generator_optimizer, discriminator_optimizer = adam(generator), adam(discriminator)
        # The average starts from the normalised weights that the optimiser has just written, in their memory layout.
        for parameter, exact in zip(average.parameters(), generator_optimizer.exact_weights(), strict=True):
            parameter.data = exact.detach().clone()
        micro_batch = config.whole_batch if config.micro_batch == "auto" else config.micro_batch
        controls = Controls(config, device)
        return cls(
            generator, average, discriminator, generator_optimizer, discriminator_optimizer, controls, micro_batch
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state by name: the tensors themselves, not copies.

        The normalised weights are left out: the optimisers compute them from their master weights.
        """
        tensors = {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for player in ("generator", "discriminator"):
            optimizer = getattr(self, f"{player}_optimizer")
            tensors |= {f"{player}.{name}": value.detach() for name, value in optimizer.others.items()}
            tensors |= {f"{player}_optimizer.{name}": value for name, value in optimizer.state().items()}
        return tensors | {f"controls.{name}": value for name, value in self.controls.state().items()}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy ``tensors`` into the state, in place."""
        mine = self.tensors()
        if mine.keys() != tensors.keys():
            raise KeyError(f"the tensors differ: {sorted(mine.keys() ^ tensors.keys())[:4]}")
        for name, value in mine.items():
            value.copy_(tensors[name])
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            optimizer.write_weights()

    def take_over(self, processes: Processes) -> None:
        """Copy the main process's state where there are several processes."""
        if processes.count > 1:
            self.micro_batch, self.step, self.seconds = processes.broadcast_object(
                (self.micro_batch, self.step, self.seconds)
            )
            processes.broadcast(self.tensors().values())
            self.load(self.tensors())  # writes the normalised weights
