"""Time a step as the published code takes it: to compare with, on the same machine in the same session.

    python benchmarks/published_step.py --size 256 --batch 8 --perceptual --steps 3

Our own networks have the released ones' layers; here they are run the way the released code runs them. In float32,
operation by operation, each map enlarged before it is convolved, spectral norm by one power iteration at every forward
pass, real and generated images passed backwards apart, the discriminator's weights not held still in the generator's
step, the average taken parameter by parameter, LPIPS pair by pair, the allocator of glibc and the settings of cuDNN as
they come. Nothing is taken from the released code; the facts are those of docs/paper.md. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from handful.compute.device import choose_device
from handful.compute.precision import seconds
from handful.config.presets import paper
from handful.networks import latent
from handful.networks import layers as blocks
from handful.networks.discriminator import Discriminator, quadrant
from handful.networks.generator import Generator, initialise, small_shape
from handful.networks.layers import shrink
from handful.networks.pretrained.lpips import Perceptual
from handful.objective.augment import augment
from handful.objective.losses import discriminator_loss, generator_loss


class Published:
    """Networks, optimisers and average of the published training loop, and its step."""

    def __init__(self, size: int, batch: int, perceptual: bool, device: torch.device) -> None:
        blocks.SMALL_MAP = 2**20  # every map is enlarged, then convolved
        blocks.glu = lambda x: F.glu(x, dim=1)
        self.config = paper("-", size=size, channels=3, batch=batch)
        self.random = torch.Generator(device).manual_seed(0)
        self.generator, self.discriminator = Generator(self.config.generator), Discriminator(self.config.generator)
        for network in (self.generator, self.discriminator):
            initialise(network, torch.Generator().manual_seed(0))
            network.to(device)
            for layer in network.modules():
                if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                    nn.utils.spectral_norm(layer)
        self.average = [value.detach().clone() for value in self.generator.parameters()]
        adam = lambda network: torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), foreach=False)  # noqa: E731
        self.generator_adam, self.discriminator_adam = adam(self.generator), adam(self.discriminator)
        self.lpips = Perceptual().to(device) if perceptual else None

    def distance(self, made: Tensor, target: Tensor) -> Tensor:
        """Compare one reconstruction with its target."""
        if self.lpips is None:
            return (made - target).abs().mean()
        return self.lpips(made, target).sum()

    def step(self) -> None:
        """Take a step."""
        config, random = self.config, self.random
        real = torch.rand(config.batch, 3, *config.shape, device=random.device, generator=random) * 2 - 1
        real = augment(real, config.augment, random)
        small = shrink(real, small_shape(config.generator))
        z, noise = latent.draw(config.batch, 256, self.generator.noise_shapes, random)
        fake = [augment(made, config.augment, random) for made in self.generator(z, noise)]

        self.discriminator.zero_grad()
        view = self.discriminator(real, small)
        corner = torch.randint(4, (), device=random.device, generator=random)
        whole, quarter, reduced = self.discriminator.decoders(view, corner)
        part = shrink(quadrant(real, corner), (small.shape[2], small.shape[3]))
        loss = discriminator_loss(view.logits, torch.full_like(view.logits, -9.0), random)
        loss = loss + self.distance(whole, small) + self.distance(quarter, part) + self.distance(reduced, small)
        loss.backward()
        logits = self.discriminator(*(made.detach() for made in fake)).logits
        discriminator_loss(torch.full_like(logits, 9.0), logits, random).backward()
        self.discriminator_adam.step()

        self.generator.zero_grad()
        generator_loss(self.discriminator(*fake).logits).backward()
        self.generator_adam.step()
        with torch.no_grad():
            for average, latest in zip(self.average, self.generator.parameters(), strict=True):
                average.mul_(0.999).add_(latest, alpha=0.001)


def main() -> None:
    """Time steps and print their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--perceptual", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    published = Published(options.size, options.batch, options.perceptual, choose_device(options.device))
    with FlopCounterMode(display=False) as counter:
        published.step()
    median = statistics.median(seconds(published.step) for _ in range(options.steps))
    gflop = counter.get_total_flops() / 1e9
    print(json.dumps({"seconds_per_step": median, "gflop_per_step": gflop, "gflops": gflop / median}))


if __name__ == "__main__":
    main()
