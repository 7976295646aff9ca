"""Walks through the latent space: films in which each picture turns into the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from handful.config.checks import checked
from handful.config.choices import Easing, NoiseMode, Spacing
from handful.errors import UsageError
from handful.images.grid import grid as sheet
from handful.images.grid import to_image
from handful.images.video import check_video, write_video
from handful.metrics.features import load_extractor, pixels
from handful.networks.latent import slerp
from handful.networks.layers import Labels
from handful.networks.pretrained.lpips import Perceptual
from handful.progress import Progress, advance, note, shown_on
from handful.sampling.latents import Latents
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.pictures import finished
from handful.seeds import Purpose, fold

ROUNDS = 4
"""Rounds of measuring the steps and evening them out; the best round is used."""

PICTURES_PER_BATCH = 32
"""Pictures measured at once."""

STOPS = 6
"""Seeds of a random loop."""

LARGEST_SEED = 1_000_000
"""Of a random loop: short enough to be typed."""

Measure = Callable[[UInt8[Tensor, "n c h w"]], Float64[Tensor, "_"]]
"""Returns the distance of each image, but the first, from the one before it."""


@final
@dataclass(frozen=True)
class Walk:
    """A path through latents of a model: one leg from each to the next, and in a loop one more back to the first.

    At moment 0 it is at the first latent, at 1 at the second, and draws their own pictures there, bit for bit. Between
    them latents and noise maps follow arcs (``latent.slerp``), and classes blend.
    """

    model: Model
    latents: Latents
    loop: bool = False
    noise: NoiseMode = "moving"
    """fixed: the noise of the first latent all the way, also at the other latents."""
    truncation: float = 1.0

    @property
    def legs(self) -> int:
        """The number of legs, which is also the last moment."""
        return len(self.latents) - (0 if self.loop else 1)

    def inputs(self, moment: float) -> tuple[Float[Tensor, "1 z"], list[Float[Tensor, "1 1 _ _"]], Labels | None]:
        """Return the latent, noise maps and class of a moment, from 0 to ``legs``."""
        share, leg = math.modf(moment)
        ends = [int(leg) % len(self.latents), (int(leg) + 1) % len(self.latents)]
        start, end = self.latents.pick(ends[:1]), self.latents.pick(ends[1:])
        fixed = self.latents.pick([0]).noise if self.noise == "fixed" else None
        if share == 0:  # an arc reaches its ends only up to rounding
            return start.z, fixed or start.noise, start.labels
        pairs = zip(start.noise, end.noise, strict=True)
        noise = fixed or [slerp(a.flatten(1), b.flatten(1), share).view_as(a) for a, b in pairs]
        return slerp(start.z, end.z, share), noise, self.blend_labels(start.labels, end.labels, share)

    def picture(self, moment: float) -> UInt8[Tensor, "1 c h w"]:
        """Draw the picture of a moment, from 0 to ``legs``."""
        z, noise, labels = self.inputs(moment)
        device = self.model.device
        labels = None if labels is None else labels.to(device)
        images = self.model.draw(z.to(device), [maps.to(device) for maps in noise], labels, self.truncation)
        return finished(images, f"{moment:g} of a walk")

    def blend_labels(
        self, start: Int64[Tensor, " 1"] | None, end: Int64[Tensor, " 1"] | None, share: float
    ) -> Labels | None:
        """Return the classes at a share of the way: shares of both where they differ."""
        if start is None or end is None or torch.equal(start, end):
            return start
        ends = torch.eye(len(self.model.config.classes))
        return torch.lerp(ends[start], ends[end], share)


def plain_moments(legs: int, steps: int, ease: Easing = "none") -> list[float]:
    """Return moments at equal distances, including both ends. With ``ease`` they are slow at each latent."""
    moments = [step * legs / steps for step in range(steps + 1)]
    if ease == "none":
        return moments
    return [leg + share**2 * (3 - 2 * share) for share, leg in map(math.modf, moments)]


def choose_moments(walk: Walk, steps: int, ease: Easing, measure: Measure | None) -> list[float]:
    """Return moments that are even by ``measure``, or plain ones without it."""
    if measure is None:
        return plain_moments(walk.legs, steps, ease)
    return even_moments(walk, steps, measure, partial(advance, "measuring"))


def even_moments(walk: Walk, steps: int, measure: Measure, progress: Callable[[int, int], None]) -> list[float]:
    """Return moments between which pictures change equally, including both ends of the walk.

    Each round measures the steps and moves the moments so that the accumulated change grows evenly. The best round is
    returned.
    """

    def report(before: int, done: int) -> None:
        progress(before + done, ROUNDS * steps)

    moments = plain_moments(walk.legs, steps)
    tried = []
    for turn in range(ROUNDS):
        changes = measure_steps(walk, moments, measure, partial(report, turn * steps))
        if float(changes.sum()) == 0:  # nothing changes, so any moments are even
            return moments
        tried.append((float(changes.std(correction=0) / changes.mean()), moments))
        total = np.concatenate([[0.0], changes.cumsum(0).numpy()])
        inner = np.interp(np.linspace(0, total[-1], steps + 1), total, moments)[1:-1]
        moments = [0.0, *inner.tolist(), float(walk.legs)]
    return min(tried)[1]


def measure_steps(
    walk: Walk, moments: Sequence[float], measure: Measure, progress: Callable[[int], None]
) -> Float64[Tensor, _]:
    """Measure the steps between the pictures of a walk, a batch at a time."""
    changes, last = [], walk.picture(moments[0])
    for start in range(1, len(moments), PICTURES_PER_BATCH):
        batch = [last]
        for moment in moments[start : start + PICTURES_PER_BATCH]:
            batch.append(walk.picture(moment))
            progress(start + len(batch) - 2)
        changes.append(measure(torch.cat(batch)))
        last = batch[-1]
    return torch.cat(changes)


def load_measure(speed: Spacing, device: torch.device, weights: Path | None = None) -> Measure:
    """Load the network that measures steps.

    Raises:
        WeightsError: if LPIPS is asked for and its weight files cannot be had.
    """
    if speed == "lpips":
        perceptual = Perceptual.pretrained(weights).to(device)

        @torch.no_grad()
        def lpips(images: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, _]:
            seen = pixels(images.to(device))
            distances: Tensor = perceptual(seen[1:], seen[:-1])
            return distances.double().cpu()

        return lpips
    extractor = load_extractor("random", device)
    return lambda images: extractor(images).diff(dim=0).norm(dim=1)


@checked
def interpolate(
    source: Path | str,
    out: Path | str = "walk.webp",
    seeds: str | Sequence[int] | Latents | None = None,
    frames: int = 120,
    fps: float = 24.0,
    *,
    loop: bool = False,
    ease: Easing = "none",
    speed: Spacing = "plain",
    noise: NoiseMode = "moving",
    grid: int = 1,
    random: int = 0,
    class_name: str | None = None,
    truncation: float = 1.0,
    weights: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Make a film of a walk through the latent space; docs/explore.md has more.

    Args:
        source: A run folder, a model folder, a ``.safetensors`` file, or a model of the Hub: ``hf:owner/name``.
        out: The film: ``.webp`` (lossless) or ``.gif``; ``.mp4`` or ``.webm`` (pip install 'handful[video]');
            or a new folder for PNG frames.
        seeds: Pictures to pass through: seeds, ranges and latent files, such as ``0-15,100,face.safetensors``.
            Default: a random loop.
        frames: Frames of the film.
        fps: Frames per second.
        loop: Return to the first picture, so that the film repeats without a jump.
        ease: smooth: slow down at each seed.
        speed: plain: equal steps in the latent space. features: equal steps in appearance, measured by a small
            network that needs no file. lpips: the same by LPIPS, which needs weight files. Both take five times
            as long.
        noise: moving: blend the noise of each seed into that of the next. fixed: keep the noise of the first.
        grid: Walks shown side by side. The seeds are divided among them in order.
        random: Seed of the random loop.
        class_name: Class to draw, for a model trained with labels. Default: the class of each seed, blended on
            the way.
        truncation: Values below 1 draw pictures closer to the mean, down to 0: cleaner, but more alike.
        weights: Folder with weight files of LPIPS. Default: $HANDFUL_WEIGHTS, then torch's cache.
        device: auto, cpu, cuda, cuda:1 or mps.
        progress: Shows progress. Default: the terminal.

    Returns:
        The film.

    Raises:
        UsageError: if an option makes no sense or the film cannot be written. Raised before anything is drawn.
        WeightsError: as ``load_measure``.
    """
    check_video(Path(out), fps)
    check_walk(grid, frames, ease, speed)
    model = load(source, device)
    with shown_on(progress):
        if seeds is None:
            seeds, loop = random_stops(random, grid), True
            note(f"a random loop: --seeds {','.join(str(seed) for seed in seeds)} --loop")
        walks = divide(model, model.latents(seeds, class_name), grid, loop, noise, truncation)
        measure = None if speed == "plain" else load_measure(speed, model.device, weights)
        steps = frames if loop else frames - 1
        moments = [choose_moments(walk, steps, ease, measure) for walk in walks]

        def pictures() -> Iterator[UInt8[Tensor, "n c h w"]]:
            for frame in range(frames):
                yield torch.cat([walk.picture(times[frame]) for walk, times in zip(walks, moments, strict=True)])
                advance("drawing", frame + 1, frames)

        write_video(Path(out), (to_image(row[0]) if grid == 1 else sheet(list(row)) for row in pictures()), fps)
    return Path(out)


def check_walk(grid: int, frames: int, ease: Easing, speed: Spacing) -> None:
    """Check options of ``interpolate``.

    Raises:
        UsageError: if they make no sense.
    """
    if grid < 1:
        raise UsageError(f"--grid {grid}: must be at least 1 walk")
    if frames < 2:
        raise UsageError(f"--frames {frames}: a film has at least 2")
    if ease != "none" and speed != "plain":
        raise UsageError(f"--ease {ease} and --speed {speed}: one makes steps uneven, the other even; choose one")


def random_stops(number: int, walks: int) -> list[int]:
    """Draw the seeds of random loops."""
    if number < 0:
        raise UsageError(f"--random {number}: must not be negative")
    random = torch.Generator().manual_seed(fold(Purpose.WALK, number))
    drawn: list[int] = torch.randint(LARGEST_SEED, (STOPS * walks,), generator=random).tolist()
    return drawn


def divide(model: Model, latents: Latents, walks: int, loop: bool, noise: NoiseMode, truncation: float) -> list[Walk]:
    """Divide latents among walks, in order.

    Raises:
        UsageError: if the walks would differ in length, or have a single latent.
    """
    count, left = divmod(len(latents), walks)
    if left or count < 2:
        rest = f" in {walks} walks of the same length" if walks > 1 else ""
        raise UsageError(f"--seeds: {len(latents)} cannot be gone through{rest}; a walk needs two or more")
    starts = range(0, len(latents), count)
    return [Walk(model, latents.pick(range(start, start + count)), loop, noise, truncation) for start in starts]
