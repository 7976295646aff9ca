"""Latents: all that pictures are drawn from, in memory and in latent files.

A latent file is a safetensors file with ``z``, ``noise.0`` and so on, and ``labels`` if the model has classes. Its
header holds names and the model's fingerprint, since another model draws other pictures from the same latents.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handful.config.text import parse_seeds
from handful.errors import UsageError
from handful.files import replacing

FORMAT = "handful latents 1"

SUFFIX = ".safetensors"

SHOWN_NAMES = 8
"""Names in a ``repr``, at most."""


@runtime_checkable
class Fingerprinted(Protocol):
    """A model, as far as its files are concerned."""

    @property
    def fingerprint(self) -> str:
        """Digits that no other model has."""


@final
@dataclass(frozen=True, repr=False)
class Latents:
    """What n pictures are drawn from, on the CPU. ``Model.latents`` makes them."""

    z: Float[Tensor, "n z"]
    noise: list[Float[Tensor, "n 1 _ _"]]
    labels: Int64[Tensor, " n"] | None
    """The index of each picture's class; None for a model without classes."""
    names: tuple[str, ...]

    @classmethod
    def join(cls, parts: Sequence[Latents]) -> Latents:
        """Concatenate latents of one model."""
        labels = [part.labels for part in parts if part.labels is not None]
        return cls(
            torch.cat([part.z for part in parts]),
            [torch.cat(maps) for maps in zip(*(part.noise for part in parts), strict=True)],
            torch.cat(labels) if labels else None,
            tuple(name for part in parts for name in part.names),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        more = ", ..." if len(self) > SHOWN_NAMES else ""
        return f"Latents({len(self)} of {self.z.shape[1]} numbers: {', '.join(self.names[:SHOWN_NAMES])}{more})"

    def pick(self, indices: Sequence[int]) -> Latents:
        """Return the latents at these indices, in their order."""
        chosen = list(indices)
        labels = None if self.labels is None else self.labels[chosen]
        names = tuple(self.names[index] for index in chosen)
        return Latents(self.z[chosen], [maps[chosen] for maps in self.noise], labels, names)

    def renamed(self, names: Sequence[str]) -> Latents:
        """Return the same latents under other names."""
        return dataclasses.replace(self, names=tuple(names))

    def on(
        self, device: torch.device
    ) -> tuple[Float[Tensor, "n z"], list[Float[Tensor, "n 1 _ _"]], Int64[Tensor, " n"] | None]:
        """Return latents, noise maps and labels on a device, as ``Model.draw`` takes them."""
        labels = None if self.labels is None else self.labels.to(device)
        return self.z.to(device), [maps.to(device) for maps in self.noise], labels

    def save(self, path: Path | str, model: Fingerprinted) -> None:
        """Write a latent file, for ``load_latents`` and for ``--seeds``."""
        tensors = {"z": self.z} | {f"noise.{site}": maps for site, maps in enumerate(self.noise)}
        if self.labels is not None:
            tensors["labels"] = self.labels
        write_tensors(Path(path), tensors, FORMAT, model, self.names)


Seeds = int | str | Sequence[int] | Latents
"""Which pictures: the first so many seeds, a text such as ``0-3,7,face.safetensors``, numbers, or latents."""


def load_latents(path: Path | str, model: Fingerprinted) -> Latents:
    """Load a latent file.

    Raises:
        UsageError: if it is missing, unreadable, not a latent file, or belongs to another model.
    """
    tensors, names = read_tensors(Path(path), FORMAT, model, "a latent file")
    sites = sum(name.startswith("noise.") for name in tensors)
    noise = [tensors[f"noise.{site}"] for site in range(sites)]
    return Latents(tensors["z"], noise, tensors.get("labels"), names)


def load_named(text: str, model: Fingerprinted) -> Latents:
    """Load a latent file, or from ``file.safetensors:name`` only the latents of that name.

    Raises:
        UsageError: as ``load_latents``; or if the file has no such name.
    """
    stem, _, name = text.partition(f"{SUFFIX}:")
    if not name:
        return load_latents(text, model)
    latents = load_latents(stem + SUFFIX, model)
    return latents.pick(find_name(latents.names, name, text))


def find_name(names: Sequence[str], name: str, text: str) -> list[int]:
    """Return the indices of a name among those of a file; ``text`` is what the user asked for.

    Raises:
        UsageError: if it is not among them.
    """
    indices = [index for index, other in enumerate(names) if other == name]
    if not indices:
        raise UsageError(f"{text}: the file has no such name; it has {', '.join(names)}")
    return indices


def split_seeds(text: str, option: str = "--seeds") -> list[list[int] | str]:
    """Split ``0-3,7,face.safetensors`` at its commas into numbers and latent files, in order.

    Raises:
        UsageError: if a part is neither; the message begins with ``option``.
    """
    parts: list[list[int] | str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if SUFFIX in part:
            parts.append(part)
        elif re.fullmatch(r"[\d\s-]*", part):
            parts.append(parse_seeds(part, option))
        else:
            raise UsageError(
                f"{option} {text}: {part!r} is not a number, a range like 0-63, or a latent file ({SUFFIX})"
            )
    return parts


def write_tensors(
    path: Path, tensors: dict[str, Tensor], format: str, model: Fingerprinted, names: Sequence[str]
) -> None:
    """Write tensors that mean something to one model only."""
    header = {"format": format, "model": model.fingerprint, "names": names}
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"handful": json.dumps(header)})


def read_tensors(path: Path, format: str, model: Fingerprinted, kind: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Read tensors and names that ``write_tensors`` wrote.

    Raises:
        UsageError: if the file is missing, unreadable, of another kind, or belongs to another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("handful", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UsageError(f"{path}: does not exist; give {kind} that handful wrote") from error
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: cannot be read as {kind} ({error}); it may be cut short") from error
    if header.get("format") != format:
        raise UsageError(f"{path}: is not {kind} of this version of handful (expected {format!r})")
    if header["model"] != model.fingerprint:
        raise UsageError(
            f"{path}: belongs to model {header['model']}, and this is model {model.fingerprint}. Another model, or "
            "the same run trained further, draws other pictures from it; give the model it was made with"
        )
    return tensors, tuple(header["names"])
