"""Model files: ``model.safetensors`` with weights and options, and ``config.json`` beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.files import replacing, write_json
from handful.records.layout import BEST, CONFIG, MODEL, SCORE, WEIGHTS

FORMAT = "handful generator 1"


def write_model(folder: Path, config: GeneratorConfig, weights: dict[str, Tensor]) -> None:
    """Write a model folder, as model hubs expect it. Its ``model.safetensors`` is enough to load it."""
    options = {"format": FORMAT} | dataclasses.asdict(config)
    weights = {name: value.contiguous().cpu() for name, value in weights.items()}
    with replacing(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"handful": json.dumps(options)})
    write_json(folder / CONFIG, options)


def read_model(path: Path, device: str) -> tuple[GeneratorConfig, dict[str, Tensor]]:
    """Read the options and the weights of a model file.

    Raises:
        UsageError: if it cannot be read, or is not one of ours.
    """
    try:
        with safe_open(path, framework="pt", device=device) as file:
            options = json.loads((file.metadata() or {}).get("handful", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UsageError(f"{path}: cannot be read as a safetensors file ({error}); it may be cut short") from error
    if options.pop("format", None) != FORMAT:
        raise UsageError(f"{path}: was not written by this version of handful (expected {FORMAT!r})")
    options["classes"] = tuple(options.get("classes", ()))
    return GeneratorConfig(**options), weights


def find_weights(source: Path) -> Path | None:
    """Return the weight file of a run folder (its best model, else its newest) or model folder, or the file itself."""
    folders = [source / MODEL, source]
    if (source / BEST / SCORE).is_file():  # written last, so the model beside it is complete
        folders.insert(0, source / BEST)
    candidates = [source] if source.is_file() else [folder / WEIGHTS for folder in folders]
    return next((path for path in candidates if path.is_file()), None)
