"""Latents: all that pictures are drawn from, in memory and in latent files.

A latent file is a safetensors file with ``z``, ``noise.0`` and so on, and ``labels`` if the model has classes. Its
header holds names and the model's fingerprint, since another model draws other pictures from the same latents.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from handful.compute.tensor_files import TensorFile, open_tensors, write_tensors
from handful.config.checks import checked
from handful.config.text import parse_seeds
from handful.errors import UsageError
from handful.files import printable, replacing
from handful.networks.generator import Generator

FORMAT = "handful latents"

SUFFIX = ".safetensors"

SHOWN_NAMES = 8
"""Names in a ``repr``, at most."""


@runtime_checkable
class Fingerprinted(Protocol):
    """A model, as far as its files are concerned."""

    network: Generator

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
        write_own(Path(path), tensors, FORMAT, model, self.names)


Seeds = int | str | Sequence[int] | Latents
"""Which pictures: the first so many seeds, a text such as ``0-3,7,face.safetensors``, numbers, or latents."""


@checked
def load_latents(path: Path | str, model: Fingerprinted) -> Latents:
    """Load a latent file.

    Raises:
        UsageError: if it is missing, unreadable, not a latent file, or belongs to another model.
    """
    with open_own(Path(path), FORMAT, model, "a latent file") as (file, names):
        config, count = model.network.config, len(names)
        expected: dict[str, tuple[str, tuple[int, ...]]] = {"z": ("F32", (count, config.latent))}
        for site, shape in enumerate(model.network.noise_shapes):
            expected[f"noise.{site}"] = "F32", (count, 1, *shape)
        if config.classes:
            expected["labels"] = "I64", (count,)
        file.require(expected)
        tensors = file.load()
        labels = tensors.get("labels")
        if labels is not None and not ((labels >= 0) & (labels < len(config.classes))).all():
            file.fail(f"its labels are not from 0 to {len(config.classes) - 1}")
    noise = [tensors[f"noise.{site}"] for site in range(len(model.network.noise_shapes))]
    return Latents(tensors["z"], noise, labels, names)


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


def write_own(path: Path, tensors: dict[str, Tensor], format: str, model: Fingerprinted, names: Sequence[str]) -> None:
    """Write tensors that mean something to one model only, with a name for each row."""
    with replacing(path) as temporary:
        write_tensors(temporary, tensors, format, {"model": model.fingerprint, "names": names})


@contextmanager
def open_own(path: Path, format: str, model: Fingerprinted, kind: str) -> Iterator[tuple[TensorFile, tuple[str, ...]]]:
    """Open a file of ``write_own``; yield it and its names.

    Raises:
        UsageError: if it is missing, unreadable, of another kind, or belongs to another model.
    """
    with open_tensors(path, format, kind) as file:
        owner, names = file.header.get("model"), file.header.get("names")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            file.fail("its names are not a list of texts")
        if owner != model.fingerprint:
            raise UsageError(
                f"{printable(path)}: belongs to model {printable(str(owner))}, and this is model {model.fingerprint}. "
                "Another model, or the same run trained further, draws other pictures from it; give the model it was "
                "made with"
            )
        yield file, tuple(names)
