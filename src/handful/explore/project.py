"""Project a photo: find the latents whose picture is nearest to it. First the latent, then noise, then low maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from handful.compute.precision import arithmetic
from handful.config.checks import checked
from handful.config.text import option
from handful.errors import UsageError
from handful.explore.likeness import Likeness, psnr
from handful.images.grid import from_bytes, to_bytes
from handful.networks.pretrained.lpips import Perceptual
from handful.sampling.latents import Latents
from handful.sampling.model import Model
from handful.seeds import Purpose, fold

LEARNING_RATE = 0.1
"""Adam's, for latents and noise of standard deviation 1."""

WARM_UP, COOL_DOWN = 0.05, 0.5
"""Shares of a stage in which the learning rate rises and falls."""

DEVIATIONS = 3.0
"""Largest distance of a latent's mean square from that of normal draws, in standard deviations of that mean square."""

FRAMES = 48
"""Approximate number of pictures in a film."""


@final
@dataclass(frozen=True)
class Effort:
    """How long to search. The time is proportional to ``starts * (steps + noise_steps + map_steps)``."""

    steps: int = 300
    """Steps on the latent."""
    noise_steps: int = 100
    """Steps on latent and noise, after that. 0 leaves the noise at zero."""
    map_steps: int = 0
    """Steps on the lowest map instead of the latent, after that. Shows how near the rest of the generator can come."""
    starts: int = 4
    """Latents optimised side by side; the best is kept."""
    candidates: int = 64
    """Random latents; the nearest ones become the starts."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UsageError: if a number is out of range.
        """
        for name, least in {"steps": 1, "noise_steps": 0, "map_steps": 0, "starts": 1, "candidates": 1}.items():
            if getattr(self, name) < least:
                raise UsageError(f"{option(name)} {getattr(self, name)}: must be at least {least}")
        if self.candidates < self.starts:
            raise UsageError(f"--candidates {self.candidates}: must be at least --starts {self.starts}")


@final
@dataclass(frozen=True)
class Stage:
    """The result of one stage."""

    name: str
    """latent, noise or maps."""
    picture: UInt8[Tensor, "c h w"]
    psnr: float
    """Decibels."""
    lpips: float | None
    """None without its weights."""

    @property
    def measured(self) -> str:
        """Distance in words: ``25.1 dB, LPIPS 0.123``."""
        return f"{self.psnr:.1f} dB" + (f", LPIPS {self.lpips:.3f}" if self.lpips is not None else "")


@final
@dataclass(frozen=True, repr=False)
class Projection:
    """The result for one photo."""

    name: str
    target: UInt8[Tensor, "c h w"]
    latents: Latents
    """Of one picture: that of the last stage before ``maps``, since latents hold no maps."""
    stages: tuple[Stage, ...]
    film: list[UInt8[Tensor, "c h w"]] = field(default_factory=list)
    """The nearest picture at regular steps; empty unless asked for."""

    def __repr__(self) -> str:
        return f"Projection({self.name}: {', '.join(f'{stage.name} {stage.measured}' for stage in self.stages)})"


@checked
def project(
    model: Model,
    target: UInt8[Tensor, "c h w"],
    name: str,
    perceptual: Perceptual | None = None,
    effort: Effort | None = None,
    class_name: str | None = None,
    film: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Projection:
    """Project a photo.

    Latents keep the length of normal draws, and noise gets no stronger: outside of what it was trained on, a generator
    can draw anything. The noise is zero until its stage. On one machine the same photo gives the same latents.

    Args:
        model: The generator, in fp32.
        target: The photo, in the size and channels of ``Model.sample``.
        name: Name of the latents.
        perceptual: LPIPS. Default: compare pixels only.
        effort: How long to search.
        class_name: The class to search, if the model has classes. Default: those of the nearest starts.
        film: Whether to keep pictures of the search; at 1024 px they take 150 MB.
        progress: Called with the number of steps done and their total.

    Source: StyleGAN2 (Karras et al. 2020), appendix D, for latent and noise together and for LPIPS. There is no mapping
    network here, so bounds replace its statistics. Several starts, and their choice, are ours.

    Raises:
        UsageError: if there is no such class.
    """
    effort = effort or Effort()
    likeness = Likeness(from_bytes(target[None]).to(model.device), perceptual)
    with arithmetic(model.precision):
        search = Search(model, likeness, effort, class_name, progress, film=film)
        latents = search.optimise_latents(name, effort.steps, with_noise=False)
        stages = [measure_stage("latent", model.sample(latents)[0], target, likeness)]
        if effort.noise_steps:
            latents = search.optimise_latents(name, effort.noise_steps, with_noise=True)
            stages.append(measure_stage("noise", model.sample(latents)[0], target, likeness))
        if effort.map_steps:
            stages.append(measure_stage("maps", search.optimise_maps(), target, likeness))
    return Projection(name, target, latents, tuple(stages), search.film)


class Search:
    """The starts of one photo, as the search moves them."""

    def __init__(
        self,
        model: Model,
        likeness: Likeness,
        effort: Effort,
        class_name: str | None,
        progress: Callable[[int, int], None],
        *,
        film: bool,
    ) -> None:
        self.model, self.likeness, self.effort, self.progress = model, likeness, effort, progress
        self.total = effort.steps + effort.noise_steps + effort.map_steps
        self.done = 0
        self.records_film, self.film = film, list[Tensor]()
        self.noise = [
            torch.zeros(effort.starts, 1, *shape, device=model.device) for shape in model.network.noise_shapes
        ]
        self.z, self.labels = self.nearest_candidates(class_name)

    @torch.no_grad()
    def nearest_candidates(self, class_name: str | None) -> tuple[Float[Tensor, "s z"], Int64[Tensor, " s"] | None]:
        """Choose the starts among random latents, of all classes in turn."""
        model, count = self.model, self.effort.candidates
        random = torch.Generator().manual_seed(fold(Purpose.INVERSION))
        z = torch.randn(count, model.config.latent, generator=random).to(model.device)
        labels = model.labels(range(count), class_name)
        distances = []
        for index in range(count):
            noise = [maps[:1] for maps in self.noise]
            image = model.draw(z[index : index + 1], noise, None if labels is None else labels[index : index + 1])
            distances.append(self.likeness(image))
        nearest = torch.cat(distances).argsort()[: self.effort.starts]
        return z[nearest], None if labels is None else labels[nearest]

    def optimise_latents(self, name: str, steps: int, *, with_noise: bool) -> Latents:
        """Optimise the latents, and the noise with them if asked to. Return the nearest."""

        def draw() -> Tensor:
            drawn: Tensor = self.model.folded(self.z, self.noise, self.labels)
            return drawn

        return self.nearest(name, self.descend([self.z, *self.noise] if with_noise else [self.z], draw, steps))

    def optimise_maps(self) -> UInt8[Tensor, "c h w"]:
        """Optimise the lowest maps, and the noise if it had its stage. Return the nearest picture."""
        folded = self.model.folded
        with torch.no_grad():
            low = folded.base_map(self.z, self.labels)

        def draw() -> Tensor:
            return folded.from_base_map(low, self.noise, self.labels)

        variables = [low, *self.noise] if self.effort.noise_steps else [low]
        best = int(self.descend(variables, draw, self.effort.map_steps).argmin())
        with torch.no_grad():
            noise = [maps[best : best + 1] for maps in self.noise]
            labels = None if self.labels is None else self.labels[best : best + 1]
            return to_bytes(folded.from_base_map(low[best : best + 1], noise, labels)).cpu()[0]

    def nearest(self, name: str, distances: Float[Tensor, " s"]) -> Latents:
        """Return the latents of the nearest start."""
        best = int(distances.argmin())
        z, *noise = (values[best : best + 1].detach().cpu().clone() for values in (self.z, *self.noise))
        return Latents(z, noise, None if self.labels is None else self.labels[best : best + 1].cpu(), (name,))

    def descend(self, variables: Sequence[Tensor], draw: Callable[[], Tensor], steps: int) -> Float[Tensor, " s"]:
        """Optimise tensors in place, and leave each start where it was nearest. Return its distances there."""
        for variable in variables:
            variable.requires_grad_(True)
        optimiser = torch.optim.Adam(variables, lr=LEARNING_RATE, betas=(0.9, 0.99))
        nearest = torch.full((self.effort.starts,), math.inf, device=self.model.device)
        kept = [variable.detach().clone() for variable in variables]
        for step in range(steps + 1):
            images = draw()
            distances = self.likeness(images)
            with torch.no_grad():
                better = distances < nearest
                nearest = torch.where(better, distances, nearest)
                for best, variable in zip(kept, variables, strict=True):
                    best[better] = variable[better]
                self.record_frame(images, distances)
            if step == steps:
                break
            optimiser.zero_grad()
            torch.autograd.backward(distances.sum())
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * schedule(step / steps)
            optimiser.step()
            with torch.no_grad():
                bound(self.z, both=True)
                for maps in self.noise:
                    bound(maps, both=False)
            self.done += 1
            self.progress(self.done, self.total)
        with torch.no_grad():
            for variable, best in zip(variables, kept, strict=True):
                variable.requires_grad_(False).copy_(best)
        return nearest

    def record_frame(self, images: Float[Tensor, "s c h w"], distances: Float[Tensor, " s"]) -> None:
        """Add the nearest picture to the film, at regular steps."""
        if self.records_film and (self.done % max(1, self.total // FRAMES) == 0 or self.done == self.total):
            best = int(distances.argmin())
            self.film.append(to_bytes(images[best : best + 1]).cpu()[0])


def schedule(share: float) -> float:
    """Return the factor of the learning rate after a share of a stage: warm-up, constant, then a cosine down to 0.

    Source: StyleGAN2 (Karras et al. 2020), appendix D.
    """
    left = min(1.0, (1 - share) / COOL_DOWN)
    return min(1.0, (share + 0.01) / WARM_UP) * (0.5 - 0.5 * math.cos(left * math.pi))


def bound(values: Float[Tensor, "b ..."], *, both: bool) -> None:
    """Scale rows in place whose mean square is too large for normal draws, or also too small with ``both``."""
    flat = values.flatten(1)
    square = flat.square().mean(dim=1)
    reach = DEVIATIONS * (2 / flat.shape[1]) ** 0.5
    wanted = square.clamp(max=1 + reach)
    if both:
        wanted = wanted.clamp(min=max(0.0, 1 - reach))
    scale = torch.where(square > 0, (wanted / square).sqrt(), 1.0)
    values.mul_(scale.view(-1, *[1] * (values.ndim - 1)))


@torch.no_grad()
def measure_stage(
    name: str, picture: UInt8[Tensor, "c h w"], target: UInt8[Tensor, "c h w"], likeness: Likeness
) -> Stage:
    """Measure the distance of a picture from its photo."""
    images = from_bytes(picture[None]).to(likeness.target.device)
    lpips = None if likeness.perceptual is None else float(likeness.lpips(images))
    return Stage(name, picture, psnr(picture, target), lpips)
