"""A generator made ready for sampling: normalisation folded into the convolutions, in the precision asked for.

In eval mode BatchNorm scales and shifts each channel, which the convolution before it can do as well. Kernels fused
with upsampling are computed once instead of for each batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.precision import memory_format
from handful.networks.conv import UpConv, fuse_upsampling
from handful.networks.generator import GATES, Generator, modulated
from handful.networks.layers import Excitation, InitialBlock, Labels, Noise, NoisyUpBlock, UpBlock, glu, scale_and_shift

Gates = dict[str, Tensor]
"""Channel gates [b c 1 1] by the nominal size of the map that they scale."""


@final
class FoldedInitialBlock(nn.Module):
    """An ``InitialBlock`` as one matrix product."""

    def __init__(self, block: InitialBlock) -> None:
        super().__init__()
        scale, shift = scale_and_shift(block.norm)
        self.weight = nn.Buffer((block.conv.weight * scale[:, None, None]).flatten(1).contiguous())  # [z 2c*h*w]
        self.base = block.conv.kernel_size
        self.bias = nn.Buffer(shift.repeat_interleave(self.base[0] * self.base[1]))

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c _ _"]:
        """Turn latents into base maps."""
        return glu(torch.addmm(self.bias, z, self.weight).view(len(z), -1, *self.base))


@final
class FoldedConv(nn.Module):
    """Convolution, noise, normalisation and gate in one: ``glu(convolve(x, weight) + bias + strength * noise)``.

    Upsampling is always fused into the kernel, on the smallest map too: it is faster once the kernel is computed.
    """

    def __init__(self, layer: nn.Conv2d, norm: nn.BatchNorm2d, noise: Noise | None = None) -> None:
        super().__init__()
        scale, shift = scale_and_shift(norm)
        self.upsamples = isinstance(layer, UpConv)
        if self.upsamples:
            self.convolve = partial(F.conv_transpose2d, stride=2, padding=1)
            weight = fuse_upsampling(layer.weight) * scale[:, None, None]
        else:
            self.convolve = partial(F.conv2d, padding=1)
            weight = layer.weight * scale[:, None, None, None]
        self.weight, self.bias = nn.Buffer(weight.contiguous()), nn.Buffer(shift)
        self.strength = None if noise is None else nn.Buffer(noise.weight * scale[:, None, None])

    def forward(
        self, x: Float[Tensor, "b c _h _w"], noise: Float[Tensor, "b 1 h w"] | None
    ) -> Float[Tensor, "b k h w"]:
        """Return the map after the gate."""
        x = self.convolve(x, self.weight, self.bias)  # [b 2k h w]
        if self.strength is not None and noise is not None:
            x = torch.addcmul(x, self.strength, noise.to(x.dtype))
        return glu(x)  # [b k h w]


def fold_block(block: nn.Module) -> nn.ModuleList:
    """Return a block's convolutions, each folded with what follows it."""
    if isinstance(block, NoisyUpBlock):
        first = FoldedConv(block.conv1, block.norm1, block.noise1)
        return nn.ModuleList([first, FoldedConv(block.conv2, block.norm2, block.noise2)])
    assert isinstance(block, UpBlock)
    return nn.ModuleList([FoldedConv(block.conv, block.norm)])


def run_block(block: nn.Module, x: Float[Tensor, "b _ _ _"], noise_maps: Iterator[Tensor]) -> Float[Tensor, "b _ _ _"]:
    """Run a folded block, which takes the noise maps that it needs."""
    for layer in block.children():
        x = layer(x, None if layer.strength is None else next(noise_maps))
    return x


@final
class FoldedGenerator(nn.Module):
    """Generates the images of a generator in eval mode, but for rounding, at about half the cost.

    A copy: it shares nothing with the generator. There is no small image. In half precision everything is rounded to it
    but the last step, which returns float32.
    """

    @torch.no_grad()
    def __init__(self, network: Generator, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.first = FoldedInitialBlock(network.first)
        self.blocks = nn.ModuleDict({name: fold_block(block) for name, block in network.blocks.items()})
        self.gates, self.classes = copy.deepcopy(network.gates), copy.deepcopy(network.classes)
        self.to_image = copy.deepcopy(network.to_image)
        self.latent, self.noise_shapes = network.config.latent, network.noise_shapes
        self.requires_grad_(False)
        self.to(precision, memory_format=memory_format(precision))  # type: ignore[call-overload]  # its stub lacks this

    def forward(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None = None,
        gates: Gates | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return images in [-1, 1].

        Args:
            z: As for ``Generator``.
            noise: As for ``Generator``.
            labels: As for ``Generator``.
            gates: Replace the gates that the maps would give, for the sizes in it.
        """
        return self.from_base_map(self.base_map(z, labels), noise, labels, gates)

    def base_map(self, z: Float[Tensor, "b z"], labels: Labels | None) -> Float[Tensor, "b c _ _"]:
        """Return the base maps of latents."""
        return modulated(self.first(z.to(self.first.weight.dtype)), self.classes, 4, labels)

    def from_base_map(
        self,
        x: Float[Tensor, "b _ _ _"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None,
        gates: Gates | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Return the images of base maps; see ``forward``."""
        maps = {4: x}
        noise_maps = iter(noise)
        for name, block in self.blocks.items():
            x = modulated(run_block(block, x, noise_maps), self.classes, int(name), labels)
            if gates is not None and name in gates:
                x = x * gates[name]
            elif name in self.gates:
                x = self.gates[name](maps[GATES[int(name)]], x)
            maps[int(name)] = x
        return torch.tanh(self.to_image(x).float())

    def compute_gates(
        self, z: Float[Tensor, "b z"], noise: Sequence[Float[Tensor, "b 1 _ _"]], labels: Labels | None
    ) -> Gates:
        """Return the gates of these inputs, from the low maps alone."""
        if not self.gates:
            return {}
        maps = self.low_maps(z, noise, labels, max(GATES[int(name)] for name in self.gates))
        return {name: cast(Excitation, gate).gate(maps[GATES[int(name)]]) for name, gate in self.gates.items()}

    def low_maps(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None,
        largest: int,
    ) -> dict[int, Tensor]:
        """Return the maps up to nominal size ``largest``, at most 32: no gate scales these."""
        x = self.base_map(z, labels)
        maps = {4: x}
        noise_maps = iter(noise)
        for name, block in self.blocks.items():
            if int(name) > largest:
                break
            maps[int(name)] = x = modulated(run_block(block, x, noise_maps), self.classes, int(name), labels)
        return maps
