"""Make latent files from seeds and other latent files: the command ``latents``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from handful.errors import UsageError
from handful.files import require_file
from handful.sampling.directions import move_along
from handful.sampling.latents import SUFFIX, Latents
from handful.sampling.load import load


def write_latents(
    source: Path | str,
    seeds: str = "0",
    out: Path | str = "latents.safetensors",
    names: Sequence[str] | None = None,
    moves: Sequence[str] = (),
    shares: Sequence[float] = (),
    class_name: str | None = None,
    device: str = "auto",
) -> Latents:
    """Write a latent file.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        seeds: What to keep: seeds, ranges and latent files, such as ``0-15,100,face.safetensors``.
        out: The latent file (``.safetensors``), which all commands take as seeds.
        names: New names, one for each. Default: unchanged; a seed is called by its number.
        moves: Directions to move the latents along, such as ``directions/maps.safetensors:1=2`` or
            ``smile.safetensors=-1.5``.
        shares: Blend all into one latent: the share of each, such as 1 1 2.
        class_name: Class of the latents, for a model trained with labels. Default: unchanged.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: if something cannot be read or written, a name is unusable, or as ``blend``.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise UsageError(f"--out {out}: must end in {SUFFIX}, so that --seeds recognises it")
    if "," in str(out):
        raise UsageError(f"--out {out}: must have no comma, which separates latent files in --seeds")
    require_file(out)
    model = load(source, device)
    latents = move_along(model.latents(seeds, class_name), moves, model)
    if shares:
        latents = blend(latents, shares)
    if names is not None:
        latents = rename(latents, names)
    latents.save(out, model)
    return latents


def blend(latents: Latents, shares: Sequence[float]) -> Latents:
    """Blend latents into one, and scale it to their mean length.

    A plain mean is shorter than any latent that the generator was trained on.

    Raises:
        UsageError: if there is not one share for each, a share is negative, all are 0, or the classes differ.
    """
    if len(shares) != len(latents):
        raise UsageError(f"--blend: {len(shares)} shares for {len(latents)} latents; give one for each")
    if not all(0 <= share < math.inf for share in shares) or sum(shares) == 0:
        raise UsageError("--blend: shares must be at least 0, and not all 0")
    if latents.labels is not None and len(set(latents.labels.tolist())) > 1:
        raise UsageError("--blend: the latents have several classes; choose one with --class")
    weight = torch.tensor(shares) / sum(shares)

    def mean(values: Float[Tensor, "n ..."]) -> Float[Tensor, "1 ..."]:
        flat = values.flatten(1)
        straight = weight @ flat
        length = weight @ flat.norm(dim=1)
        scaled: Tensor = straight * (length / straight.norm().clamp(min=1e-12))
        return scaled.view(1, *values.shape[1:])

    labels = None if latents.labels is None else latents.labels[:1]
    return Latents(mean(latents.z), [mean(maps) for maps in latents.noise], labels, ("+".join(latents.names),))


def rename(latents: Latents, names: Sequence[str]) -> Latents:
    """Return latents under other names.

    Raises:
        UsageError: if there is not one for each, or one is empty, has a comma, or is given twice.
    """
    if len(names) != len(latents):
        raise UsageError(f"--names: {len(names)} names for {len(latents)} latents; give as many, separated by commas")
    for name in names:
        if not name.strip() or "," in name or names.count(name) > 1:
            raise UsageError(f"--names {name}: must be unique, not empty, and without commas")
    return latents.renamed([name.strip() for name in names])
