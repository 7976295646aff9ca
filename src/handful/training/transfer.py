"""Start from a trained model: what of it fits new networks, and what becomes of the rest.

A block is carried over whole or not at all, to where it does the same: a block of 32 px to that of 32 px, whatever the
size of the images. What a block is made of may be fitted to other channels, proportions or classes (``adapt``).
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
from handful.networks.build import opponent
from handful.networks.discriminator import Discriminator
from handful.networks.generator import Generator, small_size
from handful.networks.pretrained.efficientnet import EfficientNet
from handful.progress import note
from handful.records import layout
from handful.sampling.model import WEIGHTS, find_weights, load
from handful.training import checkpoint
from handful.training.state import State
from handful.training.transfer_layers import fit

ENOUGH = 0.5
"""Share of the generator's parameters below which it is hardly the same model."""


BLOCK = re.compile(r"((?:decoders\.\w+\.)?(?:(?:blocks|classes|gates|small|heads)\.)?\w+)\.(.+)")
"""A block's name, and what it calls a tensor."""


Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A trained model, as far as it is there; everything on the CPU."""

    path: Path
    config: GeneratorConfig
    generator: Tensors
    """The one that pictures are drawn from: the average, with its statistics."""
    discriminator: Tensors
    """Its parameters by name, of convolutions those before normalisation; empty if only a generator is there."""
    vectors: Tensors
    """First singular vectors of the discriminator's convolutions."""
    fingerprint: str
    """SHA-256 (hex) of the files read."""


@dataclass
class Carried:
    """What was found for the blocks of a network."""

    values: dict[str, Tensor] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    """The name that a value had in the source."""
    whole: list[str] = field(default_factory=list)
    fitted: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    share: float = 0.0
    """Of the network's numbers, the part that is in what is whole or fitted."""

    def words(self) -> str:
        """Say it in a line."""
        kept = len(self.whole) + len(self.fitted)
        text = f"{kept} of {kept + len(self.new)} blocks, {self.share:.1%} of its numbers, are carried over"
        text += f"; fitted: {', '.join(self.fitted)}" * bool(self.fitted)
        return text + f"; new: {', '.join(self.new)}" * bool(self.new)

    def to_json(self) -> dict[str, Any]:
        """Give it as config.json has it."""
        return {"share": round(self.share, 4), "carried": self.whole, "fitted": self.fitted, "new": self.new}


def source_of(config: TrainConfig) -> Source | None:
    """Read what a run is to start from; nothing if it has none, or has begun already.

    Raises:
        UsageError: if there is no model, or it is damaged.
    """
    if config.from_ is None or checkpoint.every(config.folder / layout.CHECKPOINTS):
        return None
    try:
        return read(config.from_)
    except UsageError as error:
        raise UsageError(f"--from {error.on_command_line}") from error


def read(path: Path) -> Source:
    """Read a run folder, one of its checkpoints, a model folder or a ``.safetensors`` file.

    Of a run folder it is the generator that ``handful generate`` draws from, and the discriminator of the newest
    checkpoint; of a checkpoint both are its own.
    """
    given = path.parent if path.name == checkpoint.FILE else path
    alone = (given / checkpoint.FILE).is_file()
    # A checkpoint does not say of what kind its networks are; the model that its run has written beside it does.
    home = given.absolute().parents[1] / layout.MODEL if alone else path
    if alone and not (home / WEIGHTS).is_file():
        raise UsageError(f"{path}: a checkpoint is read where its run left it; give the run folder, or a model folder")
    model, files = load(home, "cpu"), [find_weights(home)]
    generator: Tensors = model.network.state_dict()
    masters: Tensors = {}
    learned: Tensors = {}
    vectors: Tensors = {}
    found = [given] if alone else checkpoint.every(path / layout.CHECKPOINTS)
    if found:
        with checkpoint.readable(found[-1]):
            tensors, numbers = checkpoint.read(found[-1])
        chosen = int(numbers["chosen"])
        if alone:
            generator, files = below(f"average_{chosen}." if chosen else "average.", tensors), []
        masters, vectors = (below(f"discriminator_optimizer.{kind}.", tensors) for kind in ("master", "u"))
        learned = below("discriminator.", tensors)
        files.append(found[-1] / checkpoint.FILE)
    discriminator = {f"{layer}.weight": value for layer, value in masters.items()} | {**learned}
    return Source(path, model.config, generator, discriminator, vectors, fingerprint(file for file in files if file))


def below(prefix: str, tensors: Tensors) -> Tensors:
    """Give the tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def fingerprint(files: Iterable[Path]) -> str:
    """Give the SHA-256 of files, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def compare(
    source: Source, config: TrainConfig, trunk: EfficientNet | None, classes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Say what of a source fits a run's networks, and give it as config.json has it.

    Raises:
        UsageError: if it is next to nothing, or blocks are to be frozen that are not there.
    """
    wanted, theirs = dataclasses.replace(config.generator, classes=classes), source.config
    generator = carry(source.generator, Generator(wanted).state_dict(), theirs, wanted)
    if generator.share < ENOUGH:
        other = f"its networks have --width {theirs.width}, not {wanted.width}; add --width {theirs.width}"
        reason = other if theirs.width != wanted.width else "it is too different; train without --from"
        raise UsageError(f"--from {source.path}: fits {generator.share:.0%} of the new generator: {reason}")
    judge = opponent(config, torch.device("cpu"), trunk, classes)
    discriminator = carry(source.discriminator, dict(judge.named_parameters()), theirs, wanted)
    kept: list[str] = []
    if config.freeze and isinstance(judge, Discriminator):  # the options refuse it for the other kind
        kept = judge.lowest(config.freeze)
        require_frozen(judge, discriminator, source, wanted, config.freeze)
    note(f"starting from {source.path}: of the generator {generator.words()}")
    if source.discriminator:
        note(f"  of the discriminator {discriminator.words()}")
    else:
        note("  the discriminator is new, since the source has none; a run folder has one")
    for name in ("sle", "smooth", "normalised_latent"):
        if getattr(theirs, name) != getattr(wanted, name):
            flag = "--" + "no-" * (not getattr(theirs, name)) + name.replace("_", "-")
            note(f"  the source was trained with {flag}, so what it draws is another picture here")
    if kept:
        note(f"  frozen in the discriminator: {', '.join(kept)}")
    return {
        "from": str(source.path),
        "fingerprint": source.fingerprint,
        "generator": generator.to_json(),
        "discriminator": discriminator.to_json(),
    }


def require_frozen(
    network: Discriminator, carried: Carried, source: Source, wanted: GeneratorConfig, count: int
) -> None:
    """Refuse to freeze what is not there, or was not learned.

    Raises:
        UsageError: if so.
    """
    most = 1 + len(network.blocks)
    if count > most:
        raise UsageError(f"--freeze {count}: the discriminator has {most} blocks at this size; give at most {most}")
    if not source.discriminator:
        raise UsageError(
            f"--freeze {count}: {source.path} has no discriminator to keep blocks of; give a run folder or a checkpoint"
            " to --from, or leave --freeze out"
        )
    new = [name for name in network.lowest(count) if place(name, wanted) in carried.new]
    if new:
        raise UsageError(
            f"--freeze {count}: {', '.join(new)} cannot be carried over, so would never learn anything; leave --freeze"
            f" out, or take the source's options (--size {source.config.size}, and --smooth-discriminator or"
            " --no-smooth-discriminator, as it has)"
        )


def begin(state: State, source: Source) -> None:
    """Write what fits into a fresh state.

    The trained generator starts from the source's average too. The optimisers start fresh: their moments are gradients
    of other images, and those of the generator belong to weights that are not the average's. So do the strengths that
    follow the discriminator (``controls``), which is to grow sure of the new images first.
    """
    theirs, wanted = source.config, state.generator.config
    average = state.average.state_dict()
    learned = state.generator.state_dict().keys() - dict(state.generator.named_buffers()).keys()
    generator = carry(source.generator, average, theirs, wanted)
    state.generator_optimizer.take({name: value for name, value in generator.values.items() if name in learned}, {})
    optimizer = state.discriminator_optimizer
    fresh = {f"{layer}.weight": value for layer, value in optimizer.masters.items()} | optimizer.others
    discriminator = carry(source.discriminator, fresh, theirs, wanted)
    vectors = {
        layer: source.vectors[discriminator.origin[name].removesuffix(".weight")]
        for layer in optimizer.layers
        if (name := f"{layer}.weight") in discriminator.origin
    }
    alike = {layer: value for layer, value in vectors.items() if value.shape == optimizer.u[layer].shape}
    optimizer.take(discriminator.values, alike)
    names = [name for name, _ in state.generator.named_parameters()]
    exact = dict(zip(names, state.generator_optimizer.precise(), strict=True)) | generator.values
    for each in state.averages:
        for name, value in each.state_dict().items():
            if name in exact:
                value.copy_(exact[name])


@torch.no_grad()
def carry(old: Tensors, new: Tensors, theirs: GeneratorConfig, ours: GeneratorConfig) -> Carried:
    """Find values for the tensors of a new network, by name, shape and what they do, in those of an old one."""
    there, here = blocks(old, theirs), blocks(new, ours)
    result = Carried()
    for where, parts in here.items():
        found = there.get(where, {})
        origin = {name: found.get(part, "") for part, name in parts.items()}
        values = {name: fit(name, old[origin[name]], new[name], theirs, ours) for name in origin if origin[name]}
        fits = {name: each for name, each in values.items() if each is not None and each.shape == new[name].shape}
        if found.keys() != parts.keys() or fits.keys() != origin.keys():
            result.new.append(where)
            continue
        result.values |= fits
        result.origin |= origin
        alike = all(fits[name] is old[origin[name]] for name in fits)
        (result.whole if alike else result.fitted).append(where)
    total = sum(value.numel() for value in new.values())
    result.share = sum(value.numel() for value in result.values.values()) / total
    return result


def blocks(tensors: Tensors, config: GeneratorConfig) -> dict[str, dict[str, str]]:
    """Sort names of tensors by the block that they belong to, and within it by what the block calls them."""
    found: dict[str, dict[str, str]] = {}
    for name in tensors:
        match = BLOCK.fullmatch(name)
        assert match is not None
        found.setdefault(place(match[1], config), {})[match[2]] = name
    return found


def place(block: str, config: GeneratorConfig) -> str:
    """Say where in a network a block stands: its name, with the size of its maps where the name does not give it."""
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
