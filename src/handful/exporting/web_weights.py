"""The weights of a model as the web page's generator reads them: one array, in the order of its inner loop."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, cast, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handful.networks.folded import FoldedConv, FoldedGenerator
from handful.networks.generator import GATES
from handful.networks.layers import ClassModulation, Excitation
from handful.sampling.model import Model

Tap = tuple[int, int]
"""Rows and columns from an output pixel to the input pixel that a weight applies to."""

SQUARE: list[Tap] = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]

UPSAMPLED = {0: ((1, 0), (3, -1)), 1: ((2, 0), (0, 1))}
"""For even and odd outputs of a transposed 4x4 convolution: rows of the kernel, and which input they apply to."""


@final
class Weights:
    """Collects arrays and remembers where each one lies."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.count = 0

    def add(self, values: Tensor) -> list[int]:
        """Add numbers; return where they start and how many they are."""
        array = values.detach().cpu().float().contiguous().numpy().ravel()
        self.arrays.append(array)
        self.count += array.size
        return [self.count - array.size, array.size]

    def packed(self) -> str:
        """Return all numbers as base64: little-endian float32, first bytes first, compressed by zlib."""
        numbers = np.concatenate(self.arrays).astype("<f4")
        return base64.b64encode(zlib.compress(numbers.view(np.uint8).reshape(-1, 4).T.tobytes(), 9)).decode()


def describe(model: Model, weights: Weights) -> dict[str, Any]:
    """Add a model's numbers to ``weights`` and return what its layers are."""
    folded, truncation, config = model.folded, model.truncation, model.config
    labels: Sequence[int | None] = range(len(config.classes)) if config.classes else [None]
    means = [truncation.mean_gates(label) for label in labels]
    (height, width), wide = folded.first.base, folded.first.weight.shape[1]
    layers = list(describe_layers(folded, weights, height, width))
    return {
        "first": {
            "channels": wide // (2 * height * width),
            "height": height,
            "width": width,
            "weight": weights.add(folded.first.weight),
            "bias": weights.add(folded.first.bias),
        },
        "layers": layers,
        "gates": {
            name: describe_gate(int(name), cast(Excitation, gate), torch.cat([mean[name] for mean in means]), weights)
            for name, gate in folded.gates.items()
        },
        "tables": {
            name: weights.add(cast(ClassModulation, table).table.weight) for name, table in folded.classes.items()
        },
        "pull": weights.add(truncation.pull),
        "channels": config.channels,
    }


def describe_layers(folded: FoldedGenerator, weights: Weights, height: int, width: int) -> Iterator[dict[str, Any]]:
    """Describe all convolutions, with the shape of their input; the first one's is given."""
    for name, block in folded.blocks.items():
        convolutions = [cast(FoldedConv, layer) for layer in block.children()]
        for index, layer in enumerate(convolutions):
            kernel = layer.weight.transpose(0, 1) if layer.upsamples else layer.weight
            yield shape_of(kernel, height, width) | {
                "phases": list(upsampling_phases(kernel, layer.bias, weights))
                if layer.upsamples
                else [pack(kernel.flatten(2), layer.bias, SQUARE, weights)],
                "strength": None if layer.strength is None else weights.add(layer.strength),
                "ends": int(name) if index == len(convolutions) - 1 else None,
            }
            if layer.upsamples:
                height, width = 2 * height, 2 * width
    kernel = folded.to_image.weight
    yield shape_of(kernel, height, width) | {
        "phases": [pack(kernel.flatten(2), torch.zeros(len(kernel)), SQUARE, weights)]
    }


def shape_of(kernel: Tensor, height: int, width: int) -> dict[str, int]:
    """Return the shape of a convolution, its input's height and width included."""
    return {"outputs": kernel.shape[0], "channels": kernel.shape[1], "height": height, "width": width}


def upsampling_phases(kernel: Float[Tensor, "o i 4 4"], bias: Tensor, weights: Weights) -> Iterator[dict[str, Any]]:
    """Pack a transposed convolution of stride 2 as four convolutions, one for even and odd rows and columns each."""
    for rows in UPSAMPLED.values():
        for columns in UPSAMPLED.values():
            parts = [(kernel[:, :, row, column], (y, x)) for row, y in rows for column, x in columns]
            yield pack(torch.stack([part for part, _ in parts], dim=2), bias, [tap for _, tap in parts], weights)


def pack(
    kernel: Float[Tensor, "o i t"], bias: Float[Tensor, " o"], taps: list[Tap], weights: Weights
) -> dict[str, Any]:
    """Pack weights four outputs at a time: their biases, then for each input and tap their weights."""
    outputs, inputs, _ = kernel.shape
    missing = -outputs % 4
    kernel = torch.cat([kernel, kernel.new_zeros(missing, inputs, len(taps))])
    bias = torch.cat([bias, bias.new_zeros(missing)])
    blocks = kernel.reshape(-1, 4, inputs * len(taps)).transpose(1, 2).flatten(1)
    start, _ = weights.add(torch.cat([bias.reshape(-1, 4), blocks], dim=1))
    return {"start": start, "taps": taps}


def describe_gate(size: int, gate: Excitation, means: Tensor, weights: Weights) -> dict[str, Any]:
    """Describe the gate of the map of a nominal size."""
    return {
        "source": GATES[size],
        "factor": GATES[size] // 4,
        "outputs": gate.excite.weight.shape[0],
        "squeeze": weights.add(gate.squeeze.weight),
        "excite": weights.add(gate.excite.weight),
        "mean": weights.add(means.flatten(1)),
    }
