"""The building blocks of both networks. Convolutions are in ``conv``; all other parameters are float32."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.compute import shared_batch
from handful.compute.memory import checkpointed
from handful.config.sizes import Shape
from handful.networks.conv import PixelConv, UpConv, conv, down_conv, shrink

Labels = Int64[Tensor, " b"] | Float[Tensor, "b classes"]
"""Class numbers of a batch; or for each image its share of every class, which sum to 1."""

LEAKY_SLOPE = 0.2


@final
class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose statistics are those of the whole batch when several processes share it.

    ``torch.nn.SyncBatchNorm`` works on CUDA only.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise each channel."""
        if not shared_batch.is_shared():
            return super().forward(x)
        exact = x.float()
        mean, variance = shared_batch.moments(exact)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (exact * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def batch_norm(channels: int) -> BatchNorm:
    """Return the discriminator's normalisation: it has no running statistics, since it always uses the batch's."""
    return BatchNorm(channels, track_running_stats=False)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return what a normalisation does in eval mode: ``x * scale + shift`` per channel."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def leaky_relu() -> nn.LeakyReLU:
    """Return the discriminator's activation."""
    return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


def glu(x: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k//2 h w"]:
    """Gate the first half of the channels by the second: ``a * sigmoid(b)``.

    The gradient of ``F.glu`` would not be channels last.

    Source: gated linear units (Dauphin et al. 2017), equation 1.
    """
    value, gate = x.chunk(2, dim=1)
    return value * torch.sigmoid(gate)  # [b k/2 h w]


class Noise(nn.Module):
    """Add noise scaled by one learned number, which starts at zero: ``x + weight * noise``.

    Source: FastGAN (Liu et al. 2021), figure 3; StyleGAN (Karras et al. 2019), section 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
        """Add one map of noise to all channels."""
        return x + (self.weight * noise).to(x.dtype)


class Excitation(nn.Module):
    """Skip-Layer Excitation: ``target * sigmoid(conv(swish(conv(pool(source)))))``.

    The gate is one number in (0, 1) per image and channel, so the cost does not grow with the size of ``target``. In
    the generator the source is a low-resolution map and the target a high-resolution one; in the discriminator the
    reverse.

    Source: FastGAN (Liu et al. 2021), section 3.1. The paper's text has LeakyReLU between the convolutions; the
    released network, followed here, has Swish.
    """

    def __init__(self, source: int, target: int, base: Shape) -> None:
        super().__init__()
        self.base = base
        self.squeeze = conv(source, target, base)
        self.excite = conv(target, target, 1)

    def forward(self, source: Float[Tensor, "b k _h _w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Scale each channel of ``target`` by a gate computed from ``source``."""
        return target * self.gate(source)

    def gate(self, source: Float[Tensor, "b k _h _w"]) -> Float[Tensor, "b c 1 1"]:
        """Return the gates."""
        return torch.sigmoid(self.excite(F.silu(self.squeeze(shrink(source, self.base)))))


@final
class ClassModulation(nn.Module):
    """Scale and shift each channel by what the image's class has learned: ``x * (1 + scale) + shift``.

    Scale and shift start at zero, so classes start out alike.

    Source: conditional normalisation (Dumoulin et al. 2017, equation 5), applied after a block instead of inside it.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, 2 * channels)

    def forward(self, x: Float[Tensor, "b c h w"], labels: Labels) -> Float[Tensor, "b c h w"]:
        """Modulate a map by each image's class, or by a mixture of classes."""
        table = self.table.weight
        rows = labels.to(table.dtype) @ table if labels.is_floating_point() else self.table(labels)  # [b 2c]
        scale, shift = rows[:, :, None, None].to(x.dtype).chunk(2, dim=1)  # [b c 1 1]
        modulated: Tensor = x * (1 + scale) + shift
        return modulated


class InitialBlock(nn.Module):
    """Turn a latent vector into the base map, of 4x4 pixels in square images.

    Source: FastGAN (Liu et al. 2021), figure 3.
    """

    def __init__(self, latent: int, outputs: int, base: Shape) -> None:
        super().__init__()
        self.conv = PixelConv(latent, 2 * outputs, base)
        self.norm = BatchNorm(2 * outputs)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c _ _"]:
        """Convolve, normalise, gate."""
        return glu(self.norm(self.conv(z)))


class UpBlock(nn.Module):
    """Double the resolution: upsample, convolve, normalise, gate.

    Source: FastGAN (Liu et al. 2021), figure 3.
    """

    def __init__(self, inputs: int, outputs: int, *, running_stats: bool = True) -> None:
        super().__init__()
        self.conv = UpConv(inputs, 2 * outputs)
        self.norm = BatchNorm(2 * outputs, track_running_stats=running_stats)
        self.recompute = False

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double height and width."""
        return checkpointed(lambda x: glu(self.norm(self.conv(x))), x, enabled=self.recompute)  # [b k 2h 2w]


class NoisyUpBlock(nn.Module):
    """Double the resolution with two convolutions, each followed by noise.

    Source: FastGAN (Liu et al. 2021), figure 3; which resolutions have it follows the released network.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = UpConv(inputs, 2 * outputs)
        self.noise1 = Noise()
        self.norm1 = BatchNorm(2 * outputs)
        self.conv2 = conv(outputs, 2 * outputs, 3, padding=1)
        self.noise2 = Noise()
        self.norm2 = BatchNorm(2 * outputs)
        self.recompute = False

    def forward(
        self, x: Float[Tensor, "b c h w"], noise1: Float[Tensor, "b 1 2*h 2*w"], noise2: Float[Tensor, "b 1 2*h 2*w"]
    ) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double height and width."""
        x = checkpointed(self.enlarge, x, noise1, enabled=self.recompute)
        return checkpointed(self.refine, x, noise2, enabled=self.recompute)

    def enlarge(self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b 1 2*h 2*w"]) -> Float[Tensor, "b k 2*h 2*w"]:
        """Apply the first convolution, which doubles height and width."""
        return glu(self.norm1(self.noise1(self.conv1(x), noise)))  # [b k 2h 2w]

    def refine(self, x: Float[Tensor, "b k h w"], noise: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b k h w"]:
        """Apply the second convolution."""
        return glu(self.norm2(self.noise2(self.conv2(x), noise)))


class DownBlock(nn.Module):
    """Halve the resolution with one convolution.

    Source: FastGAN (Liu et al. 2021), figure 4; the released network has it in the branch for the small image.
    """

    def __init__(self, inputs: int, outputs: int, *, smooth: bool = False) -> None:
        super().__init__()
        self.main = nn.Sequential(down_conv(inputs, outputs, smooth=smooth), batch_norm(outputs), leaky_relu())

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h//2 w//2"]:
        """Halve height and width."""
        halved: Tensor = self.main(x)  # [b k h/2 w/2]
        return halved


class Decoder(nn.Module):
    """Reconstruct an image from a feature map of nominal size 8, so that the map must describe the image.

    Source: FastGAN (Liu et al. 2021), section 3.2.
    """

    def __init__(self, inputs: int, size: int, width: int, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        resolution = 8
        while resolution < size:
            resolution *= 2
            # The released network's channels, at its width of 64: 128, 64, 64, 32 at 16, 32, 64, 128 px.
            outputs = {16: 2 * width, 32: width, 64: width}.get(resolution, width // 2)
            self.blocks.append(UpBlock(inputs, outputs, running_stats=False))
            inputs = outputs
        self.to_image = conv(inputs, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c _ _"]) -> Float[Tensor, "b k h w"]:
        """Return the image, in [-1, 1]."""
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.to_image(x).float())
