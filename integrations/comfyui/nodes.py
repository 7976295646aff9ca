"""The nodes: one loads a model, the other draws pictures by seed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import handful
from handful.sampling.model_files import find_weights

MODEL = "HANDFUL_MODEL"
"""Type of the link between the nodes."""

MAX_SEED, MAX_COUNT = 2**53 - 1 - 4096, 4096
"""The largest seed and batch. ComfyUI's pages hold numbers as JavaScript does: exact below 2^53."""


class LoadModel:
    """Loads a model of handful."""

    CATEGORY = "handful"
    DESCRIPTION = "Loads a model of handful from this machine or from the Hub."
    RETURN_TYPES = (MODEL,)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return the inputs, as ComfyUI asks for them."""
        source = {
            "default": "runs/photos",
            "tooltip": "A run folder, a model folder, a .safetensors file or hf:owner/name",
        }
        return {"required": {"source": ("STRING", source), "device": (["auto", "cpu", "cuda", "mps"],)}}

    @classmethod
    def IS_CHANGED(cls, source: str, device: str) -> int | str:
        """Return what changes with the model; a run that trains replaces it."""
        path = find_weights(Path(source))
        return source if path is None else path.stat().st_mtime_ns

    def load(self, source: str, device: str) -> tuple[handful.Model]:
        """Load the model."""
        return (handful.load(source, device),)


class DrawPictures:
    """Draws a batch of pictures from a model of handful."""

    CATEGORY = "handful"
    DESCRIPTION = "Draws the pictures of a seed and of those after it, as handful generate does."
    RETURN_TYPES = ("IMAGE", "MASK")
    RETURN_NAMES = ("images", "masks")
    FUNCTION = "draw"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return the inputs, as ComfyUI asks for them."""
        truncation = {
            "default": 1.0,
            "min": 0.0,
            "max": 1.0,
            "step": 0.01,
            "tooltip": "Below 1 pictures are cleaner and more alike",
        }
        return {
            "required": {
                "model": (MODEL,),
                "seed": ("INT", {"default": 0, "min": 0, "max": MAX_SEED, "control_after_generate": True}),
                "count": ("INT", {"default": 1, "min": 1, "max": MAX_COUNT}),
                "truncation": ("FLOAT", truncation),
            },
            "optional": {
                "class_name": ("STRING", {"default": "", "tooltip": "Empty: all classes in turn, seed by seed"}),
            },
        }

    def draw(
        self, model: handful.Model, seed: int, count: int, truncation: float, class_name: str = ""
    ) -> tuple[Tensor, Tensor]:
        """Return images [b h w 3] in [0, 1], and masks [b h w] that are 1 where a picture is transparent."""
        pictures = model.images(range(seed, seed + count), class_name=class_name or None, truncation=truncation)
        return images_and_masks(pictures)


def images_and_masks(pictures: Iterable[Image.Image]) -> tuple[Tensor, Tensor]:
    """Return pictures as ComfyUI has them: colours, and masks that are 1 - alpha."""
    values = torch.from_numpy(np.stack([np.asarray(picture.convert("RGBA")) for picture in pictures])).float() / 255
    return values[..., :3], 1 - values[..., 3]
