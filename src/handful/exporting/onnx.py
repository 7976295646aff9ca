"""Write a model as an ONNX file, and compare what the file draws with PyTorch."""

from __future__ import annotations

import copy
import dataclasses
import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from handful.config.choices import ExportPrecision, OnnxOutput
from handful.config.sizes import spelled
from handful.errors import UsageError
from handful.exporting.graph import (
    IMAGE,
    IR_VERSION,
    LABEL,
    LATENT,
    NOISE,
    OPSET,
    PICTURE,
    TRUNCATION,
    Graph,
    add_bytes,
    add_generator,
)
from handful.files import printable, replacing
from handful.images.grid import to_bytes, to_image
from handful.progress import advance, note, working
from handful.sampling.latents import Latents
from handful.sampling.model import Model

FORMAT = "handful onnx 1"

COMPARED_SEEDS = 16

TRUNCATIONS = (1.0, 0.5)
"""Truncations that the comparison draws with. Below 1 it draws every fourth seed, and mixes classes."""

MOST_DIFFERENCE = 1e-5
"""Largest difference that fp32 may have from PyTorch, of images in [-1, 1]."""

MOST_LEVELS, MOST_CHANGED = 1, 0.02
"""Grey levels by which fp16 may differ from PyTorch, and the share of bytes that may."""

SHOWN_SHARE = 1e-4

BATCHES = {TRUNCATIONS[0]: 4, TRUNCATIONS[1]: 2}
"""Images that the comparison draws at once, so that it sees whether the batch size is free."""


@final
@dataclasses.dataclass(frozen=True)
class Difference:
    """How far an ONNX file's images are from PyTorch's."""

    largest: float
    """Largest difference of images in [-1, 1]."""
    levels: int
    """Largest difference of bytes."""
    changed: float
    """Share of bytes that differ."""

    def __str__(self) -> str:
        share = f"{self.changed:.2%}" if self.changed >= SHOWN_SHARE or not self.changed else f"under {SHOWN_SHARE:.2%}"
        return f"{self.largest:.1e} in [-1, 1]; {share} of bytes, by at most {self.levels} of 256"

    def within(self, precision: ExportPrecision) -> bool:
        """Return whether it is within the bound of a precision."""
        if precision == "fp16":
            return self.levels <= MOST_LEVELS and self.changed <= MOST_CHANGED
        return self.largest <= MOST_DIFFERENCE


def write_onnx(
    model: Model,
    path: Path,
    precision: ExportPrecision = "fp32",
    output: OnnxOutput = "uint8",
    license: str | None = None,
) -> Difference:
    """Write a model as an ONNX file, unless it draws other pictures than PyTorch does.

    The file holds the folded generator with truncation: docs/export.md lists its inputs, outputs and metadata. An
    existing file is replaced once the new one has passed the comparison.

    Args:
        model: The model; a copy on the CPU in float32 is what the file is compared with.
        path: The file.
        precision: What large kernels are stored in. Both are computed with in float32.
        output: uint8: straight alpha, [b h w c]. float: [-1, 1], premultiplied alpha, [b c h w].
        license: Licence of the training images, for the metadata.

    Raises:
        UsageError: if a package is missing, or the file's pictures differ by more than the bound of the precision.
        StorageError: if the file cannot be written.
    """
    onnx = require_package("onnx")
    require_package("onnxruntime")
    reference = on_cpu(model)
    content = build(reference, precision, output, license)
    with replacing(path) as temporary:
        onnx.save(content, temporary)
        difference = compare(temporary, reference)
        if not difference.within(precision):
            remedy = "; use --precision fp32" if precision == "fp16" else ""
            raise UsageError(f"{printable(path)}: not written, since it differs from PyTorch by {difference}{remedy}")
    note(f"compared with PyTorch on {COMPARED_SEEDS} seeds: differs by {difference}")
    return difference


def require_package(name: str) -> Any:  # noqa: ANN401
    """Return a package of the extra ``export``.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"export: needs {error.name}; pip install 'handful[export]'") from None


def on_cpu(model: Model) -> Model:
    """Return the model itself if it draws in float32 on the CPU, else a copy that does."""
    if (model.device.type, model.precision, model.compile) == ("cpu", "fp32", False):
        return model
    return Model(copy.deepcopy(model.network).cpu(), source=model.source)


def build(model: Model, precision: ExportPrecision, output: OnnxOutput, license: str | None) -> Any:  # noqa: ANN401
    """Return a model as an ``onnx.ModelProto``."""
    from onnx import TensorProto, checker, helper

    config = model.config
    with working("measuring what truncation needs"):
        truncation = model.truncation
    for label in range(len(config.classes)):
        truncation.mean_gates(label)
        advance("measuring the classes", label + 1, len(config.classes))
    graph = Graph(half=precision == "fp16")
    add_generator(graph, model.folded, truncation)
    shape: list[Any] = ["batch", config.channels, *config.shape]
    result = helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, shape)
    if output == "uint8":
        add_bytes(graph, config.channels)
        result = helper.make_tensor_value_info(PICTURE, TensorProto.UINT8, ["batch", *config.shape, config.channels])
    content = helper.make_model(
        helper.make_graph(graph.nodes, "generator", inputs_of(model), [result], graph.constants),
        producer_name="handful",
        producer_version=version("handful"),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(content, metadata_of(model, precision, output, license))
    checker.check_model(content, full_check=True)
    return content


def inputs_of(model: Model) -> list[Any]:
    """Return the inputs of a model's graph."""
    from onnx import TensorProto, helper

    shapes: dict[str, list[Any]] = {LATENT: ["batch", model.config.latent]}
    for index, (height, width) in enumerate(model.network.noise_shapes):
        shapes[NOISE.format(index)] = ["batch", 1, height, width]
    if model.config.classes:
        shapes[LABEL] = ["batch", len(model.config.classes)]
    shapes[TRUNCATION] = [1]
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


def metadata_of(model: Model, precision: ExportPrecision, output: OnnxOutput, license: str | None) -> dict[str, str]:
    """Return what the file says about itself, as texts."""
    return {
        "format": FORMAT,
        "handful": version("handful"),
        "fingerprint": model.fingerprint,
        "size": spelled(model.config.shape),
        "channels": str(model.config.channels),
        "classes": json.dumps(model.config.classes),
        "precision": precision,
        "output": output,
    } | ({} if license is None else {"license": license})


def compare(path: Path, model: Model) -> Difference:
    """Compare what an ONNX file draws with what a model draws, on fixed seeds.

    Raises:
        UsageError: if the file's bytes are not those of its own floats, which no model causes.
    """
    session = open_session(path)
    largest, levels, changed, total = 0.0, 0, 0, 0
    for truncation in TRUNCATIONS:
        seeds = range(0, COMPARED_SEEDS, 1 if truncation == 1 else 4)
        size = BATCHES[truncation]
        for start in range(0, len(seeds), size):
            latents = model.latents(list(seeds[start : start + size]))
            shares = shares_of(latents, len(model.config.classes), mixed=truncation < 1)
            own = model.draw(latents.z, latents.noise, shares, truncation)
            image, *bytes = session.run(None, feed(latents, shares, truncation))
            drawn = torch.from_numpy(image)
            if bytes and not np.array_equal(bytes[0], straight_bytes(drawn)):
                raise UsageError(f"{printable(path)}: onnxruntime rounds in another way; please report this")
            far = (to_bytes(drawn).int() - to_bytes(own).int()).abs()
            largest = max(largest, float((drawn - own).abs().nan_to_num(nan=torch.inf).max()))
            levels, changed = max(levels, int(far.max())), changed + int(far.count_nonzero())
            total += far.numel()
    return Difference(largest, levels, changed / total)


def open_session(path: Path) -> Any:  # noqa: ANN401
    """Open an ONNX file with ``image`` as its first output."""
    import onnx
    import onnxruntime

    content = onnx.load(path)
    if content.graph.output[0].name != IMAGE:
        shape = ["batch", *(None,) * 3]
        content.graph.output.insert(0, onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, shape))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(content.SerializeToString(), options, providers=["CPUExecutionProvider"])


def shares_of(latents: Latents, classes: int, mixed: bool) -> Float[Tensor, "b k"] | None:
    """Return the share of every class that each image has: its own class, or that and the next one in halves."""
    if latents.labels is None:
        return None
    shares = F.one_hot(latents.labels, classes).float()
    return (shares + shares.roll(1, dims=1)) / 2 if mixed else shares


def feed(latents: Latents, shares: Float[Tensor, "b k"] | None, truncation: float) -> dict[str, Any]:
    """Return the inputs of a graph by name."""
    inputs = {LATENT: latents.z} | {NOISE.format(index): maps for index, maps in enumerate(latents.noise)}
    if shares is not None:
        inputs[LABEL] = shares
    return {name: value.numpy() for name, value in inputs.items()} | {TRUNCATION: np.array([truncation], np.float32)}


def straight_bytes(images: Float[Tensor, "b c h w"]) -> UInt8[np.ndarray, "b h w c"]:
    """Return images as Pillow writes them: bytes with straight alpha, channels last."""
    pictures = [np.asarray(to_image(image)) for image in to_bytes(images)]
    return np.stack(pictures).reshape(len(pictures), *images.shape[2:], images.shape[1])
