"""The state of a run: networks, optimisers and controls."""

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
from handful.networks.build import build_discriminator
from handful.networks.discriminator import Discriminator, ResidualDownBlock
from handful.networks.generator import Generator, initialise
from handful.networks.layers import NoisyUpBlock, UpBlock
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.objective.controls import Controls
from handful.optim.spectral_adam import SpectralAdam
from handful.seeds import Purpose, fold


@dataclass
class State:
    """Everything that training changes, and so everything that a checkpoint holds."""

    generator: Generator
    average: Generator
    """The averaged generator, which draws the pictures that a user sees."""
    discriminator: Discriminator
    generator_optimizer: SpectralAdam
    discriminator_optimizer: SpectralAdam
    controls: Controls
    micro_batch: int
    """Images computed at once; halved where memory runs out."""
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
        """Build networks and optimisers. Weights depend on the seed, not on the device.

        Args:
            config: The run's options.
            device: Where the networks compute.
            backbone: The network that projected heads look through; it is copied.
            classes: Names of the classes; empty without classes.
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
        """Copy ``tensors`` into the state, in place.

        Raises:
            KeyError: They are the tensors of another kind of run.
        """
        own = self.tensors()
        if own.keys() != tensors.keys():
            raise KeyError(f"the tensors differ: {sorted(own.keys() ^ tensors.keys())[:4]}")
        for name, value in own.items():
            value.copy_(tensors[name])
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            optimizer.write_weights()

    def broadcast(self, processes: Processes) -> None:
        """Replace the state by that of the main process, if there are several processes."""
        if processes.count > 1:
            numbers = self.micro_batch, self.step, self.seconds
            self.micro_batch, self.step, self.seconds = processes.broadcast_object(numbers)
            processes.broadcast(self.tensors().values())
            self.load(self.tensors())  # writes the normalised weights
