"""Draw pictures from an ONNX file of handful with NumPy and onnxruntime alone: copy this file beside your own code."""

import json
import os
from typing import Any

import numpy as np

BLOCK = 16
"""Numbers that PyTorch turns into normal ones at once."""


class Drawing:
    """An ONNX file that draws by seed. A seed is that of ``handful generate``.

    Args:
        path: A file of ``handful export`` with uint8 output.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
        about = self.session.get_modelmeta().custom_metadata_map
        if about.get("output") != "uint8":
            raise ValueError(f"{path}: must be a file of handful export with --output uint8")
        self.classes: list[str] = json.loads(about["classes"])
        self.shapes = {entry.name: entry.shape[1:] for entry in self.session.get_inputs()}

    def __call__(self, seed: int, truncation: float = 1.0, class_name: str | None = None) -> np.ndarray:
        """Return the picture of a seed: bytes [height, width, channels], RGBA with straight alpha."""
        picture: np.ndarray = self.session.run(None, self.inputs(seed, truncation, class_name))[0][0]
        return picture

    def inputs(self, seed: int, truncation: float = 1.0, class_name: str | None = None) -> dict[str, np.ndarray]:
        """Return the inputs of the ONNX file for a seed. Default of the class: all in turn, seed by seed."""
        random = np.random.RandomState(stream_of(seed))
        latents = [name for name in self.shapes if name == "latent" or name.startswith("noise_")]
        drawn: dict[str, Any] = {name: normal(random, self.shapes[name])[None] for name in latents}
        if self.classes:
            number = seed % len(self.classes) if class_name is None else self.classes.index(class_name)
            drawn["label"] = np.eye(len(self.classes), dtype=np.float32)[[number]]
        return drawn | {"truncation": np.array([truncation], np.float32)}


def stream_of(seed: int) -> int:
    """Return the seed of the Mersenne Twister that a picture is drawn with."""
    return int(np.random.SeedSequence((1, seed)).generate_state(1, np.uint64)[0]) & 0xFFFFFFFF


def normal(random: np.random.RandomState, shape: list[int]) -> np.ndarray:
    """Return the numbers that ``torch.randn`` draws on a CPU, but for rounding."""
    count = int(np.prod(shape))
    if count < BLOCK:
        return few(random, count).reshape(shape)
    values = uniform(random, count)
    whole = count - count % BLOCK
    values[:whole] = box_muller(values[:whole])
    if whole < count:  # PyTorch draws the last block once more
        values[-BLOCK:] = box_muller(uniform(random, BLOCK))
    return values.reshape(shape)


def uniform(random: np.random.RandomState, count: int) -> np.ndarray:
    """Return numbers of 24 bits in [0, 1)."""
    bits = random.randint(0, 2**32, count, dtype=np.uint32) & 0xFFFFFF
    return bits.astype(np.float32) / np.float32(2**24)


def box_muller(values: np.ndarray) -> np.ndarray:
    """Turn blocks of uniform numbers into normal ones: the first half of a block gives radii, the second angles."""
    first, second = np.split(values.reshape(-1, BLOCK).astype(np.float64), 2, axis=1)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), 2 * np.pi * second
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32).reshape(-1)


def few(random: np.random.RandomState, count: int) -> np.ndarray:
    """Return fewer than 16 normal numbers, which PyTorch draws in pairs and in double precision."""
    high, low = random.randint(0, 2**32, (2 * -(-count // 2), 2), dtype=np.uint32).astype(np.uint64).T
    angle, radius = (((high << 32 | low) & (2**53 - 1)) / 2.0**53).reshape(-1, 2).T
    length = np.sqrt(-2 * np.log1p(-radius))
    pairs = np.stack([length * np.cos(2 * np.pi * angle), length * np.sin(2 * np.pi * angle)], axis=1)
    return pairs.reshape(-1)[:count].astype(np.float32)
