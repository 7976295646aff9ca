"""The folded generator as an ONNX graph, with truncation and the step to bytes.

The graph is built node by node instead of being traced. Its operators are plain and few, names are stable, the batch
size is free, and neither ``torch.onnx`` nor ``onnxscript`` is needed. ``exporting.onnx`` compares each graph with
PyTorch, so a network that grows a layer cannot leave this file behind unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from handful.networks.folded import FoldedConv, FoldedGenerator
from handful.networks.generator import GATES
from handful.networks.layers import ClassModulation, Excitation
from handful.sampling.truncation import Truncation

OPSET, IR_VERSION = 15, 8
"""Nothing newer is needed, and Unity's inference engine reads up to opset 15 in its older versions."""

LATENT, NOISE, LABEL, TRUNCATION = "latent", "noise_{}", "label", "truncation"
"""Names of the inputs."""

IMAGE, PICTURE = "image", "picture"
"""Names of the outputs: floats [b c h w] in [-1, 1], and bytes [b h w c]."""

MIN_HALVED = 20_000
"""Numbers from which on a kernel is stored in half precision. The small ones save little and count most."""


@final
class Graph:
    """Collects the nodes and constants of an ONNX graph.

    Args:
        half: Whether large kernels are stored in half precision. They are computed with in float32.
    """

    def __init__(self, half: bool = False) -> None:
        self.half = half
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.numbers = count()

    def add(self, operator: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:  # noqa: ANN401
        """Add a node; return the name of its output, or a list of names if it has several."""
        from onnx import helper

        stem = f"{operator.lower()}_{next(self.numbers)}"
        names = [name or stem] if outputs == 1 else [f"{stem}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name or stem, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values: Tensor | np.ndarray, name: str | None = None) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        name = name or f"constant_{next(self.numbers)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def kernel(self, values: Tensor, name: str) -> str:
        """Add the weights of a layer and return the name of their float32 form."""
        if not self.half or values.numel() < MIN_HALVED:
            return self.constant(values, name)
        from onnx import TensorProto

        return str(self.add("Cast", self.constant(values.half(), f"{name}.half"), name=name, to=TensorProto.FLOAT))

    def number(self, value: float) -> str:
        """Add a float32 constant of one number and return its name."""
        return self.constant(np.array([value], np.float32))

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape to ``shape``, whose -1 is the batch."""
        return str(self.add("Reshape", x, self.constant(np.array(shape, np.int64))))


def add_generator(graph: Graph, folded: FoldedGenerator, truncation: Truncation) -> None:
    """Add everything from the inputs to the output ``image``.

    Truncation 1 leaves latents and gates as they are, bit for bit; below 1 it is that of ``Truncation``.
    """
    modulate: Callable[[str, int], str] = (
        partial(add_classes, graph, folded.classes) if folded.classes else lambda x, _: x
    )
    base = folded.first.base
    x = add_product(graph, add_truncated_latent(graph, truncation), folded.first.weight, folded.first.bias, "first")
    x = modulate(add_glu(graph, graph.reshape(x, -1, folded.first.weight.shape[1] // (base[0] * base[1]), *base)), 4)
    classes = count_classes(folded)
    maps = {4: x}
    noise = iter(range(len(folded.noise_shapes)))
    for name, block in folded.blocks.items():
        for index, layer in enumerate(block.children()):
            x = add_convolution(graph, x, cast(FoldedConv, layer), noise, f"blocks.{name}.{index}")
        x = modulate(x, int(name))
        if name in folded.gates:
            source = maps[GATES[int(name)]]
            own = add_gate(graph, source, cast(Excitation, folded.gates[name]), GATES[int(name)] // 4, f"gates.{name}")
            x = graph.add("Mul", x, add_truncated_gate(graph, own, truncation, name, classes))
        maps[int(name)] = x
    x = graph.add("Conv", x, graph.kernel(folded.to_image.weight, "to_image"), pads=[1, 1, 1, 1])
    graph.add("Tanh", x, name=IMAGE)


def count_classes(folded: FoldedGenerator) -> int:
    """Return the number of classes of a generator; 0 without classes."""
    return next((table.shape[0] for table in folded.classes.parameters()), 0)


def add_product(graph: Graph, x: str, weight: Tensor, bias: Tensor, name: str) -> str:
    """Add a matrix product with a bias."""
    return str(graph.add("Gemm", x, graph.kernel(weight, name), graph.constant(bias, f"{name}.bias")))


def add_glu(graph: Graph, x: str) -> str:
    """Add the gate of ``layers.glu``."""
    value, gate = graph.add("Split", x, outputs=2, axis=1)
    return str(graph.add("Mul", value, graph.add("Sigmoid", gate)))


def add_convolution(graph: Graph, x: str, layer: FoldedConv, noise: Iterator[int], name: str) -> str:
    """Add a ``FoldedConv``, which takes the next noise map if it needs one."""
    operator, strides = ("ConvTranspose", [2, 2]) if layer.upsamples else ("Conv", [1, 1])
    x = graph.add(
        operator,
        x,
        graph.kernel(layer.weight, name),
        graph.constant(layer.bias, f"{name}.bias"),
        pads=[1] * 4,
        strides=strides,
    )
    if layer.strength is not None:
        strength = graph.constant(layer.strength, f"{name}.strength")
        x = graph.add("Add", x, graph.add("Mul", NOISE.format(next(noise)), strength))
    return add_glu(graph, x)


def add_classes(graph: Graph, classes: nn.ModuleDict, x: str, size: int) -> str:
    """Add the modulation of a map by shares of classes."""
    table = cast(ClassModulation, classes[str(size)]).table.weight
    rows = graph.add("MatMul", LABEL, graph.kernel(table, f"classes.{size}"))
    scale, shift = graph.add("Split", graph.reshape(rows, -1, table.shape[1], 1, 1), outputs=2, axis=1)
    return str(graph.add("Add", graph.add("Mul", x, graph.add("Add", scale, graph.number(1.0))), shift))


def add_gate(graph: Graph, source: str, gate: Excitation, factor: int, name: str) -> str:
    """Add the gates [b c 1 1] that a low map sets, shrunk by ``factor`` to the base."""
    if factor > 1:
        source = graph.add("AveragePool", source, kernel_shape=[factor] * 2, strides=[factor] * 2)
    x = graph.add("Conv", source, graph.kernel(gate.squeeze.weight, f"{name}.squeeze"))
    x = graph.add("Mul", x, graph.add("Sigmoid", x))
    return str(graph.add("Sigmoid", graph.add("Conv", x, graph.kernel(gate.excite.weight, f"{name}.excite"))))


def add_truncated_latent(graph: Graph, truncation: Truncation) -> str:
    """Add ``Truncation.latents``."""
    pulled = graph.add("MatMul", LATENT, graph.constant(truncation.pull.float(), "pull"))
    inner = graph.add("Sub", LATENT, graph.add("Mul", graph.add("Sub", graph.number(1.0), TRUNCATION), pulled))
    lengths = [graph.add("ReduceL2", x, axes=[1], keepdims=1) for x in (inner, LATENT)]
    unit = graph.add("Div", inner, graph.add("Max", lengths[0], graph.number(1e-12)))
    untouched = graph.add("Equal", TRUNCATION, graph.number(1.0))
    return str(graph.add("Where", untouched, LATENT, graph.add("Mul", unit, lengths[1])))


def add_truncated_gate(graph: Graph, own: str, truncation: Truncation, name: str, classes: int) -> str:
    """Add the move of gates towards their mean; written so that truncation 1 changes nothing."""
    means = [truncation.mean_gates(label)[name] for label in (range(classes) if classes else [None])]
    mean = graph.constant(torch.cat(means).flatten(1) if classes else means[0], f"gates.{name}.mean")
    if classes:
        mean = graph.reshape(graph.add("MatMul", LABEL, mean), -1, means[0].shape[1], 1, 1)
    away = graph.add("Mul", graph.add("Sub", own, mean), graph.add("Sub", graph.number(1.0), TRUNCATION))
    return str(graph.add("Sub", own, away))


def add_bytes(graph: Graph, channels: int) -> None:
    """Add the step from ``image`` to ``picture``: rounding as ``to_bytes``, straight alpha as Pillow computes it."""
    from onnx import TensorProto

    x = graph.add("Mul", graph.add("Add", IMAGE, graph.number(1.0)), graph.number(127.5))
    limits = [graph.constant(np.array(limit, np.float32)) for limit in (0, 255)]
    x = graph.add("Clip", graph.add("Round", x), *limits)
    x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    if channels == 4:
        full = graph.constant(np.array([255], np.int32))
        colours, alpha = graph.add(
            "Split", graph.add("Cast", x, to=TensorProto.INT32), graph.constant(np.array([3, 1])), outputs=2, axis=3
        )
        clear = graph.add("Equal", alpha, graph.constant(np.array([0], np.int32)))
        divided = graph.add("Div", graph.add("Mul", colours, full), graph.add("Where", clear, full, alpha))
        x = graph.add("Concat", graph.add("Min", divided, full), alpha, axis=3)
    graph.add("Cast", x, name=PICTURE, to=TensorProto.UINT8)
