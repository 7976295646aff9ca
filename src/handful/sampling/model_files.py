"""Model files: ``model.safetensors`` with weights and options, and ``config.json`` beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from handful.compute.tensor_files import VERSION, Layout, layout_of, open_tensors, write_tensors
from handful.config.generator import GeneratorConfig
from handful.config.text import HUB
from handful.errors import UsageError
from handful.files import printable, replacing
from handful.networks.generator import Generator
from handful.records.layout import BEST, CONFIG, MODEL, SCORE, WEIGHTS
from handful.sampling.hub import fetch_weights

FORMAT = "handful generator"


def write_model(
    folder: Path, config: GeneratorConfig, weights: dict[str, Tensor], before: Callable[[], None] = lambda: None
) -> None:
    """Write a model folder, as model hubs expect it. Its ``model.safetensors`` is enough to load it.

    Calls ``before`` once all is written, just before it takes the place of what was there.
    """
    options = dataclasses.asdict(config)
    described = json.dumps({"format": f"{FORMAT} {VERSION}"} | options, indent=2) + "\n"
    with replacing(folder / CONFIG) as words, replacing(folder / WEIGHTS) as numbers:
        write_tensors(numbers, weights, FORMAT, options)
        words.write_text(described, encoding="utf-8")
        before()


def read_model(path: Path) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """Read the options and the weights of a model file. Nothing is loaded before the file's header fits the options.

    Raises:
        UsageError: if it cannot be read, is damaged, or is not one of ours.
    """
    with open_tensors(path, FORMAT, "a model") as file:
        try:
            config = GeneratorConfig.from_options(file.header)
        except UsageError as error:
            raise UsageError(f"{printable(path)}: {error}") from error
        file.require(layout_of_weights(config))
        return config, file.load()


def layout_of_weights(config: GeneratorConfig) -> Layout:
    """Return type and shape of each weight of a generator, without memory for them."""
    with torch.device("meta"):
        return layout_of(Generator(config).state_dict())


def find_weights(source: Path) -> Path | None:
    """Return the weight file of a run folder (its best model, else its newest) or model folder, or the file itself.

    That of a model of the Hub is downloaded; see ``fetch_weights``.
    """
    if str(source).startswith(HUB):
        return fetch_weights(str(source))
    folders = [source / MODEL, source]
    if (source / BEST / SCORE).is_file():  # written last, so the model beside it is complete
        folders.insert(0, source / BEST)
    candidates = [source] if source.is_file() else [folder / WEIGHTS for folder in folders]
    return next((path for path in candidates if path.is_file()), None)
