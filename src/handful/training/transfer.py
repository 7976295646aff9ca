"""Start from a trained model (``--from``): what fits the new networks is carried over, the rest starts fresh.

Blocks are carried over whole or not at all, to the block of the same resolution. So a generator of 128 px can grow from
one of 64 px: its new blocks start fresh, and so do the layers that make images.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful.config.generator import GeneratorConfig
from handful.config.train import TrainConfig
from handful.errors import UsageError
from handful.networks.build import build_discriminator
from handful.networks.generator import Generator, small_size
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.progress import note
from handful.records import layout
from handful.records.layout import STATE, WEIGHTS
from handful.sampling.load import load
from handful.sampling.model_files import find_weights
from handful.training import checkpoint
from handful.training.state import State

MIN_SHARE = 0.5
"""Minimum share of the generator's parameters to take over."""

BLOCK = re.compile(r"((?:decoders\.\w+\.)?(?:(?:blocks|classes|gates|small)\.)?\w+)\.(.+)")
"""A block's name, and the name of a tensor within it."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class TrainedModel:
    """A trained model to start from, on the CPU."""

    path: Path
    config: GeneratorConfig
    generator: Tensors
    """The averaged generator, with its BatchNorm statistics."""
    discriminator: Tensors
    """Parameters by name, with master weights for convolutions; empty if there is only a generator."""
    vectors: Tensors
    """First left singular vectors of the discriminator's convolutions."""
    fingerprint: str
    """SHA-256 (hex) of the files read."""


@dataclass
class Carried:
    """What a network takes over."""

    values: dict[str, Tensor] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    """The name that each value had in the trained model."""
    kept: list[str] = field(default_factory=list)
    """Blocks carried over."""
    new: list[str] = field(default_factory=list)
    """Blocks that start fresh."""
    share: float = 0.0
    """Share of the network's parameters that are carried over."""

    def __str__(self) -> str:
        count = len(self.kept) + len(self.new)
        text = f"takes over {len(self.kept)} of {count} blocks ({self.share:.1%} of the parameters)"
        return text + (f"; new: {', '.join(self.new)}" if self.new else "")

    def to_json(self) -> dict[str, Any]:
        """Return the entry for config.json."""
        return {"share": round(self.share, 4), "carried": self.kept, "new": self.new}


def read_source(config: TrainConfig) -> TrainedModel | None:
    """Read the model that a run starts from; None without ``--from``, or if the run has begun already.

    Raises:
        UsageError: There is no model, or it is damaged.
    """
    if config.from_ is None or checkpoint.every(config.folder / layout.CHECKPOINTS):
        return None
    try:
        return read(config.from_)
    except UsageError as error:
        raise UsageError(f"--from {error.on_command_line}") from error


def read(path: Path) -> TrainedModel:
    """Read a run folder, one of its checkpoints, a model folder or a ``.safetensors`` file.

    A run folder gives the generator that ``handful generate`` uses, and the discriminator of the newest checkpoint. A
    checkpoint gives its own two networks.

    Raises:
        UsageError: There is no model, or it is damaged.
    """
    given = path.parent if path.name == STATE else path
    is_checkpoint = (given / STATE).is_file()
    # The shape of a checkpoint's networks stands in the model beside it.
    model_folder = given.absolute().parents[1] / layout.MODEL if is_checkpoint else path
    if is_checkpoint and not (model_folder / WEIGHTS).is_file():
        raise UsageError(
            f"{path}: this checkpoint is not in its run folder, which describes its networks; give the run folder or a "
            "model folder"
        )
    model, files = load(model_folder, "cpu"), [find_weights(model_folder)]
    generator: Tensors = model.network.state_dict()
    discriminator: dict[str, Tensor] = {}
    vectors: Tensors = {}
    checkpoints = [given] if is_checkpoint else checkpoint.every(path / layout.CHECKPOINTS)
    if checkpoints:
        newest = checkpoints[-1]
        tensors = checkpoint.read(newest).tensors
        if is_checkpoint:
            generator, files = below("average.", tensors), []
        masters, vectors = (below(f"discriminator_optimizer.{kind}.", tensors) for kind in ("master", "u"))
        discriminator = {f"{layer}.weight": value for layer, value in masters.items()}
        discriminator |= below("discriminator.", tensors)
        files.append(newest / STATE)
    digest = fingerprint(file for file in files if file)
    return TrainedModel(path, model.config, generator, discriminator, vectors, digest)


def below(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def fingerprint(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def compare(
    trained: TrainedModel, config: TrainConfig, backbone: EfficientNet | None, classes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Tell the user what a run takes over from a trained model, and return the entry for config.json.

    Raises:
        UsageError: The networks are too different.
    """
    ours, theirs = dataclasses.replace(config.generator, classes=classes), trained.config
    for option, old, new in (
        ("width", theirs.width, ours.width),
        ("channels", theirs.channels, ours.channels),
        ("size", theirs.base, ours.base),
    ):
        if old != new:
            remedy = "give a size of the same proportions" if option == "size" else f"add --{option} {old}"
            raise UsageError(f"--from {trained.path}: its networks have another --{option} than this run; {remedy}")
    generator = carry(trained.generator, Generator(ours).state_dict(), theirs, ours)
    if generator.share < MIN_SHARE:
        raise UsageError(
            f"--from {trained.path}: fits only {generator.share:.0%} of the new generator; train without --from"
        )
    discriminator = build_discriminator(config, torch.device("cpu"), backbone, classes)
    carried = carry(trained.discriminator, dict(discriminator.named_parameters()), theirs, ours)
    note(f"starting from {trained.path}")
    note(f"  generator: {generator}")
    if trained.discriminator:
        note(f"  discriminator: {carried}")
    else:
        note("  discriminator: starts fresh, because a model folder has none; a run folder has one")
    if theirs.sle != ours.sle:
        flag = "--sle" if theirs.sle else "--no-sle"
        note(f"  the model was trained with {flag}, so it draws other images here")
    return {
        "from": str(trained.path),
        "fingerprint": trained.fingerprint,
        "generator": generator.to_json(),
        "discriminator": carried.to_json(),
    }


def begin(state: State, trained: TrainedModel) -> None:
    """Write what fits into a fresh state.

    Both generators start from the model's averaged one. The optimisers start fresh: their moments are gradients on
    other images, and the generator's belong to other weights. So does adaptive augmentation, which follows what the
    discriminator makes of the new images.
    """
    theirs, ours = trained.config, state.generator.config
    average = state.average.state_dict()
    buffers = dict(state.generator.named_buffers()).keys()
    generator = carry(trained.generator, average, theirs, ours)
    state.generator_optimizer.load({name: value for name, value in generator.values.items() if name not in buffers}, {})
    optimizer = state.discriminator_optimizer
    fresh = {f"{layer}.weight": value for layer, value in optimizer.masters.items()} | optimizer.others
    discriminator = carry(trained.discriminator, fresh, theirs, ours)
    vectors = {
        layer: trained.vectors[discriminator.origin[name].removesuffix(".weight")]
        for layer in optimizer.layers
        if (name := f"{layer}.weight") in discriminator.origin
    }
    optimizer.load(discriminator.values, vectors)
    names = [name for name, _ in state.generator.named_parameters()]
    exact = dict(zip(names, state.generator_optimizer.exact_weights(), strict=True)) | generator.values
    for name, value in average.items():
        if name in exact:
            value.copy_(exact[name])


@torch.no_grad()
def carry(old: Tensors, new: Tensors, theirs: GeneratorConfig, ours: GeneratorConfig) -> Carried:
    """Find the blocks of a new network in an old one: same position, same tensors, same shapes."""
    their_blocks, our_blocks = blocks(old, theirs), blocks(new, ours)
    result = Carried()
    for position, parts in our_blocks.items():
        candidates = their_blocks.get(position, {})
        alike = candidates.keys() == parts.keys() and all(
            old[candidates[part]].shape == new[name].shape for part, name in parts.items()
        )
        if not alike:
            result.new.append(position)
            continue
        result.kept.append(position)
        result.origin |= {name: candidates[part] for part, name in parts.items()}
    result.values = {name: old[origin] for name, origin in result.origin.items()}
    total = sum(value.numel() for value in new.values())
    result.share = sum(value.numel() for value in result.values.values()) / total
    return result


def blocks(tensors: Tensors, config: GeneratorConfig) -> dict[str, dict[str, str]]:
    """Group names of tensors by the position of their block, then by their name within the block."""
    grouped: dict[str, dict[str, str]] = {}
    for name in tensors:
        match = BLOCK.fullmatch(name)
        assert match is not None
        grouped.setdefault(position_of(match[1], config), {})[match[2]] = name
    return grouped


def position_of(block: str, config: GeneratorConfig) -> str:
    """Return a block's position in its network: its name, with the resolution if the name has none."""
    small = small_size(config.nominal)
    match block.split("."):
        case ["to_image" | "stem"]:
            return f"{block} at {config.nominal}"
        case ["to_small"] | ["decoders", _, "to_image"]:
            return f"{block} at {small}"
        case ["small", number]:
            sizes = [size for size in (64, 32, 16, 8) if size < small]
            return f"small at {sizes[max(0, int(number) - 1)]}"
    return block
