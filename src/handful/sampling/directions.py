"""Directions of the latent space: moving latents along them, and their files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from handful.config.checks import checked
from handful.errors import UsageError
from handful.sampling.latents import SUFFIX, Fingerprinted, Latents, find_name, open_own, write_own

FORMAT = "handful directions"


@final
@dataclass(frozen=True, repr=False)
class Directions:
    """Directions in the latent space of a model, on the CPU."""

    vectors: Float[Tensor, "n z"]
    """Unit vectors, so a strength counts standard deviations of latents."""
    names: tuple[str, ...]
    measures: tuple[float, ...]
    """How strong each direction is. Found without examples: its effect divided by that of a random direction, on what
    it was found in. From examples: the share of the scores' variance that it explains on held-out examples; below 0 it
    explains less than guessing the mean."""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        pairs = zip(self.names, self.measures, strict=True)
        return f"Directions({', '.join(f'{name}: {measure:.2f}' for name, measure in pairs)})"

    def pick(self, index: int) -> Directions:
        """Return one of them."""
        return Directions(self.vectors[index : index + 1], (self.names[index],), (self.measures[index],))

    def save(self, path: Path | str, model: Fingerprinted) -> None:
        """Write a file of directions, for ``load_directions`` and for ``--along``."""
        tensors = {"vectors": self.vectors, "measures": torch.tensor(self.measures)}
        write_own(Path(path), tensors, FORMAT, model, self.names)


@checked
def load_directions(path: Path | str, model: Fingerprinted) -> Directions:
    """Load a file of directions.

    Raises:
        UsageError: as ``load_latents``.
    """
    with open_own(Path(path), FORMAT, model, "a file of directions") as (file, names):
        count = len(names)
        file.require({"vectors": ("F32", (count, model.network.config.latent)), "measures": ("F32", (count,))})
        tensors = file.load()
    return Directions(tensors["vectors"], names, tuple(tensors["measures"].tolist()))


def move(latents: Latents, vector: Float[Tensor, " z"], strength: float) -> Latents:
    """Move latents along a direction and scale them back to their length. Strength 0 returns them unchanged.

    Noise and classes stay. The strength counts standard deviations of latents: 3 goes far, and at 10 all pictures are
    alike.

    Raises:
        UsageError: if the strength is not a finite number.
    """
    if not math.isfinite(strength):
        raise UsageError(f"--strength {strength}: must be a finite number, such as 2 or -1.5")
    if strength == 0:
        return latents
    z = latents.z + strength * vector
    z = z * (latents.z.norm(dim=1, keepdim=True) / z.norm(dim=1, keepdim=True).clamp(min=1e-12))
    return Latents(z, latents.noise, latents.labels, latents.names)


def move_along(latents: Latents, moves: Sequence[str], model: Fingerprinted) -> Latents:
    """Move latents along directions, each given as ``FILE=STRENGTH`` or ``FILE:NAME=STRENGTH``.

    Raises:
        UsageError: if one cannot be read, or as ``load_directions``.
    """
    step = torch.zeros(latents.z.shape[1])
    for text in moves:
        file, _, strength = text.rpartition("=")
        factor = parse_number(strength)
        if not file or factor is None:
            raise UsageError(f"--along {text}: must be FILE{SUFFIX}:NAME=STRENGTH, as in smile{SUFFIX}=2")
        step += factor * load_direction(file, model)
    return move(latents, step, 1.0) if step.any() else latents


def parse_number(text: str) -> float | None:
    """Parse a finite number; None if the text is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def load_direction(text: str, model: Fingerprinted) -> Float[Tensor, " z"]:
    """Load the only direction of a file, or the one that ``FILE:NAME`` names.

    Raises:
        UsageError: if the file has several and none is named, or as ``load_directions``.
    """
    stem, _, name = text.partition(f"{SUFFIX}:")
    directions = load_directions(stem + SUFFIX if name else text, model)
    if not name and len(directions) > 1:
        raise UsageError(f"{text}: has {len(directions)} directions; name one, as in {text}:{directions.names[0]}")
    return directions.vectors[find_name(directions.names, name, text)[0] if name else 0]
