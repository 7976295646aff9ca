"""Mix pictures: the content of one with the colours and textures of another, through the generator's gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from handful.config.checks import checked
from handful.errors import UsageError
from handful.files import require_file
from handful.images.grid import to_image, write_png
from handful.images.sheet import Cell, check_sheet_size, seed_or_name, sheet
from handful.sampling.latents import Latents
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.pictures import finished


@checked
def mix(
    model: Model, content: Latents, style: Latents, levels: Sequence[int] = (), truncation: float = 1.0
) -> UInt8[Tensor, "n m c h w"]:
    """Draw each of n pictures with the gates of each of m others.

    A gate scales each channel of a high-resolution map by a number read from a low-resolution map: here from that of
    the style picture. On the CPU a picture in its own style is unchanged, bit for bit.

    Args:
        model: The generator.
        content: Pictures that give maps, noise and class.
        style: Pictures whose low-resolution maps set the gates.
        levels: Gates that the style sets, by the nominal size of the map that they scale. The content sets the others.
            Default: all.
        truncation: See ``Model.draw``.

    Source: FastGAN (Liu et al. 2021), section 3.1, on style and content.

    Raises:
        UsageError: if the model has no gates, or not at these levels.
    """
    names = [str(level) for level in check_levels(model, levels)]
    singles = [style.pick([index]) for index in range(len(style))]
    styles = [model.gates(*single.on(model.device), truncation) for single in singles]
    rows = []
    for index, name in enumerate(content.names):
        inputs = content.pick([index]).on(model.device)
        own = model.gates(*inputs, truncation)
        mixed = [model.draw(*inputs, truncation, own | {level: gates[level] for level in names}) for gates in styles]
        rows.append(torch.cat([finished(image, name) for image in mixed]))
    return torch.stack(rows)


def check_levels(model: Model, levels: Sequence[int]) -> list[int]:
    """Return the levels, or all levels of the model if none are given.

    Raises:
        UsageError: if the model has no gates, or not at these levels.
    """
    available = [int(name) for name in model.network.gates]
    if not available:
        raise UsageError("the model has no gates to mix through: it is below 64 px, or has --no-sle")
    for level in levels:
        if level not in available:
            raise UsageError(f"--levels {level}: choose from the model's gates at {' '.join(map(str, available))}")
    return list(levels) or available


def write_mixes(
    source: Path | str,
    content: str = "0-3",
    style: str = "4-9",
    out: Path | str = "mix.png",
    levels: Sequence[int] = (),
    class_name: str | None = None,
    truncation: float = 1.0,
    device: str = "auto",
) -> Path:
    """Write a sheet of mixes: a row for each content picture, a column for each style, with these at the edges.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        content: Pictures that give the content, one per row: seeds, ranges and latent files, such as
            ``0-15,100,face.safetensors``.
        style: Pictures that give colours and textures, one per column, in the same form.
        out: File (PNG) for the sheet, with content and style at its edges.
        levels: Gates that the style sets, by the size of the map that they scale: of 64, 128, 256, 512.
            Default: all.
        class_name: Class to draw, for a model trained with labels. Default: the class of each picture.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: as ``mix`` and ``Model.latents``; or if the file cannot be written or the sheet is too large.
    """
    require_file(Path(out))
    model = load(source, device)
    levels = check_levels(model, levels)
    contents = model.latents(content, class_name, "--content")
    styles = model.latents(style, class_name, "--style")
    height, width = model.config.shape
    check_sheet_size(len(contents) + 1, len(styles) + 1, (width, height))
    mixed = mix(model, contents, styles, levels, truncation)
    head, side = (
        [
            Cell(to_image(image), (f"{kind}: {seed_or_name(name)}",))
            for image, name in zip(model.sample(latents, truncation=truncation), latents.names, strict=True)
        ]
        for kind, latents in (("style", styles), ("content", contents))
    )
    rows = [[Cell(), *head]]
    for first, row in zip(side, mixed, strict=True):
        rows.append([first, *(Cell(to_image(image)) for image in row)])
    write_png(Path(out), sheet(rows, (width, height)))
    return Path(out)
