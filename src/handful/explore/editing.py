"""Latent files out of seeds and other latent files: what the command ``latents`` writes."""

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
        source: A run folder, a model folder or a ``.safetensors`` file.
        seeds: What to keep: seeds, ranges and latent files, such as ``0-15,100,face.safetensors``.
        out: The latent file (``.safetensors``), which all commands take as seeds.
        names: New names, one for each. Default: unchanged; a seed is called by its number.
        moves: Directions to move the latents along, such as ``directions/maps.safetensors:1=2`` or
            ``smile.safetensors=-1.5``.
        shares: Blend all into one latent: the share of each, such as 1 1 2.
        class_name: Class of the latents, for a model trained with labels. Default: unchanged.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: if something cannot be read or written, or a name cannot be one, or as ``blended``.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise UsageError(f"--out {out}: must end in {SUFFIX}, by which latent files are known among seeds")
    if "," in str(out):
        raise UsageError(f"--out {out}: must have no comma, which stands between latent files; choose another name")
    require_file(out)
    model = load(source, device)
    latents = move_along(model.latents(seeds, class_name), moves, model)
    if shares:
        latents = blended(latents, shares)
    if names is not None:
        latents = named_anew(latents, names)
    latents.save(out, model)
    return latents


def blended(latents: Latents, shares: Sequence[float]) -> Latents:
    """Blend points into one: latents and noise by their shares, and as long as they are themselves, in the mean.

    Shorter ones, as plain means are, the generator never saw.

    Raises:
        UsageError: if there is not one share for each, or they are no shares, or the classes differ.
    """
    if len(shares) != len(latents):
        raise UsageError(f"--blend: {len(shares)} shares for {len(latents)} latents; give one for each")
    if not all(0 <= share < math.inf for share in shares) or sum(shares) == 0:
        raise UsageError("--blend: shares must be from 0 up, and not all 0")
    if latents.labels is not None and len(set(latents.labels.tolist())) > 1:
        raise UsageError("--blend: these are of several classes, and a latent has one; choose it with --class")
    weight = torch.tensor(shares) / sum(shares)

    def blend(values: Float[Tensor, "n ..."]) -> Float[Tensor, "1 ..."]:
        flat = values.flatten(1)
        mean = weight @ flat
        length = weight @ flat.norm(dim=1)
        whole: Tensor = mean * (length / mean.norm().clamp(min=1e-12))
        return whole.view(1, *values.shape[1:])

    labels = None if latents.labels is None else latents.labels[:1]
    return Latents(blend(latents.z), [blend(maps) for maps in latents.noise], labels, ("+".join(latents.names),))


def named_anew(latents: Latents, names: Sequence[str]) -> Latents:
    """Give points other names.

    Raises:
        UsageError: if there is not one for each, or one is empty, has a comma in it, or is given twice.
    """
    if len(names) != len(latents):
        raise UsageError(f"--names: {len(names)} names for {len(latents)} latents; give one for each, commas between")
    for name in names:
        if not name.strip() or "," in name or names.count(name) > 1:
            raise UsageError(f"--names {name}: must be a name of its own, without commas")
    return Latents(latents.z, latents.noise, latents.labels, tuple(name.strip() for name in names))
