"""All that training changes."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from handful.compute.precision import PRECISIONS
from handful.compute.processes import Ranks
from handful.config.train import TrainConfig
from handful.networks.build import Opponent, opponent
from handful.networks.chain import places
from handful.networks.discriminator import Discriminator
from handful.networks.generator import Generator, initialise
from handful.networks.layers import NoisyUpBlock, UpBlock
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.networks.residual import BodyBlock
from handful.objective.controls import Controls
from handful.optim.spectral_adam import SpectralAdam
from handful.seeds import Purpose, fold


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds."""

    generator: Generator
    averages: list[Generator]
    discriminator: Opponent
    generator_optimizer: SpectralAdam
    discriminator_optimizer: SpectralAdam
    controls: Controls
    at_once: int
    """Images of a batch that are computed at once; fewer than at first where memory ran out."""
    step: int = 0
    seconds: float = 0.0
    """Time spent in training so far, over all sittings."""
    chosen: int = 0
    """Which of the averages is in use."""

    @classmethod
    def fresh(
        cls,
        config: TrainConfig,
        device: torch.device,
        trunk: EfficientNet | None = None,
        classes: tuple[str, ...] = (),
    ) -> State:
        """Make the networks and their optimisers; the weights depend on the seed, not on the device.

        A projected discriminator needs the ``trunk`` that it looks through, and keeps a copy. ``classes``: their names,
        if there are any.
        """
        random = torch.Generator().manual_seed(fold(Purpose.WEIGHTS, config.seed))
        generator = Generator(dataclasses.replace(config.generator, classes=classes))
        discriminator = opponent(config, device, trunk, classes)
        for network in (generator, discriminator):
            initialise(network, random)
            network.to(device)
        averages = [copy.deepcopy(generator).eval().requires_grad_(False) for _ in config.average_widths or (None,)]
        for module in (*generator.modules(), *discriminator.modules()):
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False  # only the average is ever used in eval mode
            if isinstance(module, (UpBlock, NoisyUpBlock, BodyBlock)):
                module.recompute = config.recompute
        adam = partial(
            SpectralAdam,
            learning_rate=config.step_size,
            betas=config.betas,
            random=random,
            precision=PRECISIONS[config.precision],
        )
        generator_optimizer, discriminator_optimizer = adam(generator), adam(discriminator)
        if isinstance(discriminator, Discriminator):
            discriminator.freeze(config.freeze)
        controls = Controls(config, discriminator.strength, discriminator.noise)
        at_once = config.whole_batch if config.at_once == "auto" else config.at_once
        state = cls(generator, averages, discriminator, generator_optimizer, discriminator_optimizer, controls, at_once)
        # An average starts from the normalised weights, which the optimisers have just written, and lies as they do.
        for average in averages:
            for parameter, exact in zip(average.parameters(), generator_optimizer.precise(), strict=True):
                parameter.data = exact.detach().clone()
        return state

    @property
    def average(self) -> Generator:
        """The averaged generator, the one that pictures are drawn from."""
        return self.averages[self.chosen]

    def tensors(self) -> dict[str, Tensor]:
        """Give every tensor of the state by name: the living ones, not copies.

        The normalised weights are left out, since the optimisers write them from their own.
        """
        tensors: dict[str, Tensor] = {}
        for number, average in enumerate(self.averages):
            tensors |= {f"{average_name(number)}.{name}": value for name, value in average.state_dict().items()}
        for player in ("generator", "discriminator"):
            optimizer = getattr(self, f"{player}_optimizer")
            tensors |= {f"{player}.{name}": value.detach() for name, value in optimizer.others.items()}
            tensors |= {f"{player}_optimizer.{name}": value for name, value in optimizer.state().items()}
        for name, running in places(self.discriminator).items():
            tensors |= {f"running.{name}.{kind}": value for kind, value in running.named_buffers()}
        return tensors | {f"controls.{name}": value for name, value in self.controls.state().items()}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what ``tensors`` gave, in place."""
        mine = self.tensors()
        if mine.keys() != tensors.keys():
            raise KeyError(f"the tensors differ: {sorted(mine.keys() ^ tensors.keys())[:4]}")
        for name, value in mine.items():
            value.copy_(tensors[name])
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            optimizer.write()

    def take_over(self, ranks: Ranks) -> None:
        """Take over the lead's state where there are several processes."""
        if ranks.count > 1:
            numbers = self.at_once, self.step, self.seconds, self.chosen
            self.at_once, self.step, self.seconds, self.chosen = ranks.agree(numbers)
            ranks.hand(self.tensors().values())
            self.load(self.tensors())  # writes the normalised weights


def average_name(number: int) -> str:
    """Give the name under which a checkpoint has an average."""
    return "average" if number == 0 else f"average_{number}"
