"""The building blocks of both networks.

Every convolution is a plain one without bias. Spectral normalisation is not a layer here: ``spectral.SpectralAdam``
keeps the weights that these layers compute with at norm one, once per optimiser step for a whole network.

A convolution computes in the precision of its weight, which may be half; everything else that is learned stays float32.
"""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from handful.compute import shared_batch as shares
from handful.compute.memory import kept_or_recomputed
from handful.compute.precision import layout
from handful.config.sizes import Shape
from handful.networks import pixel_blocks as thin

Labels = Int64[Tensor, " b"] | Float[Tensor, "b classes"]
"""The number of each image's class, or its share of every class."""


SLOPE = 0.2


SMALL_MAP = 4
"""Side, in pixels, of maps so small against their kernels that folding the upsampling into these costs more."""


@final
class Conv(nn.Conv2d):
    """Convolve, on blocks of pixels where there are few channels."""

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o _ _"]:
        """Convolve."""
        same_or_half = (self.kernel_size, self.stride, self.padding) in thin.KINDS
        if same_or_half and thin.is_faster(x, min(self.weight.shape[:2]), thin.FEW):
            return thin.conv_by_blocks(x, self.weight)
        return super().forward(x)


def conv(inputs: int, outputs: int, kernel: int | Shape, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """Make a convolution without bias, as all convolutions of the method are."""
    return Conv(inputs, outputs, kernel, stride, padding, bias=False)


@final
class BatchNorm(nn.BatchNorm2d):
    """Normalise each channel by its mean and variance over the batch, which several processes may share.

    ``torch.nn.SyncBatchNorm`` does it on CUDA only.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise."""
        if not shares.several():
            return super().forward(x)
        exact = x.float()
        mean, variance = shares.moments(exact)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (exact * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def batch_norm(channels: int) -> BatchNorm:
    """Make the discriminator's normalisation: by the batch at hand, which is all that it is ever used with."""
    return BatchNorm(channels, track_running_stats=False)


def leaky() -> nn.LeakyReLU:
    """Make the activation of the discriminator."""
    return nn.LeakyReLU(SLOPE, inplace=True)


def upsample(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double height and width by repeating pixels."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def upsample_smoothly(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double height and width; each new pixel is 9, 3, 3 and 1 sixteenths of the four nearest.

    Source: StyleGAN2 (Karras et al. 2020), its resampling by the binomial 1 3 3 1; bilinear enlarging is the same.
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def shrink(x: Float[Tensor, "b c h w"], shape: Shape) -> Float[Tensor, "b c _ _"]:
    """Average square areas of pixels so that ``shape``, of the same proportions, remains."""
    return F.avg_pool2d(x, x.shape[-1] // shape[1])


def kernel_after_upsampling(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 4 4"]:
    """Turn a 3x3 kernel that follows an upsampling by two into one 4x4 kernel that does both.

    Nine taps on repeated pixels see four different ones, so what they share is summed here, once for a whole map.
    ``conv_transpose2d(x, kernel, stride=2, padding=1)`` then equals ``conv2d(upsample(x), weight, padding=1)`` at 4/9
    of the multiplications, and no enlarged map is made.
    """
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return four_taps(four_taps(exact, -2), -1).to(weight.dtype).transpose(0, 1)


def kernel_before_averaging(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "o i 4 4"]:
    """Turn a 3x3 kernel that an averaging of 2x2 areas follows into one 4x4 kernel that does both.

    ``conv2d(x, kernel, stride=2, padding=1)`` then equals ``avg_pool2d(conv2d(x, weight, padding=1), 2)``.
    """
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    # As when upsampling, seen from the other side.
    return (four_taps(four_taps(exact, -2), -1).flip(-2, -1) / 4).to(weight.dtype)


def four_taps(kernel: Tensor, dim: int) -> Tensor:
    """Sum the three taps of a kernel along one side into the four that see different pixels."""
    first, middle, last = kernel.unbind(dim)
    return torch.stack([last, middle + last, first + middle, first], dim)


def glu(x: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k//2 h w"]:
    """Gate the first half of the channels by the second: ``a * sigmoid(b)``.

    Written out because the gradient of ``F.glu`` loses the channels-last layout.

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
    """Skip-Layer Excitation: ``target * sigmoid(conv(swish(conv(pool(source)))))``, one gate per image and channel.

    The gate is a single number in (0, 1), so the cost does not grow with the size of ``target``. In the generator the
    source is a low-resolution map and the target a high-resolution one; in the discriminator it is the other way.

    Source: FastGAN (Liu et al. 2021), section 3.1. The paper's text has LeakyReLU between the convolutions; the
    released network, followed here, has Swish.
    """

    def __init__(self, source: int, target: int, base: Shape) -> None:
        super().__init__()
        self.base = base
        self.squeeze = conv(source, target, base)
        self.excite = conv(target, target, 1)

    def forward(self, source: Float[Tensor, "b k _h _w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Scale each channel of ``target`` by a gate read from ``source``."""
        return target * self.gate(source)

    def gate(self, source: Float[Tensor, "b k _h _w"]) -> Float[Tensor, "b c 1 1"]:
        """Read the gates, in (0, 1)."""
        return torch.sigmoid(self.excite(F.silu(self.squeeze(shrink(source, self.base)))))


@final
class OfClass(nn.Module):
    """Scale and shift each channel of a map by what the image's class has learned: ``x * (1 + scale) + shift``.

    Nothing at first, so that classes part as they learn.

    Source: conditional normalisation (Dumoulin et al. 2017, equation 5), here behind a block and not within.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, 2 * channels)

    def forward(self, x: Float[Tensor, "b c h w"], labels: Labels) -> Float[Tensor, "b c h w"]:
        """Make of a map one of each image's class, or one between classes by the image's shares of them."""
        table = self.table.weight
        rows = labels.to(table.dtype) @ table if labels.is_floating_point() else self.table(labels)  # [b 2c]
        scale, shift = rows[:, :, None, None].to(x.dtype).chunk(2, dim=1)  # [b c 1 1]
        changed: Tensor = x * (1 + scale) + shift
        return changed


@final
class UpConv(nn.Conv2d):
    """Upsample by two, then convolve with a 3x3 kernel; see ``kernel_after_upsampling``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double the height and width."""
        if min(x.shape[2:]) <= SMALL_MAP:
            return F.conv2d(upsample(x), self.weight, padding=1)
        kernel = kernel_after_upsampling(self.weight)
        if thin.is_faster(x, max(self.weight.shape[:2]), thin.FEW_ENLARGED):
            return thin.up_by_blocks(x, kernel)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1)


@final
class AveragedConv(nn.Conv2d):
    """Convolve with a 3x3 kernel, then average areas of 2x2; see ``kernel_before_averaging``.

    Averaging takes out of every map the pattern that alternates from pixel to pixel, which every second place alone
    would see as something else. So what goes back to the generator has no such pattern from here either.

    Source: Zhang 2019, "Making convolutional networks shift-invariant again", section 3, with the box filter.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h//2 w//2"]:
        """Halve the height and width."""
        kernel = kernel_before_averaging(self.weight)
        if thin.is_faster(x, min(self.weight.shape[:2]), thin.FEW):
            return thin.conv_by_blocks(x, kernel)
        return F.conv2d(x, kernel.contiguous(memory_format=layout(kernel.dtype)), stride=2, padding=1)


def halving(inputs: int, outputs: int, *, smoothly: bool = False) -> nn.Conv2d:
    """Make the convolution that halves a map: strided, as published, or one that averages."""
    return AveragedConv(inputs, outputs) if smoothly else conv(inputs, outputs, 4, 2, 1)


@final
class PixelConv(nn.ConvTranspose2d):
    """Spread vectors out as small maps: a transposed convolution of one pixel, done as the matrix product that it is.

    As a convolution it is five times slower on a CPU.
    """

    def __init__(self, inputs: int, outputs: int, base: Shape) -> None:
        super().__init__(inputs, outputs, base, bias=False)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c _ _"]:  # type: ignore[override]
        """Spread the vectors out."""
        return (z @ self.weight.flatten(1)).view(len(z), *self.weight.shape[1:])


class FirstBlock(nn.Module):
    """Turn a latent vector into the base map, of 4 x 4 cells in square images.

    Source: FastGAN (Liu et al. 2021), figure 3.
    """

    def __init__(self, latent: int, outputs: int, base: Shape) -> None:
        super().__init__()
        self.conv = PixelConv(latent, 2 * outputs, base)
        self.norm = BatchNorm(2 * outputs)

    def forward(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b c _ _"]:
        """Spread a vector out, normalise, gate."""
        return glu(self.norm(self.conv(z)))


class UpBlock(nn.Module):
    """Double the resolution: upsample, convolve, normalise, gate.

    Source: FastGAN (Liu et al. 2021), figure 3.
    """

    def __init__(self, inputs: int, outputs: int, *, running: bool = True) -> None:
        super().__init__()
        self.conv = UpConv(inputs, 2 * outputs)
        self.norm = BatchNorm(2 * outputs, track_running_stats=running)
        self.recompute = False

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double the height and width."""
        return kept_or_recomputed(lambda x: glu(self.norm(self.conv(x))), x, recompute=self.recompute)  # [b k 2h 2w]


class NoisyUpBlock(nn.Module):
    """Double the resolution with two convolutions, each followed by noise.

    Source: FastGAN (Liu et al. 2021), figure 3; which resolutions have it is the released network's choice.
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
        self, x: Float[Tensor, "b c h w"], first: Float[Tensor, "b 1 2*h 2*w"], second: Float[Tensor, "b 1 2*h 2*w"]
    ) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double the height and width."""
        x = kept_or_recomputed(self.enlarge, x, first, recompute=self.recompute)
        return kept_or_recomputed(self.refine, x, second, recompute=self.recompute)

    def enlarge(self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b 1 2*h 2*w"]) -> Float[Tensor, "b k 2*h 2*w"]:
        """Double the height and width with the first convolution."""
        return glu(self.norm1(self.noise1(self.conv1(x), noise)))  # [b k 2h 2w]

    def refine(self, x: Float[Tensor, "b k h w"], noise: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b k h w"]:
        """Convolve once more at that size."""
        return glu(self.norm2(self.noise2(self.conv2(x), noise)))


class DownBlock(nn.Module):
    """Halve the resolution with one strided convolution.

    Source: FastGAN (Liu et al. 2021), figure 4; this one is in the released network's small branch.
    """

    def __init__(self, inputs: int, outputs: int, *, smoothly: bool = False) -> None:
        super().__init__()
        self.main = nn.Sequential(halving(inputs, outputs, smoothly=smoothly), batch_norm(outputs), leaky())

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h//2 w//2"]:
        """Halve the height and width."""
        halved: Tensor = self.main(x)  # [b k h/2 w/2]
        return halved


class Decoder(nn.Module):
    """Reconstruct an image from a feature map of nominal size 8, so that the map must hold what the image shows.

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
            self.blocks.append(UpBlock(inputs, outputs, running=False))
            inputs = outputs
        self.to_image = conv(inputs, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c _ _"]) -> Float[Tensor, "b k h w"]:
        """Give the image, in [-1, 1]."""
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.to_image(x).float())


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Give what a normalisation in eval mode does to each channel: ``x * scale + shift``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale
