"""The generator: a latent vector and noise maps become an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.config.generator import GeneratorConfig
from handful.config.sizes import Shape, map_shape
from handful.networks.conv import conv
from handful.networks.layers import ClassModulation, Excitation, InitialBlock, Labels, NoisyUpBlock, UpBlock

CHANNELS = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 8, 2048: 8, 4096: 8}
"""Channels of the map of each nominal size, at the paper's width of 64."""

GATES = {64: 4, 128: 8, 256: 16, 512: 32}
"""Nominal size of the gated map to that of the map that gates it. The paper's figure has fewer than this, the released
network."""

NOISY = (8, 32, 128, 512, 2048)
"""Nominal sizes whose block has two convolutions, each followed by noise."""


class Generator(nn.Module):
    """Build an image from a base map: each block doubles the resolution, and low maps gate high ones.

    A second head makes a small version of the image, which trains the lower half of the network directly. Maps and
    blocks are named by their nominal size, the side of the map in square images of 4x4 base (``config.sizes``).

    Source: FastGAN (Liu et al. 2021), section 3.1 and figure 3; layer for layer the released network at 256, 512 and
    1024 px. One departure: tanh at every size, where the released network has it at 1024 px only.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        nominal, base = config.nominal, config.base
        channels = {size: max(4, full * config.width // 64) for size, full in CHANNELS.items() if size <= nominal}
        self.first = InitialBlock(config.latent, channels[4], base)
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in list(channels)[1:]:
            block = NoisyUpBlock if size in NOISY else UpBlock
            self.blocks[str(size)] = block(channels[size // 2], channels[size])
            if config.sle and size in GATES:
                self.gates[str(size)] = Excitation(channels[GATES[size]], channels[size], base)
        self.classes = nn.ModuleDict()
        if config.classes:
            count = len(config.classes)
            self.classes.update({str(size): ClassModulation(count, width) for size, width in channels.items()})
        self.to_small = conv(channels[small_size(nominal)], config.channels, 1)
        self.to_image = conv(channels[nominal], config.channels, 3, padding=1)

    @property
    def noise_shapes(self) -> list[Shape]:
        """Height and width of each noise map that ``forward`` takes, in order."""
        base, nominal = self.config.base, self.config.nominal
        return [map_shape(base, size) for size in NOISY if size <= nominal for _ in range(2)]

    def forward(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None = None,
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c _ _"]]:
        """Return the images and their small versions, both in [-1, 1].

        Args:
            z: Latents from the standard normal distribution.
            noise: Standard normal maps of the shapes in ``noise_shapes``.
            labels: Class numbers or shares of classes, for a generator with classes.
        """
        maps = {4: modulated(self.first(z.to(self.to_image.weight.dtype)), self.classes, 4, labels)}
        noise_maps = iter(noise)
        for name, block in self.blocks.items():
            size = int(name)
            x = block(maps[size // 2], *(next(noise_maps) for _ in range(2 if size in NOISY else 0)))
            x = modulated(x, self.classes, size, labels)
            maps[size] = self.gates[name](maps[GATES[size]], x) if name in self.gates else x
        small = self.to_small(maps[small_size(self.config.nominal)])
        image = self.to_image(maps[self.config.nominal])
        return torch.tanh(image.float()), torch.tanh(small.float())

    def labels(self, seeds: Sequence[int]) -> Int64[Tensor, " n"] | None:
        """Return the class number of each seed's image, all classes in turn; None for a generator without classes."""
        if not self.config.classes:
            return None
        return torch.tensor(seeds, dtype=torch.int64, device=self.to_image.weight.device) % len(self.config.classes)


def small_size(nominal: int) -> int:
    """Return the nominal size of the small image: 128 from 256 px up, as in the paper, else half of the image's."""
    return min(128, nominal // 2)


def small_shape(config: GeneratorConfig) -> Shape:
    """Return the height and width of the small image, in pixels."""
    return map_shape(config.base, small_size(config.nominal))


def modulated(
    x: Float[Tensor, "b c h w"], classes: nn.ModuleDict, size: int, labels: Labels | None
) -> Float[Tensor, "b c h w"]:
    """Return the map of nominal ``size``, modulated by each image's class if there are classes."""
    if not classes:
        return x
    assert labels is not None
    result: Tensor = classes[str(size)](x, labels)
    return result


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw fresh weights: convolutions from N(0, 0.02), BatchNorm gains from N(1, 0.02); class embeddings are 0.

    Call it before ``SpectralAdam`` takes over the weights.

    Source: the released code of FastGAN; DCGAN (Radford et al. 2016), section 3.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=random)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.zeros_(module.weight)
