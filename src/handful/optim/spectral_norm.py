"""Spectral normalisation of many weights at once: power iteration, and gradients through the norm."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handful.compute.precision import memory_format


def power_iteration(matrices: list[Tensor], u: list[Tensor], v: list[Tensor], sigma: list[Tensor]) -> None:
    """Take one power iteration for each matrix, in place.

    Source: Spectral normalisation (Miyato et al. 2018), algorithm 1.
    """
    for matrix, left, right, norm in zip(matrices, u, v, sigma, strict=True):
        product = torch.mv(matrix.T, left)
        right.copy_(product / torch.linalg.vector_norm(product))
        product = torch.mv(matrix, right)
        # u = W v / |W v|, and so sigma = u' W v = |W v|.
        norm.copy_(torch.linalg.vector_norm(product))
        left.copy_(product / norm)


def grads_to_masters(
    gradients: list[Tensor], matrices: list[Tensor], u: list[Tensor], v: list[Tensor], sigma: list[Tensor]
) -> None:
    """Turn the gradient ``G`` by each normalised weight ``N = W / sigma`` into the gradient by ``W``, in place.

    With ``sigma = u' W v`` for fixed ``u`` and ``v`` it is ``(G - <G, N> u v') / sigma``.

    Source: Spectral normalisation (Miyato et al. 2018), equation 12.
    """
    for gradient, matrix, left, right, norm in zip(gradients, matrices, u, v, sigma, strict=True):
        gradient.div_(norm)
        along = torch.dot(gradient.flatten(), matrix.flatten()) / norm
        gradient.addr_(left, right * along, alpha=-1)


def write_normalised(weights: list[Tensor], masters: list[Tensor], sigma: list[Tensor]) -> None:
    """Write each master weight divided by its ``sigma`` into the weight that the network computes with."""
    for weight, master, norm in zip(weights, masters, sigma, strict=True):
        weight.copy_(master / norm)


def select(values: dict[str, Tensor], names: Collection[str]) -> list[Tensor]:
    """Return the values of these names, detached."""
    return [values[name].detach() for name in names]


def outputs_first(layer: nn.Module, weight: Float[Tensor, "i j k l"]) -> Float[Tensor, "o c k l"]:
    """View a layer's weight with its output channels first, or back; a transposed convolution has them second."""
    return weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight


def master_of(layer: nn.Module, precision: torch.dtype) -> Float[Tensor, "o c k l"]:
    """Copy a layer's weight in the memory format that the layer will have, so that copies between both are fast."""
    assert isinstance(layer.weight, Tensor)
    # PixelConv computes with the weight as a matrix, which needs no copy in this format.
    format_ = torch.channels_last if isinstance(layer, nn.ConvTranspose2d) else memory_format(precision)
    return outputs_first(layer, layer.weight.detach()).clone(memory_format=format_)


def as_matrix(weight: Float[Tensor, "o c k l"]) -> Float[Tensor, "o ckl"]:
    """View a weight as the matrix whose largest singular value is its spectral norm; columns in memory's order."""
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return (weight.permute(0, 2, 3, 1) if channels_last else weight).view(len(weight), -1)


def unit_vector(length: int, random: torch.Generator) -> Float[Tensor, " n"]:
    """Draw a random direction."""
    return F.normalize(torch.randn(length, device=random.device, generator=random), dim=0)
