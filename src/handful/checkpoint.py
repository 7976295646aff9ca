"""The state of a training run, and its checkpoints on the disk."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from handful.blocks import NoisyUpBlock, UpBlock
from handful.chain import places
from handful.config import TrainConfig
from handful.controls import Controls
from handful.discriminator import Discriminator
from handful.efficientnet import EfficientNet
from handful.errors import UsageError
from handful.files import remove, replacing
from handful.generator import Generator, initialise
from handful.latent import Purpose, fold
from handful.machine import PRECISIONS
from handful.opponent import Opponent, opponent
from handful.ranks import Ranks
from handful.residual import BodyBlock
from handful.spectral import SpectralAdam

FILE = "state.safetensors"


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


def save(state: State, checkpoints: Path, keep: int) -> None:
    """Write ``step-00005000/`` and the like among the checkpoints, then delete all but the newest ``keep``."""
    with replacing(checkpoints / f"step-{state.step:08d}") as folder:
        folder.mkdir()
        tensors = {name: value.contiguous().cpu() for name, value in state.tensors().items()}
        numbers = {name: str(getattr(state, name)) for name in ("at_once", "step", "seconds", "chosen")}
        save_file(tensors, folder / FILE, metadata=numbers)
    for old in every(checkpoints)[:-keep]:
        remove(old)


def restore(state: State, checkpoint: Path) -> None:
    """Bring a state to where a checkpoint was written.

    Raises:
        UsageError: if the file is damaged.
    """
    with readable(checkpoint):
        tensors, metadata = read(checkpoint)
        state.load(tensors)
    state.step, state.seconds = int(metadata["step"]), float(metadata["seconds"])
    state.chosen = int(metadata["chosen"])
    state.at_once = int(metadata.get("at_once", state.at_once))  # checkpoints from before had all at once


def read(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a checkpoint, on the CPU, and its numbers."""
    with safe_open(checkpoint / FILE, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Within the block, say of what is damaged which checkpoint it is, and what to do."""
    try:
        yield
    except (SafetensorError, OSError, KeyError) as error:
        raise UsageError(
            f"{checkpoint}: cannot be read ({error}); delete this folder to go on from the checkpoint before it"
        ) from error


def read_average(checkpoint: Path) -> dict[str, Tensor]:
    """Read only the averaged generator in use; its BatchNorm statistics are still to be measured.

    Raises:
        UsageError: if the file is damaged.
    """
    try:
        with safe_open(checkpoint / FILE, framework="pt") as file:
            prefix = average_name(int(file.metadata()["chosen"])) + "."
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError) as error:
        raise UsageError(f"{checkpoint}: cannot be read ({error})") from error


def average_name(number: int) -> str:
    """Give the name under which a checkpoint has an average."""
    return "average" if number == 0 else f"average_{number}"


def every(checkpoints: Path) -> list[Path]:
    """List the checkpoints, oldest first."""
    return sorted(path for path in checkpoints.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))
