"""The configuration of a training run: all options, checked. Imports no torch, so help is fast."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast, get_type_hints

from handful.config import sizes
from handful.config.checks import check_micro_batch, check_paper, check_value, plain
from handful.config.choices import Channels
from handful.config.generator import GeneratorConfig
from handful.config.geometry import Geometry
from handful.config.options import RECIPE_BATCH, DataOptions, MachineOptions, RecipeOptions, RecordOptions
from handful.config.sizes import Shape
from handful.config.text import nearest, title
from handful.errors import UsageError
from handful.files import printable, shortened

MAY_CHANGE = frozenset(
    [
        "images",
        "run",
        "steps",
        "device",
        "image_memory",
        "weights",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "keep",
        "minutes",
        "stop_when",
        "score_every",
        "report",
        "track",
    ]
)
"""Options that a resumed run takes anew; the others would make it another run."""

PATHS = ("images", "run", "from_", "weights")
"""Options that may be given as text too."""


@dataclass(frozen=True)
class TrainConfig(RecordOptions, MachineOptions, RecipeOptions, DataOptions):
    """All options of a run, checked.

    Raises:
        UsageError: if a value makes no sense; the message names the option.
    """

    def __post_init__(self) -> None:
        for name in PATHS:
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name, kind in kinds().items():
            object.__setattr__(self, name, plain(getattr(self, name)))
            check_value(name, getattr(self, name), kind)
        if self.size != "auto":
            # Written in one way, so that a resumed run finds the size it had.
            spelled = sizes.spelled(sizes.parse(self.size))
            object.__setattr__(self, "size", int(spelled) if spelled.isdigit() else spelled)
        check_paper(self.preset, self.size)
        check_micro_batch(self.whole_batch, self.micro_batch)

    @property
    def folder(self) -> Path:
        """The run folder, where none was given too."""
        return self.run if self.run is not None else Path("runs") / (title(self.images) or "run")

    @property
    def whole_batch(self) -> int:
        """Images a step sees; with ``--batch auto`` the recipe's number."""
        return RECIPE_BATCH if self.batch == "auto" else self.batch

    @property
    def weight_of_reconstruction(self) -> float:
        """What the reconstruction loss is multiplied by; how it is judged is settled before anybody asks."""
        if self.reconstruction_weight == "auto":
            return 8.0 if self.perceptual == "vgg16" else 2.0
        return self.reconstruction_weight

    @property
    def step_size(self) -> float:
        """Learning rate of Adam as a number."""
        return 2e-4 * (64 / self.width) ** (2 / 3) if self.learning_rate == "auto" else self.learning_rate

    @property
    def shape(self) -> Shape:
        """Height and width of the images; ``--size auto`` is settled before anybody asks."""
        return sizes.parse(self.size)

    @property
    def geometry(self) -> Geometry:
        """What images are brought to; automatic size and channels must be settled."""
        return Geometry(self.shape, cast(Channels, self.channels), self.fit, self.resize_filter)

    @property
    def generator(self) -> GeneratorConfig:
        """The part that describes the generator; what is automatic is settled before anybody asks."""
        return GeneratorConfig(
            size=self.size,
            channels=cast(Channels, self.channels),
            width=self.width,
            sle=self.sle,
        )

    def to_json(self) -> dict[str, Any]:
        """Return all options as JSON has them."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], source: str = "options") -> TrainConfig:
        """Build a config from options by name, as ``to_json`` and TOML have them: lists for tuples, text for paths.

        Raises:
            UsageError: if an option is unknown, naming the nearest and ``source``; or a value makes no sense.
        """
        for name in options:
            if name not in kinds():
                raise UsageError(f"{source}: unknown option {shortened(name)}{nearest(name, kinds())}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
        }
        if isinstance(values.get("track"), bool):  # a run of 0.1.0, which knew TensorBoard alone
            values["track"] = "tensorboard" if values["track"] else "none"
        return cls(**values)

    @classmethod
    def from_file(cls, options: Mapping[str, Any], path: Path) -> TrainConfig:
        """Build a config from the options in a file.

        Raises:
            UsageError: as ``from_options``, in terms of the file.
        """
        try:
            return cls.from_options(options)
        except UsageError as error:
            raise UsageError(f"{printable(path)}: {error}") from error


@cache
def kinds() -> dict[str, Any]:
    """Return the annotated type of each option."""
    hints = get_type_hints(TrainConfig, include_extras=True)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(TrainConfig)}


def size_in_words(config: TrainConfig) -> str:
    """Write the size of the images, width first."""
    height, width = config.shape
    return f"{width} x {height} px"
