"""Moving latents along directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from handful.errors import UsageError
from handful.sampling.latents import ENDING, Latents, chosen, read_tensors, write_tensors
from handful.sampling.model import Model

FORMAT = "handful directions 1"


@final
@dataclass(frozen=True)
class Directions:
    """Directions in the latent space of a model, on the CPU."""

    vectors: Float[Tensor, "n z"]
    """Of length 1, so that a strength is in standard deviations of latents."""
    names: tuple[str, ...]
    measures: tuple[float, ...]
    """How many times as far as a random direction it moves what it was found in; or, from examples, the share of the
    scores' variance that it tells of examples left out: below 0 it tells less than their mean."""

    def pick(self, place: int) -> Directions:
        """Give one of them."""
        return Directions(self.vectors[place : place + 1], (self.names[place],), (self.measures[place],))

    def save(self, path: Path | str, model: Model) -> None:
        """Write a file of directions, whole or not at all."""
        tensors = {"vectors": self.vectors, "measures": torch.tensor(self.measures)}
        write_tensors(Path(path), tensors, FORMAT, model, self.names)


def load_directions(path: Path | str, model: Model) -> Directions:
    """Read a file of directions.

    Raises:
        UsageError: as ``load_latents``.
    """
    tensors, names = read_tensors(Path(path), FORMAT, model, "a file of directions")
    return Directions(tensors["vectors"], names, tuple(tensors["measures"].tolist()))


def moved(latents: Latents, vector: Float[Tensor, " z"], strength: float) -> Latents:
    """Move points along a direction, and keep their latents as long as they were; 0 leaves them, bit for bit.

    Noise and classes stay. The strength is in standard deviations of latents: 3 goes far, 10 to where all are alike.

    Raises:
        UsageError: if the strength is not a finite number.
    """
    if not math.isfinite(strength):
        raise UsageError(f"strength {strength}: must be a number, such as 2 or -1.5")
    if strength == 0:
        return latents
    z = latents.z + strength * vector
    z = z * (latents.z.norm(dim=1, keepdim=True) / z.norm(dim=1, keepdim=True).clamp(min=1e-12))
    return Latents(z, latents.noise, latents.labels, latents.names)


def along(latents: Latents, moves: Sequence[str], model: Model) -> Latents:
    """Move points along directions, each told as ``FILE=STRENGTH`` or ``FILE:NAME=STRENGTH``.

    Raises:
        UsageError: if one cannot be read, or as ``load_directions``.
    """
    step = torch.zeros(model.config.latent)
    for text in moves:
        place, _, strength = text.rpartition("=")
        times = number(strength)
        if not place or times is None:
            raise UsageError(f"--along {text}: must be FILE{ENDING}:NAME=STRENGTH, as in smile{ENDING}=2")
        step += times * direction(place, model)
    return moved(latents, step, 1.0) if step.any() else latents


def number(text: str) -> float | None:
    """Read a finite number; None if the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def direction(text: str, model: Model) -> Float[Tensor, " z"]:
    """Read the one direction of a file, or that of ``FILE:NAME``."""
    stem, _, name = text.partition(f"{ENDING}:")
    found = load_directions(stem + ENDING if name else text, model)
    if not name and len(found.names) > 1:
        raise UsageError(f"{text}: holds {len(found.names)} directions; say which, as in {text}:{found.names[0]}")
    return found.vectors[chosen(found.names, name, text)[0] if name else 0]
