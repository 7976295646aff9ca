"""A trained generator: draw pictures from it, save it, load it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handful.compute.compiling import COMPILERS, can_compile, keep_compiled
from handful.compute.device import choose_device, prepare
from handful.compute.precision import PRECISIONS, arithmetic
from handful.config.choices import SamplingPrecision
from handful.config.generator import GeneratorConfig
from handful.errors import UsageError
from handful.files import replacing, write_json
from handful.images.grid import to_bytes, to_image
from handful.networks import latent
from handful.networks.folded import Folded, Gates
from handful.networks.generator import Generator
from handful.networks.layers import Labels
from handful.records import layout
from handful.sampling.response import response
from handful.sampling.truncation import Truncation, check_truncation

if TYPE_CHECKING:
    from handful.sampling.latents import Latents


WEIGHTS = "model.safetensors"


FORMAT = "handful generator 1"


AT_ONCE = 2**22
"""Pixels computed at once on a GPU, where nothing else is asked for: 64 images of 256 px, 4 of 1024 px."""


ClassName = str | Sequence[str] | None
"""The class that all pictures are to be of, or one for each; or all classes in turn."""


class Model:
    """A generator in eval mode, ready to draw from, as it is when its first picture is drawn.

    A picture depends on the weights and its seed alone: not on the other seeds asked for, their order or the batch
    size. On the CPU that holds bit for bit, since images are computed one at a time there; a GPU may round otherwise
    at another batch size. ``precision`` and ``compile`` make drawing faster, and round otherwise (docs/benchmarks.md).

    Args:
        network: An averaged generator with its statistics; the model keeps it.
        precision: What convolutions compute in: fp32, bf16 or fp16.
        compile: Compile for this machine at the first picture, which takes half a minute. For hundreds of pictures.

    Raises:
        UsageError: if the precision is unknown, or there is no compiler.
    """

    def __init__(self, network: Generator, precision: SamplingPrecision = "fp32", compile: bool = False) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.device = next(network.parameters()).device
        self.precision, self.compile = precision, compile
        if precision not in get_args(SamplingPrecision):
            raise UsageError(f"--precision {precision}: choose one of {', '.join(get_args(SamplingPrecision))}")
        if compile and not can_compile(self.device):
            raise UsageError(f"--compile: {self.device} needs a {COMPILERS}; install that, or draw without")

    @cached_property
    def folded(self) -> Folded:
        """The network made ready to draw from."""
        folded = Folded(self.network, PRECISIONS[self.precision])
        if self.compile:
            keep_compiled()
            folded.compile(dynamic=False)
        return folded

    @cached_property
    def response(self) -> Float64[Tensor, "z z"]:
        """How low maps answer to latents; see ``response.response``."""
        with arithmetic(self.precision):
            return response(self.folded, self.network.labels)

    @cached_property
    def truncation(self) -> Truncation:
        """What draws pictures towards the mean."""
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

        With truncation both the latents and the gates are drawn towards their mean (docs/explore.md). Other ``gates``,
        which ``gates`` gave for other inputs, may be put in the place of those that these inputs set.

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
        """Give the gates that latents, noise maps and classes set, as ``draw`` has them; none if there is no SLE."""
        with arithmetic(self.precision):
            if truncation == 1:
                return self.folded.gates_of(z, noise, labels)
            return self.truncation.gates(self.truncation.latents(z, truncation), noise, labels, truncation)

    def labels(self, seeds: Sequence[int], class_name: ClassName = None) -> Int64[Tensor, " n"] | None:
        """Give the number of each picture's class, of those asked for, or else of all in turn, seed by seed.

        None where the model has no classes.

        Raises:
            UsageError: if there is no such class, or not one for each seed.
        """
        if class_name is None:
            return self.network.labels(seeds)
        names = self.config.classes
        asked = [class_name] * len(seeds) if isinstance(class_name, str) else class_name
        for name in {class_name} if isinstance(class_name, str) else class_name:
            if name not in names:
                found = f"there are {', '.join(names)}" if names else "the model was trained without --labels folders"
                raise UsageError(f"--class {name}: is no class of this model; {found}")
        if len(asked) != len(seeds):
            raise UsageError(f"{len(asked)} classes for {len(seeds)} seeds: give one, or one for each seed")
        return torch.tensor([names.index(name) for name in asked], dtype=torch.int64, device=self.device)

    def sample(
        self, seeds: Sequence[int], batch: int | None = None, class_name: ClassName = None, truncation: float = 1.0
    ) -> UInt8[Tensor, "n c h w"]:
        """Draw one image for each seed.

        Args:
            seeds: Any numbers from 0 up.
            batch: Images computed at once on a GPU, by default what suits it; the CPU computes one at a time.
            class_name: The class to draw, or one for each seed. Default: seed modulo the number of classes.
            truncation: Below 1 pictures are drawn towards the mean, and grow more alike.

        Returns:
            Images on the CPU: grey, RGB, or RGBA with premultiplied alpha, as the model's ``config.channels`` says.
            ``images`` gives RGBA straight, as files have it.

        Raises:
            UsageError: if no seed is given, or one is negative, or there is no such class, or the batch or the
                truncation makes no sense.
        """
        return torch.cat(list(self.stream(seeds, batch, class_name, truncation)))

    def images(
        self, seeds: Sequence[int], batch: int | None = None, class_name: ClassName = None, truncation: float = 1.0
    ) -> list[Image.Image]:
        """Draw one Pillow image for each seed; see ``sample``."""
        return [to_image(image) for image in self.sample(seeds, batch, class_name, truncation)]

    def stream(
        self, seeds: Sequence[int], batch: int | None = None, class_name: ClassName = None, truncation: float = 1.0
    ) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """Draw the images of ``seeds`` in order, a batch at a time, so that memory holds only one batch.

        Raises:
            UsageError: as ``sample``; and if the generator is damaged, so that its images are not finite.
        """
        latent.check_seeds(seeds)
        if batch is not None and batch < 1:
            raise UsageError(f"--size-of-batch {batch}: must be at least 1")
        size = 1 if self.device.type == "cpu" else batch or max(1, AT_ONCE // math.prod(self.config.shape))
        labels = self.labels(seeds, class_name)
        for start in range(0, len(seeds), size):
            places = list(range(start, min(start + size, len(seeds))))
            # A last batch that is not full would be compiled anew, so it is filled up with its last seed.
            filled = [*places, *[places[-1]] * (size - len(places))] if self.compile else places
            asked = [seeds[place] for place in filled]
            z, noise = latent.from_seeds(asked, self.config.latent, self.network.noise_shapes, self.device)
            images = self.draw(z, noise, None if labels is None else labels[filled], truncation)[: len(places)]
            yield to_bytes(whole(images, str(seeds[start]))).cpu()

    def picture(self, latents: Latents, truncation: float = 1.0) -> UInt8[Tensor, "n c h w"]:
        """Draw one image for each point, one at a time, so that on the CPU the bits are those of ``sample``.

        Raises:
            UsageError: if the truncation is not from 0 to 1, or the generator is damaged.
        """
        drawn = []
        for place, name in enumerate(latents.names):
            image = self.draw(*latents.pick([place]).on(self.device), truncation)
            drawn.append(to_bytes(whole(image, name)).cpu())
        return torch.cat(drawn)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that no other model has: a hash of all weights and of the configuration."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self.config), sort_keys=True).encode())
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.contiguous().cpu().numpy())
        return digest.hexdigest()[:16]

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``, the layout of model hubs; the latter suffices to load."""
        folder = Path(folder)
        config = {"format": FORMAT} | dataclasses.asdict(self.config)
        weights = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        with replacing(folder / WEIGHTS) as temporary:
            save_file(weights, temporary, metadata={"handful": json.dumps(config)})
        write_json(folder / "config.json", config)


def whole(images: Float[Tensor, "b c h w"], seed: str) -> Float[Tensor, "b c h w"]:
    """Give images as they are, unless they are damaged; ``seed`` is what the first was drawn from.

    Raises:
        UsageError: if a number is not finite.
    """
    if not images.isfinite().all():
        raise UsageError(f"seed {seed}: the generator gives numbers that are not finite; it is damaged")
    return images


def frozen_weights() -> AbstractContextManager[None]:
    """Within the block, what is compiled has its weights laid out for its kernels once, since they never change."""
    import torch._inductor.config  # takes a second, and only compiling needs it

    frozen: AbstractContextManager[None] = torch._inductor.config.patch(freezing=True)
    return frozen


def load(
    source: Path | str, device: str = "auto", precision: SamplingPrecision = "fp32", compile: bool = False
) -> Model:
    """Load a generator from a run folder, a model folder or a ``.safetensors`` file.

    Of a run folder it is the best one by the run's scores, or the newest one if none is kept as the best. Sets this
    process up to compute (``machine.prepare``).

    Args:
        source: Where it is.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: See ``Model``.
        compile: See ``Model``.

    Raises:
        UsageError: if there is no model, or the file is not one of ours, or as ``Model``.
    """
    source = Path(source)
    path = find_weights(source)
    if path is None:
        if not source.exists():
            raise UsageError(f"{source}: is not there; give a run folder, a model folder or a .safetensors file")
        raise UsageError(f"{source}: no {WEIGHTS} in it; if it is a run folder, it has not written its first model yet")
    chosen = choose_device(device)
    prepare(chosen)
    try:
        with safe_open(path, framework="pt", device=str(chosen)) as file:
            config = json.loads((file.metadata() or {}).get("handful", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UsageError(f"{path}: cannot be read as a safetensors file ({error}); it may be cut short") from error
    if config.pop("format", None) != FORMAT:
        raise UsageError(f"{path}: was not written by handful, or by another version of it ({FORMAT!r} is wanted)")
    config["classes"] = tuple(config.get("classes", ()))
    network = Generator(GeneratorConfig(**config)).to(chosen)
    network.load_state_dict(weights)
    return Model(network, precision, compile)


def find_weights(source: Path) -> Path | None:
    """Find the file that holds the generator of a run folder (its best one) or a model folder, or is one."""
    folders = [source / layout.MODEL, source]
    if (source / layout.BEST / layout.SCORE).is_file():  # written last, so the model beside it is whole
        folders.insert(0, source / layout.BEST)
    places = [source] if source.is_file() else [folder / WEIGHTS for folder in folders]
    return next((place for place in places if place.is_file()), None)
