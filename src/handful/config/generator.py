"""All that is needed to build a generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from handful.config import sizes
from handful.config.checks import Range, check_value
from handful.config.choices import Channels
from handful.config.sizes import Shape
from handful.errors import UsageError

Width = Annotated[int, Range(least=8, most=4096, multiple_of=8)]


@dataclass(frozen=True)
class GeneratorConfig:
    """All that is needed to build a generator; stored beside its weights."""

    size: int | str = 256
    """Of the images, in pixels: the side of a square, or width and height as in 768x512."""
    channels: Channels = 3
    """1: grey, 3: RGB, 4: RGBA with premultiplied alpha."""
    width: Width = 64
    """Channels at 128 px; the other resolutions follow in the paper's proportions."""
    sle: bool = True
    """Skip-Layer Excitation."""
    latent: Annotated[int, Range(least=1, most=8192)] = 256
    """Length of the latent vector z."""
    classes: tuple[str, ...] = ()
    """Names of the kinds of images that can be asked for, by their number; none where all are one."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            check_value(name, getattr(self, name), kind)
        sizes.parse(self.size)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> GeneratorConfig:
        """Build a config from options by name, as JSON has them.

        Raises:
            UsageError: if an option is unknown, or a value makes no sense.
        """
        known = [entry.name for entry in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise UsageError(f"unknown option {name!r}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
        }
        return cls(**values)

    @property
    def shape(self) -> Shape:
        """Height and width of the images."""
        return sizes.parse(self.size)

    @property
    def base(self) -> Shape:
        """Height and width of the first map."""
        return sizes.base_of(self.shape)

    @property
    def nominal(self) -> int:
        """The size by which maps and blocks go; see ``sizes``."""
        return sizes.nominal_of(self.shape)
