"""A trained generator: draw pictures from it, save it. ``load`` reads it back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import get_args

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from handful.compute.compiling import COMPILERS, can_compile, keep_compile_cache
from handful.compute.precision import PRECISIONS, arithmetic
from handful.config.checks import checked
from handful.config.choices import SamplingPrecision
from handful.displays import as_html
from handful.errors import UsageError
from handful.networks import latent
from handful.networks.folded import FoldedGenerator, Gates
from handful.networks.generator import Generator
from handful.networks.layers import Labels
from handful.records.run_folder import RunFolder
from handful.sampling.latents import SUFFIX, Latents, Seeds, load_named, split_seeds
from handful.sampling.model_files import write_model
from handful.sampling.pictures import Pictures, finished, shown_png
from handful.sampling.response import response
from handful.sampling.truncation import Truncation, check_truncation

PIXELS_PER_BATCH = 2**22
"""Pixels computed at once on a GPU by default: 64 images of 256 px, 4 of 1024 px."""

SEEDS = 16
"""Pictures drawn by default."""

SHOWN_SEEDS = 8
"""Pictures that a notebook shows of a model."""

ClassName = str | Sequence[str] | None
"""The class of all pictures, or one for each; None: all classes in turn."""


class Model:
    """A generator in eval mode, ready to draw pictures.

    A picture depends on the weights and its seed alone: not on the other seeds asked for, their order or the batch
    size. On the CPU that holds bit for bit, since images are computed one at a time; a GPU may round differently at
    another batch size. ``precision`` and ``compile`` make drawing faster and round differently (docs/benchmarks.md).

    Args:
        network: An averaged generator with calibrated statistics. The model takes it over.
        precision: What convolutions compute in: fp32, bf16 or fp16.
        compile: Compile at the first picture, which takes half a minute. Worth it for hundreds of pictures.
        source: The model folder or file that holds it, if there is one.

    Raises:
        UsageError: if the precision is unknown, or there is no compiler.
    """

    def __init__(
        self,
        network: Generator,
        precision: SamplingPrecision = "fp32",
        compile: bool = False,
        source: Path | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.device = next(network.parameters()).device
        self.precision, self.compile, self.source = precision, compile, source
        if precision not in get_args(SamplingPrecision):
            raise UsageError(f"--precision {precision}: choose one of {', '.join(get_args(SamplingPrecision))}")
        if compile and not can_compile(self.device):
            raise UsageError(f"--compile: {self.device} needs a {COMPILERS}; install it, or draw without --compile")

    def __repr__(self) -> str:
        height, width = self.config.shape
        channels = {1: "grey", 3: "RGB", 4: "RGBA"}[self.config.channels]
        count = sum(parameter.numel() for parameter in self.network.parameters()) / 1e6
        classes = f", {len(self.config.classes)} classes" if self.config.classes else ""
        source = "" if self.source is None else f", from {self.source}"
        size = f"{width}x{height} {channels}, width {self.config.width}, {count:.1f} M parameters"
        return f"Model({size}{classes}{source}, {self.device})"

    def _repr_html_(self) -> str:
        return as_html(repr(self), shown_png(self.images(SHOWN_SEEDS).grid()))

    @property
    def run(self) -> RunFolder | None:
        """The run that the model belongs to; None for a model that lies elsewhere."""
        return None if self.source is None else RunFolder.of_model(self.source)

    @cached_property
    def folded(self) -> FoldedGenerator:
        """The network with its normalisations folded into its weights."""
        folded = FoldedGenerator(self.network, PRECISIONS[self.precision])
        if self.compile:
            keep_compile_cache()
            folded.compile(dynamic=False)
        return folded

    @cached_property
    def response(self) -> Float64[Tensor, "z z"]:
        """How far low-resolution maps move with the latent; see ``sampling.response``."""
        with arithmetic(self.precision):
            return response(self.folded, self.network.labels)

    @cached_property
    def truncation(self) -> Truncation:
        """Moves latents and gates towards their mean; see ``Truncation``."""
        return Truncation(self.folded, self.response)

    @torch.no_grad()
    def draw(
        self,
        z: Float[Tensor, "b z"],
        noise: list[Float[Tensor, "b 1 _ _"]],
        labels: Labels | None = None,
        truncation: float = 1.0,
        gates: Gates | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Draw from latents, noise maps and classes (see ``Generator.forward``).

        Truncation moves both latents and gates towards their mean (docs/explore.md). ``gates`` replaces the gates
        that these inputs set, with those of other inputs.

        Returns:
            Images in [-1, 1], on the model's device.

        Raises:
            UsageError: if the truncation is not from 0 to 1.
        """
        check_truncation(truncation)
        with arithmetic(self.precision), frozen_weights() if self.compile else nullcontext():
            if truncation != 1:
                z = self.truncation.latents(z, truncation)
                gates = self.truncation.gates(z, noise, labels, truncation) if gates is None else gates
            drawn: Tensor = self.folded(z, noise, labels, gates)
            return drawn

    @torch.no_grad()
    def gates(
        self,
        z: Float[Tensor, "b z"],
        noise: list[Float[Tensor, "b 1 _ _"]],
        labels: Int64[Tensor, " b"] | None = None,
        truncation: float = 1.0,
    ) -> Gates:
        """Return the gates that latents, noise maps and classes set in ``draw``; none for a generator without SLE."""
        with arithmetic(self.precision):
            if truncation == 1:
                return self.folded.compute_gates(z, noise, labels)
            return self.truncation.gates(self.truncation.latents(z, truncation), noise, labels, truncation)

    @checked
    def labels(self, seeds: Sequence[int], class_name: ClassName = None) -> Int64[Tensor, " n"] | None:
        """Return the class index of each picture, as ``sample`` chooses it; None for a model without classes.

        Raises:
            UsageError: if there is no such class, or not one for each seed.
        """
        if class_name is None:
            return self.network.labels(seeds)
        names = self.config.classes
        asked = [class_name] * len(seeds) if isinstance(class_name, str) else class_name
        for name in {class_name} if isinstance(class_name, str) else class_name:
            if name not in names:
                known = f"it has {', '.join(names)}" if names else "it was trained without --labels folders"
                raise UsageError(f"--class {name}: the model has no such class; {known}")
        if len(asked) != len(seeds):
            raise UsageError(f"--class: {len(asked)} classes for {len(seeds)} seeds; give one, or one for each seed")
        return torch.tensor([names.index(name) for name in asked], dtype=torch.int64, device=self.device)

    @checked
    def latents(self, seeds: Seeds, class_name: ClassName = None, option: str = "--seeds") -> Latents:
        """Return what pictures are drawn from, named by seed or as in their latent file.

        Args:
            seeds: As ``sample`` takes them.
            class_name: A class for all of them, or one for each. Default: that of the seed, or of the latent file.
            option: Where the user gave the seeds, for messages.

        Raises:
            UsageError: if the seeds cannot be read, as ``load_latents``, or as ``sample``.
        """
        if isinstance(seeds, str):
            parts = split_seeds(seeds, option)
            seeds = Latents.join(
                [load_named(part, self) if isinstance(part, str) else self.latents_of(part) for part in parts]
            )
        if not isinstance(seeds, Latents):
            numbers = range(seeds) if isinstance(seeds, int) else seeds
            return self.latents_of(numbers, self.labels(numbers, class_name))
        if class_name is None:
            return seeds
        labels = self.labels(range(len(seeds)), class_name)
        return dataclasses.replace(seeds, labels=None if labels is None else labels.cpu())

    def latents_of(self, seeds: Sequence[int], labels: Int64[Tensor, " n"] | None = None) -> Latents:
        """Return the latents of numbers, and their own classes by default."""
        latent.check_seeds(seeds)
        labels = self.labels(seeds) if labels is None else labels
        z, noise = latent.from_seeds(seeds, self.config.latent, self.network.noise_shapes, torch.device("cpu"))
        return Latents(z, noise, None if labels is None else labels.cpu(), tuple(map(str, seeds)))

    @checked
    def sample(
        self, seeds: Seeds = SEEDS, batch: int | None = None, class_name: ClassName = None, truncation: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw one image for each seed.

        Args:
            seeds: ``4`` is seeds 0 to 3, ``"0-3,7"`` what the command line takes, with latent files too. Or numbers
                from 0, or latents.
            batch: Images computed at once on a GPU. Default: about four million pixels. The CPU computes one at a time.
            class_name: The class to draw, or one for each seed. Default: seed modulo the number of classes.
            truncation: 0 to 1. Below 1 pictures are drawn towards the mean: cleaner and more alike.

        Returns:
            Images on the CPU: grey, RGB, or RGBA with premultiplied alpha, as ``config.channels`` says. ``images``
            returns straight alpha, as in files.

        Raises:
            UsageError: if the seeds, the class, the batch or the truncation make no sense.
        """
        return torch.cat(list(self.stream(seeds, batch, class_name, truncation)))

    @checked
    def images(
        self, seeds: Seeds = SEEDS, batch: int | None = None, class_name: ClassName = None, truncation: float = 1.0
    ) -> Pictures:
        """Draw one Pillow image for each seed; see ``sample``. A notebook shows the list as a grid."""
        return Pictures(self.sample(seeds, batch, class_name, truncation))

    @checked
    def stream(
        self, seeds: Seeds = SEEDS, batch: int | None = None, class_name: ClassName = None, truncation: float = 1.0
    ) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """Draw the images of ``seeds`` in order, a batch at a time, so that memory holds only one batch.

        Raises:
            UsageError: as ``sample``; or if the generator is damaged and its images are not finite.
        """
        if batch is not None and batch < 1:
            raise UsageError(f"--batch {batch}: must be at least 1")
        size = 1 if self.device.type == "cpu" else batch or max(1, PIXELS_PER_BATCH // math.prod(self.config.shape))
        drawn = self.resolve(seeds, class_name)
        labels = None if isinstance(drawn, Latents) else self.labels(drawn, class_name)
        for start in range(0, len(drawn), size):
            indices = list(range(start, min(start + size, len(drawn))))
            # A smaller last batch would be compiled anew, so it is filled up with its last image.
            filled = [*indices, *[indices[-1]] * (size - len(indices))] if self.compile else indices
            if isinstance(drawn, Latents):
                latents = drawn.pick(filled)
            else:
                latents = self.latents_of([drawn[i] for i in filled], None if labels is None else labels[filled])
            images = self.draw(*latents.on(self.device), truncation)[: len(indices)]
            yield finished(images, latents.names[0])

    def resolve(self, seeds: Seeds, class_name: ClassName = None) -> Latents | Sequence[int]:
        """Return seeds as numbers, or as latents if they are latents or a text that names latent files.

        Raises:
            UsageError: as ``latents``.
        """
        if isinstance(seeds, Latents) or (isinstance(seeds, str) and SUFFIX in seeds):
            return self.latents(seeds, class_name)
        if isinstance(seeds, str):
            seeds = [seed for part in split_seeds(seeds) for seed in part if isinstance(seed, int)]
        numbers = range(seeds) if isinstance(seeds, int) else seeds
        latent.check_seeds(numbers)
        return numbers

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that no other model has: a hash of all weights and options."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self.config), sort_keys=True).encode())
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.contiguous().cpu().numpy())
        return digest.hexdigest()[:16]

    def save(self, folder: Path | str, before: Callable[[], None] = lambda: None) -> None:
        """Write a model folder: ``config.json`` and ``model.safetensors``; see ``write_model``."""
        write_model(Path(folder), self.config, self.network.state_dict(), before)


def frozen_weights() -> AbstractContextManager[None]:
    """Let the compiler treat weights as constants within the block, and lay them out for its kernels once."""
    import torch._inductor.config  # takes a second, and only compiling needs it

    frozen: AbstractContextManager[None] = torch._inductor.config.patch(freezing=True)
    return frozen
