"""Points of a latent space: all that a picture is drawn from, and latent files, which keep them.

A latent file is a safetensors file: ``z``, ``noise.0`` and so on, ``labels`` where the model has classes; names and the
model's fingerprint stand in its header. It means nothing to another model, nor to the same one trained further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handful.config.text import parse_seeds
from handful.errors import UsageError
from handful.files import replacing
from handful.networks import latent
from handful.sampling.model import ClassName, Model

FORMAT = "handful latents 1"


ENDING = ".safetensors"


@final
@dataclass(frozen=True)
class Latents:
    """What pictures are drawn from, on the CPU: a latent, noise maps, a class where there are some, and a name each."""

    z: Float[Tensor, "n z"]
    noise: list[Float[Tensor, "n 1 _ _"]]
    labels: Int64[Tensor, " n"] | None
    names: tuple[str, ...]

    @classmethod
    def of_seeds(cls, model: Model, seeds: Sequence[int], class_name: ClassName = None) -> Latents:
        """Give the points of seeds, each named by its number; ``of`` is a class, see ``Model.sample``.

        Raises:
            UsageError: as ``Model.sample``.
        """
        latent.check_seeds(seeds)
        labels = model.labels(seeds, class_name)
        z, noise = latent.from_seeds(seeds, model.config.latent, model.network.noise_shapes, torch.device("cpu"))
        return cls(z, noise, None if labels is None else labels.cpu(), tuple(str(seed) for seed in seeds))

    @classmethod
    def join(cls, parts: Sequence[Latents]) -> Latents:
        """Put points of one model together, in order."""
        labels = [part.labels for part in parts if part.labels is not None]
        return cls(
            torch.cat([part.z for part in parts]),
            [torch.cat(maps) for maps in zip(*(part.noise for part in parts), strict=True)],
            torch.cat(labels) if labels else None,
            tuple(name for part in parts for name in part.names),
        )

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, places: Sequence[int]) -> Latents:
        """Give the points at these places, in their order."""
        chosen = list(places)
        labels = None if self.labels is None else self.labels[chosen]
        names = tuple(self.names[place] for place in chosen)
        return Latents(self.z[chosen], [maps[chosen] for maps in self.noise], labels, names)

    def on(
        self, device: torch.device
    ) -> tuple[Float[Tensor, "n z"], list[Float[Tensor, "n 1 _ _"]], Int64[Tensor, " n"] | None]:
        """Give latents, noise and classes on a device, as ``Model.draw`` takes them."""
        labels = None if self.labels is None else self.labels.to(device)
        return self.z.to(device), [maps.to(device) for maps in self.noise], labels

    def save(self, path: Path | str, model: Model) -> None:
        """Write a latent file, whole or not at all, for ``load_latents`` and for ``--seeds``."""
        tensors = {"z": self.z} | {f"noise.{site}": maps for site, maps in enumerate(self.noise)}
        if self.labels is not None:
            tensors["labels"] = self.labels
        write_tensors(Path(path), tensors, FORMAT, model, self.names)


def load_latents(path: Path | str, model: Model) -> Latents:
    """Read a latent file.

    Raises:
        UsageError: if it is not there, cannot be read, is no latent file, or was made with another model.
    """
    tensors, names = read_tensors(Path(path), FORMAT, model, "a latent file")
    noise = [tensors[f"noise.{site}"] for site in range(len(model.network.noise_shapes))]
    return Latents(tensors["z"], noise, tensors.get("labels"), names)


def write_tensors(path: Path, tensors: dict[str, Tensor], format: str, model: Model, names: Sequence[str]) -> None:
    """Write tensors that mean something to one model alone, whole or not at all."""
    about = {"format": format, "model": model.fingerprint, "names": names}
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"handful": json.dumps(about)})


def read_tensors(path: Path, format: str, model: Model, kind: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Read what ``write_tensors`` wrote: tensors and names.

    Raises:
        UsageError: if it is not there, cannot be read, is not of this kind, or was made with another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("handful", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UsageError(f"{path}: is not there; give {kind} that handful wrote") from error
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: cannot be read as {kind} ({error}); it may be cut short") from error
    if about.get("format") != format:
        raise UsageError(f"{path}: is not {kind} of this version of handful ({format!r} is wanted)")
    if about["model"] != model.fingerprint:
        raise UsageError(
            f"{path}: belongs to model {about['model']}, and this is model {model.fingerprint}; latents mean nothing "
            "to another model, nor to a run that was trained on since: give the model it was made with"
        )
    return tensors, tuple(about["names"])


def read_latents(text: str, model: Model, class_name: ClassName = None, option: str = "--seeds") -> Latents:
    """Read a list of seeds, ranges and latent files, such as ``0-3,7,face.safetensors``.

    ``face.safetensors:anna`` is the one of that name in a file with several. Neither may have a comma in it.

    Args:
        text: The list; its order is kept.
        model: Whose points they are.
        class_name: The class of all of them, or one for each, in place of their own.
        option: Where the list was given, for messages.

    Raises:
        UsageError: if something in the list cannot be read, or as ``load_latents`` and ``Model.labels``.
    """
    parts = []
    for part in (each.strip() for each in text.split(",")):
        if ENDING in part:
            parts.append(named(part, model))
        elif re.fullmatch(r"[\d\s-]*", part):
            parts.append(Latents.of_seeds(model, parse_seeds(part, option)))
        else:
            raise UsageError(
                f"{option} {text}: {part!r} is no number, no range like 0-63, and no latent file ({ENDING})"
            )
    latents = Latents.join(parts)
    if class_name is None:
        return latents
    labels = model.labels(range(len(latents)), class_name)
    return Latents(latents.z, latents.noise, None if labels is None else labels.cpu(), latents.names)


def named(text: str, model: Model) -> Latents:
    """Read a latent file, or of ``file.safetensors:name`` the points of that name."""
    stem, _, name = text.partition(f"{ENDING}:")
    if not name:
        return load_latents(text, model)
    latents = load_latents(stem + ENDING, model)
    return latents.pick(chosen(latents.names, name, text))


def chosen(names: Sequence[str], name: str, text: str) -> list[int]:
    """Give the places of a name among those of a file, which ``text`` asked for.

    Raises:
        UsageError: if it is not there.
    """
    places = [place for place, each in enumerate(names) if each == name]
    if not places:
        raise UsageError(f"{text}: nothing in that file has this name; there are {', '.join(names)}")
    return places
