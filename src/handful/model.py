"""A trained generator: draw pictures from it, save it, load it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handful import latent
from handful.config import GeneratorConfig
from handful.errors import UsageError
from handful.files import replacing, write_json
from handful.generator import Generator
from handful.images import to_bytes, to_image
from handful.verdict import BEST

WEIGHTS = "model.safetensors"
FORMAT = "handful generator 1"


class Model:
    """A generator in eval mode, ready to draw from.

    A picture depends on the weights and its seed alone: not on the other seeds asked for, their order or the batch
    size. On the CPU that holds bit for bit, since images are computed one at a time there; a GPU may round otherwise
    at another batch size.
    """

    def __init__(self, network: Generator) -> None:
        self.network = network.eval().requires_grad_(False)
        self.config = network.config
        self.device = next(network.parameters()).device

    def sample(self, seeds: Sequence[int], batch: int = 16) -> UInt8[Tensor, "n 3 h w"]:
        """Draw one image for each seed.

        Args:
            seeds: Any numbers from 0 up.
            batch: Images computed at once on a GPU; the CPU computes one at a time.

        Returns:
            RGB images, on the CPU.

        Raises:
            UsageError: if no seed is given, or one is negative, or the batch is below 1.
        """
        return torch.cat(list(self.stream(seeds, batch)))

    def images(self, seeds: Sequence[int], batch: int = 16) -> list[Image.Image]:
        """Draw one Pillow image for each seed; see ``sample``."""
        return [to_image(image) for image in self.sample(seeds, batch)]

    @torch.no_grad()
    def stream(self, seeds: Sequence[int], batch: int = 16) -> Iterator[UInt8[Tensor, "b 3 h w"]]:
        """Draw the images of ``seeds`` in order, a batch at a time, so that memory holds only one batch.

        Raises:
            UsageError: as ``sample``; and if the generator is damaged, so that its images are not finite.
        """
        if len(seeds) == 0:
            raise UsageError("no seeds were given: ask for at least one")
        if min(seeds) < 0:
            raise UsageError(f"seed {min(seeds)}: must not be negative")
        if batch < 1:
            raise UsageError(f"--size-of-batch {batch}: must be at least 1")
        step = 1 if self.device.type == "cpu" else batch
        for start in range(0, len(seeds), step):
            z, noise = latent.from_seeds(
                seeds[start : start + step], self.config.latent, self.network.noise_sizes, self.device
            )
            images = self.network(z, noise)[0]
            if not images.isfinite().all():
                raise UsageError(f"seed {seeds[start]}: the generator gives numbers that are not finite; it is damaged")
            yield to_bytes(images).cpu()

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``, the layout of model hubs; the latter suffices to load."""
        folder = Path(folder)
        config = {"format": FORMAT} | dataclasses.asdict(self.config)
        weights = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        with replacing(folder / WEIGHTS) as temporary:
            save_file(weights, temporary, metadata={"handful": json.dumps(config)})
        write_json(folder / "config.json", config)


def load(source: Path | str, device: str = "auto") -> Model:
    """Load a generator from a run folder, a model folder or a ``.safetensors`` file.

    Of a run folder it is the best one by the run's scores, or the newest one if none is kept as the best.

    Raises:
        UsageError: if there is no model, or the file is not one of ours.
    """
    source = Path(source)
    path = find_weights(source)
    if path is None:
        if not source.exists():
            raise UsageError(f"{source}: is not there; give a run folder, a model folder or a .safetensors file")
        raise UsageError(f"{source}: no {WEIGHTS} in it; if it is a run folder, it has not written its first model yet")
    chosen = choose_device(device)
    try:
        with safe_open(path, framework="pt", device=str(chosen)) as file:
            config = json.loads((file.metadata() or {}).get("handful", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UsageError(f"{path}: cannot be read as a safetensors file ({error}); it may be cut short") from error
    if config.pop("format", None) != FORMAT:
        raise UsageError(f"{path}: was not written by handful, or by another version of it ({FORMAT!r} is wanted)")
    network = Generator(GeneratorConfig(**config)).to(chosen)
    network.load_state_dict(weights)
    return Model(network)


def find_weights(source: Path) -> Path | None:
    """Find the file that holds the generator of a run folder (its best one) or a model folder, or is one."""
    folders = [source / "model", source]
    if (source / "best" / BEST).is_file():  # written last, so the model beside it is whole
        folders.insert(0, source / "best")
    places = [source] if source.is_file() else [folder / WEIGHTS for folder in folders]
    return next((place for place in places if place.is_file()), None)


def choose_device(name: str) -> torch.device:
    """Turn ``--device`` into a device; ``auto`` is the first of CUDA, MPS and the CPU that is there.

    Raises:
        UsageError: if the device is unknown or not there.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name}: not available ({reason}); use auto, cpu, cuda, cuda:1 or mps") from error
    return device
