"""A generator made ready to draw from: its normalisation folded into its convolutions, in the precision asked for.

In eval mode BatchNorm is a scale and a shift for each channel, which the convolution before it can do as well, so that
no map is normalised any more; and the kernels that also upsample are summed up once instead of at each picture.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.blocks import (
    FirstBlock,
    Noise,
    NoisyUpBlock,
    UpBlock,
    UpConv,
    glu,
    kernel_after_upsampling,
    layout,
    upsample_smoothly,
)
from handful.generator import GATES, Generator, conditioned


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Give what a normalisation in eval mode does to each channel: ``x * scale + shift``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


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
        self.smoothly = isinstance(layer, UpConv) and layer.smoothly
        if isinstance(layer, UpConv) and not layer.smoothly:
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
        if self.smoothly:
            x = upsample_smoothly(x)
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


@final
class Folded(nn.Module):
    """What a generator in eval mode computes, but for rounding, at about half the cost; it shares nothing with it.

    There is no small image, and nothing is left to train or to measure. In half precision all is rounded to it but the
    last step, which gives float32.
    """

    @torch.no_grad()
    def __init__(self, network: Generator, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.classes, self.normalise = copy.deepcopy(network.classes), network.config.normalised_latent
        self.first = FirstStage(network.first)
        self.blocks = nn.ModuleDict({name: stages(block) for name, block in network.blocks.items()})
        self.gates = copy.deepcopy(network.gates)
        self.to_image = copy.deepcopy(network.to_image)
        self.requires_grad_(False)
        self.to(precision, memory_format=layout(precision))  # type: ignore[call-overload]  # its stub lacks this

    def forward(
        self,
        z: Float[Tensor, "b z"],
        noise: Sequence[Float[Tensor, "b 1 _ _"]],
        labels: Int64[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Give the images, in [-1, 1]; the inputs are those of the generator."""
        z = conditioned(z, labels, self.classes, normalise=self.normalise)
        x = self.first(z.to(self.first.weight.dtype))
        sources = {4: x}
        sites = iter(noise)
        for name, block in self.blocks.items():
            for stage in block.children():
                x = stage(x, None if stage.strength is None else next(sites))
            if name in self.gates:
                x = self.gates[name](sources[GATES[int(name)]], x)
            sources[int(name)] = x
        return torch.tanh(self.to_image(x).float())
