"""All that is needed to build a generator."""

from __future__ import annotations

from dataclasses import dataclass

from handful.config import sizes
from handful.config.choices import Channels
from handful.config.sizes import Shape


@dataclass(frozen=True)
class GeneratorConfig:
    """All that is needed to build a generator; stored beside its weights."""

    size: int | str = 256
    """Of the images, in pixels: the side of a square, or width and height as in 768x512."""
    channels: Channels = 3
    """1: grey, 3: RGB, 4: RGBA with premultiplied alpha."""
    width: int = 64
    """Channels at 128 px; the other resolutions follow in the paper's proportions."""
    sle: bool = True
    """Skip-Layer Excitation."""
    latent: int = 256
    """Length of the latent vector z."""
    classes: tuple[str, ...] = ()
    """Names of the kinds of images that can be asked for, by their number; none where all are one."""

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
