"""A generator made ready to draw from: its normalisation folded into its convolutions, in the precision asked for.

In eval mode BatchNorm is a scale and a shift for each channel, which the convolution before it can do as well, so that
no map is normalised any more; and kernels that also upsample are summed up once instead of at each picture.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handful.blocks import SMALL_MAP, Noise, NoisyUpBlock, UpConv, glu, kernel_after_upsampling, layout, upsample
from handful.generator import GATES, Generator


@final
class Stage(nn.Module):
    """Convolution, noise, normalisation and gate in one: ``glu(convolve(x, weight) + bias + strength * noise)``.

    With BatchNorm's ``scale = gain / sqrt(variance + eps)``, weight and strength are the layers' own times ``scale``,
    and the bias is BatchNorm's less ``scale * mean``.
    """

    def __init__(self, layer: nn.Module, norm: nn.BatchNorm2d, noise: Noise | None = None, *, side: int) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = layer.weight
        self.convolve, self.upsample, transposed = partial(F.conv2d, padding=1), False, False
        if isinstance(layer, nn.ConvTranspose2d):
            self.convolve, transposed = F.conv_transpose2d, True
        elif isinstance(layer, UpConv) and side > SMALL_MAP:
            weight = kernel_after_upsampling(weight)
            self.convolve, transposed = partial(F.conv_transpose2d, stride=2, padding=1), True
        else:
            self.upsample = isinstance(layer, UpConv)
        by_output = scale[:, None, None]
        self.register_buffer("weight", weight * (by_output if transposed else by_output[..., None]))
        self.register_buffer("bias", norm.bias - scale * norm.running_mean)
        self.register_buffer("strength", None if noise is None else by_output * noise.weight)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if self.upsample:
            x = upsample(x)
        x = self.convolve(x, self.weight, self.bias)
        if noise is not None:
            x = torch.addcmul(x, self.strength, noise.to(x.dtype))
        return glu(x)


@final
class Folded(nn.Module):
    def __init__(self, network: Generator, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = network.config
        self.first = Stage(network.first.conv, network.first.norm, side=1)
        self.blocks = nn.ModuleDict()
        for name, block in network.blocks.items():
            side = int(name) // 2
            if isinstance(block, NoisyUpBlock):
                stages = [
                    Stage(block.conv1, block.norm1, block.noise1, side=side),
                    Stage(block.conv2, block.norm2, block.noise2, side=2 * side),
                ]
            else:
                stages = [Stage(block.conv, block.norm, side=side)]
            self.blocks[name] = nn.ModuleList(stages)
        self.gates = copy.deepcopy(network.gates)
        self.to_image = copy.deepcopy(network.to_image)
        self.to(precision, memory_format=layout(precision)).requires_grad_(False)

    def forward(self, z: Tensor, noise: Sequence[Tensor]) -> Tensor:
        x = self.first(z.to(self.to_image.weight.dtype)[:, :, None, None])
        maps = {4: x}
        sites = iter(noise)
        for name, block in self.blocks.items():
            noisy = len(block) == 2
            for stage in block:
                x = stage(x, next(sites) if noisy else None)
            if name in self.gates:
                x = self.gates[name](maps[GATES[int(name)]], x)
            maps[int(name)] = x
        return torch.tanh(self.to_image(x).float())
