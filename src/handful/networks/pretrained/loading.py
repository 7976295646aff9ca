"""Load the tensors of a weight file into a network."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from handful.errors import WeightsError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Load a file of named tensors to the CPU, without running code that it may contain.

    Raises:
        WeightsError: The file cannot be read, or contains something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"cannot read {path} as a PyTorch weight file: {error}. Replace the file.") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} does not hold a dictionary of tensors. Replace the file.")
    return dict(content)


def copy_tensors(parameters: dict[str, Tensor], values: dict[str, Tensor], path: Path) -> None:
    """Copy ``values``, read from ``path``, into the parameters of the same names.

    Raises:
        WeightsError: The names or the shapes differ.
    """
    missing, unknown = parameters.keys() - values.keys(), values.keys() - parameters.keys()
    if missing or unknown:
        raise WeightsError(
            f"{path} does not fit: missing {sorted(missing) or 'nothing'}, unexpected {sorted(unknown) or 'nothing'}. "
            "Replace the file."
        )
    for name, parameter in parameters.items():
        if values[name].shape != parameter.shape:
            raise WeightsError(
                f"{path} does not fit: {name} has shape {tuple(values[name].shape)}, not {tuple(parameter.shape)}. "
                "Replace the file."
            )
        parameter.copy_(values[name])


def without_classifier(values: dict[str, Tensor], classifier: str) -> dict[str, Tensor]:
    """Return the values without the layer of this name and BatchNorm's counters: features do not depend on them."""
    return {
        name: value
        for name, value in values.items()
        if not name.startswith(f"{classifier}.") and not name.endswith(".num_batches_tracked")
    }
