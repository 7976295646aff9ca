"""The generator: a latent vector and noise maps become an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.config.generator import GeneratorConfig
from handful.config.sizes import Shape, map_shape
from handful.networks.layers import Excitation, FirstBlock, Labels, NoisyUpBlock, OfClass, UpBlock, conv

# Channels by nominal size, at the paper's width of 64.
CHANNELS = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 8, 2048: 8, 4096: 8}


# Which map gates which. The paper's figure shows fewer; these are the released network's.
GATES = {64: 4, 128: 8, 256: 16, 512: 32}


# Nominal sizes whose block has two convolutions, and noise.
NOISY = (8, 32, 128, 512, 2048)


def small_size(nominal: int) -> int:
    """Give the nominal size of the small image that the generator also makes and the discriminator also sees.

    128 in the published sizes; half of the image below them.
    """
    return min(128, nominal // 2)


def small_shape(config: GeneratorConfig) -> Shape:
    """Give the height and width of the small image, in pixels."""
    return map_shape(config.base, small_size(config.nominal))


class Generator(nn.Module):
    """Build an image up from a base map, each block doubling the resolution, low maps gating high ones.

    Also gives a small version of the image through a head of its own, which trains the lower half of the network
    directly.

    Source: FastGAN (Liu et al. 2021), section 3.1 and figure 3; layer for layer the released network at 256, 512 and
    1024 px, but for the output: tanh at every size, where the released one has it at 1024 only.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        nominal, base = config.nominal, config.base
        channels = {size: max(4, full * config.width // 64) for size, full in CHANNELS.items() if size <= nominal}
        self.first = FirstBlock(config.latent, channels[4], base)
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in list(channels)[1:]:
            block = NoisyUpBlock if size in NOISY else UpBlock
            self.blocks[str(size)] = block(channels[size // 2], channels[size])
            if config.sle and size in GATES:
                self.gates[str(size)] = Excitation(channels[GATES[size]], channels[size], base)
        self.classes = nn.ModuleDict()
        if config.classes:
            kinds = len(config.classes)
            self.classes.update({str(size): OfClass(kinds, width) for size, width in channels.items()})
        self.to_small = conv(channels[small_size(nominal)], config.channels, 1)
        self.to_image = conv(channels[nominal], config.channels, 3, padding=1)

    @property
    def noise_shapes(self) -> list[Shape]:
        """Give the height and width of each noise map that ``forward`` takes, in order."""
        base, nominal = self.config.base, self.config.nominal
        return [map_shape(base, size) for size in NOISY if size <= nominal for _ in range(2)]

    def forward(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None = None,
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c _ _"]]:
        """Give the image and its small version, both in [-1, 1].

        Args:
            z: Latents, from the standard normal distribution.
            noise: One map per site, of the shapes that ``noise_shapes`` lists.
            labels: The number of each image's class, or its share of every class, where there are classes.
        """
        precision = self.to_image.weight.dtype
        maps = {4: of_class(self.classes, 4, self.first(z.to(precision)), labels)}
        sites = iter(noise)
        for name, block in self.blocks.items():
            size = int(name)
            x = block(maps[size // 2], *(next(sites) for _ in range(2 if size in NOISY else 0)))
            x = of_class(self.classes, size, x, labels)
            maps[size] = self.gates[name](maps[GATES[size]], x) if name in self.gates else x
        nominal = self.config.nominal
        small = self.to_small(maps[small_size(nominal)])
        return torch.tanh(self.to_image(maps[nominal]).float()), torch.tanh(small.float())

    def labels(self, seeds: Sequence[int]) -> Int64[Tensor, " n"] | None:
        """Give the number of the class of each seed's picture: all in turn; none where there are no classes."""
        if not self.config.classes:
            return None
        return torch.tensor(seeds, dtype=torch.int64, device=self.to_image.weight.device) % len(self.config.classes)


def of_class(
    classes: nn.ModuleDict, size: int, x: Float[Tensor, "b c h w"], labels: Labels | None
) -> Float[Tensor, "b c h w"]:
    """Make of a map of nominal ``size`` one of each image's class, where there are classes."""
    if not classes:
        return x
    assert labels is not None
    changed: Tensor = classes[str(size)](x, labels)
    return changed


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw fresh weights: convolutions from N(0, 0.02), normalisation gains from N(1, 0.02), noise strengths 0.

    Class embeddings start at 0. Call it before ``SpectralAdam`` takes over the weights.

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
