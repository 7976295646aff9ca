"""Power iteration and gradients through spectral norm."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.precision import layout


def pull(
    gradients: list[Tensor], matrices: list[Tensor], u: list[Tensor], v: list[Tensor], sigma: list[Tensor]
) -> None:
    """Turn the gradient ``G`` by each normalised weight ``N = W / sigma`` into that by ``W``, in place.

    With ``sigma = u' W v`` for fixed ``u`` and ``v`` it is ``(G - <G, N> u v') / sigma``.

    Source: Spectral normalisation (Miyato et al. 2018), equation 12.
    """
    for gradient, matrix, left, right, size in zip(gradients, matrices, u, v, sigma, strict=True):
        gradient.div_(size)
        along = torch.dot(gradient.flatten(), matrix.flatten()) / size
        gradient.addr_(left, right * along, alpha=-1)


def approach(matrices: list[Tensor], u: list[Tensor], v: list[Tensor], sigma: list[Tensor]) -> None:
    """Take one power iteration for each matrix, in place.

    Source: Spectral normalisation (Miyato et al. 2018), algorithm 1.
    """
    for matrix, left, right, size in zip(matrices, u, v, sigma, strict=True):
        product = torch.mv(matrix.T, left)
        right.copy_(product / torch.linalg.vector_norm(product))
        product = torch.mv(matrix, right)
        # u = W v / |W v|, and so sigma = u' W v = |W v|.
        size.copy_(torch.linalg.vector_norm(product))
        left.copy_(product / size)


def divide(weights: list[Tensor], masters: list[Tensor], sigma: list[Tensor]) -> None:
    """Write each master over its ``sigma`` into the weight that the network computes with."""
    for weight, master, size in zip(weights, masters, sigma, strict=True):
        weight.copy_(master / size)


def listed(values: dict[str, Tensor], names: Collection[str]) -> list[Tensor]:
    """Give the values of these names."""
    return [values[name].detach() for name in names]


def outputs_first(layer: nn.Module, weight: Float[Tensor, "i j k l"]) -> Float[Tensor, "o c k l"]:
    """View a weight with its output channels first, which a transposed convolution has second; or back again."""
    return weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight


def master_of(layer: nn.Module, precision: torch.dtype) -> Float[Tensor, "o c k l"]:
    """Copy a layer's weight, laid out in memory as the layer will have it, so that copying between the two is quick."""
    assert isinstance(layer.weight, Tensor)
    # A transposed convolution of one pixel is a product with this layout's matrix as it lies (blocks.PixelConv).
    memory = torch.channels_last if isinstance(layer, nn.ConvTranspose2d) else layout(precision)
    return outputs_first(layer, layer.weight.detach()).clone(memory_format=memory)


def as_matrix(weight: Float[Tensor, "o c k l"]) -> Float[Tensor, "o ckl"]:
    """View a weight as the matrix whose largest singular value is its spectral norm, columns in memory's order."""
    last = weight.is_contiguous(memory_format=torch.channels_last)
    return (weight.permute(0, 2, 3, 1) if last else weight).view(len(weight), -1)


def unit_vector(length: int, random: torch.Generator) -> Float[Tensor, " n"]:
    """Draw a direction."""
    return F.normalize(torch.randn(length, device=random.device, generator=random), dim=0)
