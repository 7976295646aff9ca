"""Find the point of a generator whose picture is nearest to a photo: latent first, then noise, then its lowest maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from handful.compute.precision import arithmetic
from handful.config.text import option
from handful.errors import UsageError
from handful.explore.likeness import Likeness, psnr
from handful.images.grid import from_bytes, to_bytes
from handful.networks.pretrained.lpips import Perceptual
from handful.sampling.latents import Latents
from handful.sampling.model import Model
from handful.seeds import Purpose, fold

RATE = 0.1
"""Adam's step, against latents and noise of deviation 1."""


WARM, COOL = 0.05, 0.5
"""Shares of a stage in which the step grows, and shrinks."""


DEVIATIONS = 3.0
"""How far the mean square of a latent may be from that of normal draws, in its own standard deviations."""


FRAMES = 48
"""Pictures of a film, about."""


@final
@dataclass(frozen=True)
class Effort:
    """How hard is looked; the time grows with ``starts * (steps + noise_steps + map_steps)``."""

    steps: int = 300
    """On the latent."""
    noise_steps: int = 100
    """On the latent and the noise, after that; 0 leaves the noise at zero."""
    map_steps: int = 0
    """On the lowest map in the latent's place, after that: how near the rest of the generator can come."""
    starts: int = 4
    """Latents that are followed side by side; the best is kept."""
    candidates: int = 64
    """Random latents of which the nearest are the starts."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: naming the option.
        """
        for name, least in {"steps": 1, "noise_steps": 0, "map_steps": 0, "starts": 1, "candidates": 1}.items():
            if getattr(self, name) < least:
                raise UsageError(f"{option(name)} {getattr(self, name)}: must be at least {least}")
        if self.candidates < self.starts:
            raise UsageError(f"--candidates {self.candidates}: must be at least --starts {self.starts}")


@final
@dataclass(frozen=True)
class Stage:
    """How near one stage came."""

    name: str
    """latent, noise or maps."""
    picture: UInt8[Tensor, "c h w"]
    psnr: float
    """Decibels."""
    lpips: float | None
    """None without its weights."""


@final
@dataclass(frozen=True)
class Projection:
    """What became of one photo."""

    name: str
    target: UInt8[Tensor, "c h w"]
    latents: Latents
    """One point, whose picture is that of the last stage before ``maps``: maps are in no point."""
    stages: tuple[Stage, ...]
    film: list[UInt8[Tensor, "c h w"]] = field(default_factory=list)
    """The nearest picture of the moment, as it went; empty unless asked for."""


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

    Latents stay as long as the generator knows them, and noise no stronger: what it never saw it can turn into
    anything. The noise is zero until its stage. On one machine the same photo gives the same point.

    Args:
        model: The generator, in fp32.
        target: The photo, as the model's pictures are; see ``Model.sample``.
        name: What the point is called.
        perceptual: LPIPS; without it pixels decide alone.
        effort: How hard to look.
        class_name: The class to look in, where the model has classes; by default the nearest starts decide, over all.
        film: Whether to keep pictures of the way; at 1024 px they take 150 MB.
        progress: Told how many steps of how many are done.

    Source: StyleGAN2 (Karras et al. 2020), appendix D, for latent and noise together and for LPIPS. There is no mapping
    network here, so bounds take the place of its statistics; several starts, and their choice, are ours.

    Raises:
        UsageError: if there is no such class.
    """
    effort = effort or Effort()
    likeness = Likeness(from_bytes(target[None]).to(model.device), perceptual)
    with arithmetic(model.precision):
        search = Search(model, likeness, effort, class_name, progress, film=film)
        latents = search.latents(name, effort.steps, noise=False)
        stages = [stage("latent", model.sample(latents)[0], target, likeness)]
        if effort.noise_steps:
            latents = search.latents(name, effort.noise_steps, noise=True)
            stages.append(stage("noise", model.sample(latents)[0], target, likeness))
        if effort.map_steps:
            stages.append(stage("maps", search.maps(), target, likeness))
    return Projection(name, target, latents, tuple(stages), search.film)


class Search:
    """Where the starts of one photo stand."""

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
        self.filmed, self.film = film, list[Tensor]()
        self.noise = [
            torch.zeros(effort.starts, 1, *shape, device=model.device) for shape in model.network.noise_shapes
        ]
        self.z, self.labels = self.nearest_candidates(class_name)

    @torch.no_grad()
    def nearest_candidates(self, class_name: str | None) -> tuple[Float[Tensor, "s z"], Int64[Tensor, " s"] | None]:
        """Choose among random latents, of all classes in turn, those to start from."""
        model, count = self.model, self.effort.candidates
        random = torch.Generator().manual_seed(fold(Purpose.INVERSION))
        z = torch.randn(count, model.config.latent, generator=random).to(model.device)
        labels = model.labels(range(count), class_name)
        distances = []
        for place in range(count):
            noise = [each[:1] for each in self.noise]
            image = model.draw(z[place : place + 1], noise, None if labels is None else labels[place : place + 1])
            distances.append(self.likeness(image))
        chosen = torch.cat(distances).argsort()[: self.effort.starts]
        return z[chosen], None if labels is None else labels[chosen]

    def latents(self, name: str, steps: int, *, noise: bool) -> Latents:
        """Move the latents, and the noise with them or not; give the nearest."""

        def draw() -> Tensor:
            drawn: Tensor = self.model.folded(self.z, self.noise, self.labels)
            return drawn

        return self.point(name, self.descend([self.z, *self.noise] if noise else [self.z], draw, steps))

    def maps(self) -> UInt8[Tensor, "c h w"]:
        """Move the lowest maps, and the noise if it had its stage; give the nearest picture."""
        folded = self.model.folded
        with torch.no_grad():
            low = folded.start(self.z, self.labels)

        def draw() -> Tensor:
            return folded.grow(low, self.noise, self.labels)

        moved = [low, *self.noise] if self.effort.noise_steps else [low]
        best = int(self.descend(moved, draw, self.effort.map_steps).argmin())
        with torch.no_grad():
            noise = [each[best : best + 1] for each in self.noise]
            labels = None if self.labels is None else self.labels[best : best + 1]
            return to_bytes(folded.grow(low[best : best + 1], noise, labels)).cpu()[0]

    def point(self, name: str, distances: Float[Tensor, " s"]) -> Latents:
        """Give the start that is nearest now."""
        best = int(distances.argmin())
        z, *noise = (each[best : best + 1].detach().cpu().clone() for each in (self.z, *self.noise))
        return Latents(z, noise, None if self.labels is None else self.labels[best : best + 1].cpu(), (name,))

    def descend(self, moved: Sequence[Tensor], draw: Callable[[], Tensor], steps: int) -> Float[Tensor, " s"]:
        """Move tensors, in place, to where each start was nearest in ``steps`` steps; give these distances."""
        for each in moved:
            each.requires_grad_(True)
        optimiser = torch.optim.Adam(moved, lr=RATE, betas=(0.9, 0.99))
        nearest = torch.full((self.effort.starts,), math.inf, device=self.model.device)
        kept = [each.detach().clone() for each in moved]
        for step in range(steps + 1):
            images = draw()
            distances = self.likeness(images)
            with torch.no_grad():
                better = distances < nearest
                nearest = torch.where(better, distances, nearest)
                for place, each in enumerate(moved):
                    kept[place][better] = each[better]
                self.watch(images, distances)
            if step == steps:
                break
            optimiser.zero_grad()
            torch.autograd.backward(distances.sum())
            for group in optimiser.param_groups:
                group["lr"] = RATE * pace(step / steps)
            optimiser.step()
            with torch.no_grad():
                bound(self.z, both=True)
                for each in self.noise:
                    bound(each, both=False)
            self.done += 1
            self.progress(self.done, self.total)
        with torch.no_grad():
            for each, value in zip(moved, kept, strict=True):
                each.requires_grad_(False).copy_(value)
        return nearest

    def watch(self, images: Float[Tensor, "s c h w"], distances: Float[Tensor, " s"]) -> None:
        """Keep the nearest picture of the moment for the film, now and then."""
        if self.filmed and (self.done % max(1, self.total // FRAMES) == 0 or self.done == self.total):
            best = int(distances.argmin())
            self.film.append(to_bytes(images[best : best + 1]).cpu()[0])


def pace(share: float) -> float:
    """Give the size of the step after a share of a stage: growing, full, then shrinking to nothing along a cosine.

    Source: StyleGAN2 (Karras et al. 2020), appendix D.
    """
    left = min(1.0, (1 - share) / COOL)
    return min(1.0, (share + 0.01) / WARM) * (0.5 - 0.5 * math.cos(left * math.pi))


def bound(values: Float[Tensor, "b ..."], *, both: bool) -> None:
    """Scale rows, in place, whose mean square is too far from 1 for normal draws: too large, or also too small."""
    flat = values.flatten(1)
    square = flat.square().mean(dim=1)
    reach = DEVIATIONS * (2 / flat.shape[1]) ** 0.5
    wanted = square.clamp(max=1 + reach)
    if both:
        wanted = wanted.clamp(min=max(0.0, 1 - reach))
    scale = torch.where(square > 0, (wanted / square).sqrt(), 1.0)
    values.mul_(scale.view(-1, *[1] * (values.ndim - 1)))


@torch.no_grad()
def stage(name: str, picture: UInt8[Tensor, "c h w"], target: UInt8[Tensor, "c h w"], likeness: Likeness) -> Stage:
    """Measure how near a picture is to its photo."""
    images = from_bytes(picture[None]).to(likeness.target.device)
    lpips = None if likeness.perceptual is None else float(likeness.lpips(images))
    return Stage(name, picture, psnr(picture, target), lpips)
