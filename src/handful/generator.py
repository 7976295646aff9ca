"""The generator: a latent vector and noise maps become an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.blocks import Excitation, FirstBlock, NoisyUpBlock, UpBlock, conv
from handful.config import GeneratorConfig
from handful.shapes import Shape, map_shape

# Channels by nominal size, at the paper's width of 64.
CHANNELS = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 8, 2048: 8, 4096: 8}
# Which map gates which. The paper's figure shows fewer; these are the released network's.
GATES = {64: 4, 128: 8, 256: 16, 512: 32}
# Nominal sizes whose block has two convolutions, and noise.
NOISY = (8, 32, 128, 512, 2048)
Labels = Int64[Tensor, " b"] | Float[Tensor, "b classes"]
"""The number of each image's class, or its share of every class."""


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
        self.classes = nn.Embedding(len(config.classes), config.latent) if config.classes else None
        channels = {size: max(4, full * config.width // 64) for size, full in CHANNELS.items() if size <= nominal}
        self.first = FirstBlock(config.latent * (2 if config.classes else 1), channels[4], base)
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in list(channels)[1:]:
            block = NoisyUpBlock if size in NOISY else UpBlock
            self.blocks[str(size)] = block(channels[size // 2], channels[size], smoothly=config.smooth)
            if config.sle and size in GATES:
                self.gates[str(size)] = Excitation(channels[GATES[size]], channels[size], base)
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
        labels: Int64[Tensor, " b"] | None = None,
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c _ _"]]:
        """Give the image and its small version, both in [-1, 1].

        Args:
            z: Latents, from the standard normal distribution.
            noise: One map per site, of the shapes that ``noise_shapes`` lists.
            labels: The number of each image's class, where there are classes.
        """
        z = conditioned(z, labels, self.classes, normalise=self.config.normalised_latent)
        precision = self.to_image.weight.dtype
        maps = {4: self.first(z.to(precision))}
        sites = iter(noise)
        for name, block in self.blocks.items():
            size = int(name)
            x = block(maps[size // 2], *(next(sites) for _ in range(2 if size in NOISY else 0)))
            maps[size] = self.gates[name](maps[GATES[size]], x) if name in self.gates else x
        nominal = self.config.nominal
        small = self.to_small(maps[small_size(nominal)])
        return torch.tanh(self.to_image(maps[nominal]).float()), torch.tanh(small.float())

    def labels(self, seeds: Sequence[int]) -> Int64[Tensor, " n"] | None:
        """Give the number of the class of each seed's picture: all in turn; none where there are no classes."""
        if self.classes is None:
            return None
        return torch.tensor(seeds, dtype=torch.int64, device=self.classes.weight.device) % len(self.config.classes)


def conditioned(
    z: Float[Tensor, "b z"],
    labels: Labels | None,
    classes: nn.Embedding | None,
    *,
    normalise: bool,
    truncation: float = 1.0,
) -> Float[Tensor, "b _"]:
    """Give what the first block takes: latents, beside the learned vectors of the classes where there are some.

    Truncation scales the latents last, so that it has an effect on normalised ones too.
    """
    if normalise:
        z = normalised(z)
    if truncation != 1:
        z = z * truncation
    if classes is None:
        return z
    assert labels is not None
    vectors = labels.to(classes.weight.dtype) @ classes.weight if labels.is_floating_point() else classes(labels)
    return torch.cat([z, vectors], dim=1)


def normalised(z: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
    """Bring latents to the sphere of radius ``sqrt(z)``, where nearly all of the normal distribution lies.

    Source: ProGAN (Karras et al. 2018), appendix A.1; Projected GAN (Sauer et al. 2021) on a FastGAN generator.
    """
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw fresh weights: convolutions from N(0, 0.02), normalisation gains from N(1, 0.02), noise strengths 0.

    Vectors of classes are drawn from N(0, 1), as latents are. To be called before ``SpectralAdam`` takes the weights
    over. Spectral normalisation as a parametrisation of the layers would swallow these values without a word.

    Source: the released code of FastGAN; DCGAN (Radford et al. 2016), section 3.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=random)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, 1.0, generator=random)
