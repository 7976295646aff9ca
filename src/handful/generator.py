"""The generator: a latent vector and noise maps become an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handful.blocks import Excitation, FirstBlock, NoisyUpBlock, UpBlock, conv
from handful.config import GeneratorConfig

# Channels by resolution, at the paper's width of 64.
CHANNELS = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 8, 2048: 8}
# Which map gates which. The paper's figure shows fewer; these are the released network's.
GATES = {64: 4, 128: 8, 256: 16, 512: 32}
# Resolutions whose block has two convolutions, and noise.
NOISY = (8, 32, 128, 512, 2048)


def small_size(size: int) -> int:
    """Give the side of the small image that the generator also makes and the discriminator also sees, in pixels.

    128 in the published sizes; half of the image below them.
    """
    return min(128, size // 2)


class Generator(nn.Module):
    """Build an image up from 4 x 4, each block doubling the resolution, low maps gating high ones.

    Also gives a small version of the image through a head of its own, which trains the lower half of the network
    directly.

    Source: FastGAN (Liu et al. 2021), section 3.1 and figure 3; layer for layer the released network at 256, 512 and
    1024 px, but for the output: tanh at every size, where the released one has it at 1024 only.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels = {size: max(4, full * config.width // 64) for size, full in CHANNELS.items() if size <= config.size}
        self.first = FirstBlock(config.latent, channels[4])
        self.blocks = nn.ModuleDict()
        self.gates = nn.ModuleDict()
        for size in list(channels)[1:]:
            block = NoisyUpBlock if size in NOISY else UpBlock
            self.blocks[str(size)] = block(channels[size // 2], channels[size], smoothly=config.smooth)
            if config.sle and size in GATES:
                self.gates[str(size)] = Excitation(channels[GATES[size]], channels[size])
        self.to_small = conv(channels[small_size(config.size)], 3, 1)
        self.to_image = conv(channels[config.size], 3, 3, padding=1)

    @property
    def noise_sizes(self) -> list[int]:
        """Give the side of each noise map that ``forward`` takes, in order."""
        return [size for size in NOISY if size <= self.config.size for _ in range(2)]

    def forward(
        self, z: Float[Tensor, "b z"], noise: Sequence[Float[Tensor, "b 1 _ _"]]
    ) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 s s"]]:
        """Give the image and its small version, both in [-1, 1].

        Args:
            z: Latents, from the standard normal distribution.
            noise: One map per site, of the sizes that ``noise_sizes`` lists.
        """
        if self.config.normalised_latent:
            z = normalised(z)
        precision = self.to_image.weight.dtype
        maps = {4: self.first(z.to(precision))}
        sites = iter(noise)
        for name, block in self.blocks.items():
            size = int(name)
            x = block(maps[size // 2], *(next(sites) for _ in range(2 if size in NOISY else 0)))
            maps[size] = self.gates[name](maps[GATES[size]], x) if name in self.gates else x
        small = self.to_small(maps[small_size(self.config.size)])
        return torch.tanh(self.to_image(maps[self.config.size]).float()), torch.tanh(small.float())


def normalised(z: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
    """Bring latents to the sphere of radius ``sqrt(z)``, where nearly all of the normal distribution lies.

    Source: ProGAN (Karras et al. 2018), appendix A.1; Projected GAN (Sauer et al. 2021) on a FastGAN generator.
    """
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


def initialise(network: nn.Module, random: torch.Generator) -> None:
    """Draw fresh weights: convolutions from N(0, 0.02), normalisation gains from N(1, 0.02), noise strengths 0.

    To be called before ``SpectralAdam`` takes the weights over. Spectral normalisation as a parametrisation of the
    layers would swallow these values without a word.

    Source: the released code of FastGAN; DCGAN (Radford et al. 2016), section 3.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=random)
            nn.init.zeros_(module.bias)
