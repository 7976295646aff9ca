"""A generator made ready to draw from: its normalisation folded into its convolutions, in the precision asked for.

In eval mode BatchNorm is a scale and a shift for each channel, which the convolution before it can do as well, so that
no map is normalised any more; and the kernels that also upsample are summed up once instead of at each picture.
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

from handful.compute.precision import layout
from handful.networks.generator import GATES, Generator, of_class
from handful.networks.layers import (
    Excitation,
    FirstBlock,
    Labels,
    Noise,
    NoisyUpBlock,
    UpBlock,
    UpConv,
    glu,
    kernel_after_upsampling,
    scale_and_shift,
)

Gates = dict[str, Tensor]
"""What the channels of each image are scaled by, [b c 1 1], by the nominal size of the map that is scaled."""


@final
class FirstStage(nn.Module):
    """A first block as one product: a transposed convolution of a single pixel is that, and several times slower."""

    def __init__(self, block: FirstBlock) -> None:
        super().__init__()
        scale, shift = scale_and_shift(block.norm)
        self.weight = nn.Buffer((block.conv.weight * scale[:, None, None]).flatten(1).contiguous())  # [z 2c*h*w]
        self.base = block.conv.kernel_size
        self.bias = nn.Buffer(shift.repeat_interleave(self.base[0] * self.base[1]))

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c _ _"]:
        """Turn latents into base maps."""
        return glu(torch.addmm(self.bias, z, self.weight).view(len(z), -1, *self.base))


@final
class Stage(nn.Module):
    """Convolution, noise, normalisation and gate in one: ``glu(convolve(x, weight) + bias + strength * noise)``.

    Repeating pixels is always part of the kernel here: for the smallest map too, that is faster once the kernel is at
    hand.
    """

    def __init__(self, layer: nn.Conv2d, norm: nn.BatchNorm2d, noise: Noise | None = None) -> None:
        super().__init__()
        scale, shift = scale_and_shift(norm)
        if isinstance(layer, UpConv):
            self.convolve = partial(F.conv_transpose2d, stride=2, padding=1)
            weight = kernel_after_upsampling(layer.weight) * scale[:, None, None]
        else:
            self.convolve = partial(F.conv2d, padding=1)
            weight = layer.weight * scale[:, None, None, None]
        self.weight, self.bias = nn.Buffer(weight.contiguous()), nn.Buffer(shift)
        self.strength = None if noise is None else nn.Buffer(noise.weight * scale[:, None, None])

    def forward(
        self, x: Float[Tensor, "b c _h _w"], noise: Float[Tensor, "b 1 h w"] | None
    ) -> Float[Tensor, "b k h w"]:
        """Compute one convolution's worth of the network."""
        x = self.convolve(x, self.weight, self.bias)  # [b 2k h w]
        if self.strength is not None and noise is not None:
            x = torch.addcmul(x, self.strength, noise.to(x.dtype))
        return glu(x)  # [b k h w]


def stages(block: nn.Module) -> nn.ModuleList:
    """Fold a block: one stage for each of its convolutions."""
    if isinstance(block, NoisyUpBlock):
        first = Stage(block.conv1, block.norm1, block.noise1)
        return nn.ModuleList([first, Stage(block.conv2, block.norm2, block.noise2)])
    assert isinstance(block, UpBlock)
    return nn.ModuleList([Stage(block.conv, block.norm)])


def climb(block: nn.Module, x: Float[Tensor, "b _ _ _"], sites: Iterator[Tensor]) -> Float[Tensor, "b _ _ _"]:
    """Go through the stages of a block, which take their noise as they come."""
    for stage in block.children():
        x = stage(x, None if stage.strength is None else next(sites))
    return x


@final
class Folded(nn.Module):
    """What a generator in eval mode computes, but for rounding, at about half the cost; it shares nothing with it.

    There is no small image, and nothing is left to train or to measure. In half precision all is rounded to it but the
    last step, which gives float32.
    """

    @torch.no_grad()
    def __init__(self, network: Generator, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.first = FirstStage(network.first)
        self.blocks = nn.ModuleDict({name: stages(block) for name, block in network.blocks.items()})
        self.gates, self.classes = copy.deepcopy(network.gates), copy.deepcopy(network.classes)
        self.to_image = copy.deepcopy(network.to_image)
        self.latent, self.noise_shapes = network.config.latent, network.noise_shapes
        self.requires_grad_(False)
        self.to(precision, memory_format=layout(precision))  # type: ignore[call-overload]  # its stub lacks this

    def forward(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None = None,
        gates: Gates | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Give the images, in [-1, 1].

        Args:
            z: As the generator has it.
            noise: As the generator has it.
            labels: As the generator has it.
            gates: Used in the place of what the maps would give, for the sizes in it.
        """
        return self.grow(self.start(z, labels), noise, labels, gates)

    def grow(
        self,
        x: Float[Tensor, "b _ _ _"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None,
        gates: Gates | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Give the images that base maps grow to; see ``forward``."""
        sources = {4: x}
        sites = iter(noise)
        for name, block in self.blocks.items():
            x = of_class(self.classes, int(name), climb(block, x, sites), labels)
            if gates is not None and name in gates:
                x = x * gates[name]
            elif name in self.gates:
                x = self.gates[name](sources[GATES[int(name)]], x)
            sources[int(name)] = x
        return torch.tanh(self.to_image(x).float())

    def start(self, z: Float[Tensor, "b z"], labels: Labels | None) -> Float[Tensor, "b c _ _"]:
        """Give the base maps."""
        return of_class(self.classes, 4, self.first(z.to(self.first.weight.dtype)), labels)

    def gates_of(
        self, z: Float[Tensor, "b z"], noise: Sequence[Float[Tensor, "b 1 _ _"]], labels: Labels | None
    ) -> Gates:
        """Give the gates that these inputs set; only the low maps that they are read from are computed."""
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
        """Give the maps by nominal size, up to one that no gate scales yet: at most 32."""
        x = self.start(z, labels)
        maps = {4: x}
        sites = iter(noise)
        for name, block in self.blocks.items():
            if int(name) > largest:
                break
            maps[int(name)] = x = of_class(self.classes, int(name), climb(block, x, sites), labels)
        return maps
