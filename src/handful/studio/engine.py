"""Models that are open in the studio, and drawing with them: one picture at a time, in one thread a model."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from handful.errors import UsageError
from handful.explore.directions import from_maps
from handful.explore.editing import blend
from handful.explore.interpolate import Walk
from handful.files import printable
from handful.images.grid import to_image
from handful.networks.folded import Gates
from handful.sampling.directions import Directions, move
from handful.sampling.latents import Latents
from handful.sampling.load import load
from handful.sampling.model import Model
from handful.sampling.model_files import find_weights
from handful.sampling.pictures import finished
from handful.studio.recipe import Recipe, Stroll

DIRECTIONS = 8
"""Directions that a model gets sliders for."""

MAX_OPEN = 3
"""Models that stay open."""

MAX_NAMED = 500
"""Latents from files and photos that a model keeps."""

REMEMBERED = 512
"""Seeds whose latents are remembered; in one of 1024 px that is 6 MB each."""

LATENT_BYTES = 256e6
"""Of remembered latents, at most."""

SMALL_PIXELS = 128 * 128
"""Of a picture that is drawn on one thread."""


@final
class Engine:
    """A model and what is known about it. All drawing happens in ``thread``."""

    def __init__(self, source: Path, model: Model) -> None:
        self.source, self.model = source, model
        self.cores = torch.get_num_threads()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="draw", initializer=self.choose_threads)
        self.named: OrderedDict[str, Latents] = OrderedDict()
        self.taken: set[str] = set()
        """Names of all latents that were ever kept: none means another picture later."""
        size = 4 * (model.config.latent + sum(map(math.prod, model.network.noise_shapes)))
        self.seed = lru_cache(maxsize=max(8, min(REMEMBERED, int(LATENT_BYTES / size))))(self.latents_of_seed)
        self.measuring = threading.Lock()

    @cached_property
    def directions(self) -> Directions:
        """Directions along which pictures change most. Takes seconds the first time."""
        return from_maps(self.model, min(DIRECTIONS, self.model.config.latent))

    def choose_threads(self) -> None:
        """Choose how many threads PyTorch computes with where this is called.

        A small picture takes as long on one as on two, and two wait for each other while training keeps all cores busy.
        """
        is_small = math.prod(self.model.config.shape) <= SMALL_PIXELS
        torch.set_num_threads(1 if is_small else self.cores)

    def measure(self) -> Directions:
        """Measure what sliders and truncation need, outside of the drawing thread, so that drawing goes on."""
        with self.measuring:
            self.choose_threads()
            if "truncation" not in vars(self.model):
                self.model.truncation  # noqa: B018 - measured once, here
            return self.directions

    @property
    def is_measured(self) -> bool:
        """Whether directions and truncation can be used at once."""
        return "directions" in vars(self)

    def latents_of_seed(self, seed: str, class_name: str | None) -> Latents:
        """Return the latents of a seed."""
        return self.model.latents([int(seed)], class_name)

    def keep(self, latents: Latents) -> list[str]:
        """Remember latents by name, and return the names: another one where a name is taken or looks like a seed."""
        names = []
        for index, given in enumerate(latents.names):
            stem = printable(given)[:100] or "latent"
            stem = f"latent {stem}" if stem.isdecimal() else stem
            name, number = stem, 2
            while name in self.taken:
                name, number = f"{stem} {number}", number + 1
            self.named[name] = latents.pick([index])
            self.taken.add(name)
            names.append(name)
        while len(self.named) > MAX_NAMED:
            self.named.popitem(last=False)
        return names

    def find(self, name: str, class_name: str | None = None) -> Latents:
        """Return the latents of a seed or a name.

        Raises:
            UsageError: There is no such name or class.
        """
        if name.isdecimal():
            return self.seed(name, class_name)
        if name not in self.named:
            raise UsageError(f"{printable(name)}: these latents are no longer here; load their file again")
        return self.model.latents(self.named[name], class_name)

    def latents(self, recipe: Recipe) -> Latents:
        """Return the latents of a recipe, without its truncation and style.

        Raises:
            UsageError: There is no such name, class or direction.
        """
        shares = [(name, share) for name, share in zip(recipe.corners, recipe.shares, strict=True) if share > 0]
        parts = [self.find(name, recipe.class_name) for name, _ in shares]
        if len(parts) == 1:
            latents = parts[0]
        else:
            first = parts[0].labels
            parts = [dataclasses.replace(part, labels=first) for part in parts]
            latents = blend(Latents.join(parts), [share for _, share in shares])
        if not recipe.moves:
            return latents
        step = torch.zeros(latents.z.shape[1])
        for index, strength in recipe.moves.items():
            if index >= len(self.directions):
                raise UsageError(f"direction {index + 1}: there are {len(self.directions)}")
            step += strength * self.directions.vectors[index]
        return move(latents, step, 1.0)

    def gates(self, recipe: Recipe) -> Gates | None:
        """Return the gates of a recipe's style; None if it has none, or the model has no gates."""
        if recipe.style is None or not len(self.model.network.gates):
            return None
        style = self.latents(recipe.style)
        return self.model.gates(*style.on(self.model.device), recipe.truncation)

    def draw(self, wanted: Recipe | Stroll) -> UInt8[Tensor, "c h w"]:
        """Draw a picture.

        Raises:
            UsageError: as ``latents``.
        """
        if isinstance(wanted, Stroll):
            return self.draw_stroll(wanted)
        latents = self.latents(wanted)
        inputs = latents.on(self.model.device)
        return finished(self.model.draw(*inputs, wanted.truncation, self.gates(wanted)), latents.names[0])[0]

    def draw_stroll(self, stroll: Stroll) -> UInt8[Tensor, "c h w"]:
        """Draw a moment of a walk: latents along an arc, truncation and gates in a straight line."""
        share, leg = math.modf(stroll.moment)
        if share == 0:
            return self.draw(stroll.stops[int(leg)])
        ends = stroll.stops[int(leg) : int(leg) + 2]
        both = [self.latents(end) for end in ends]
        truncation = ends[0].truncation + share * (ends[1].truncation - ends[0].truncation)
        z, noise, labels = Walk(self.model, Latents.join(both)).inputs(share)
        device = self.model.device
        inputs = z.to(device), [maps.to(device) for maps in noise], None if labels is None else labels.to(device)
        gates = None
        if any(end.style is not None for end in ends):
            first, last = (
                self.gates(end) or self.model.gates(*latents.on(device), end.truncation)
                for end, latents in zip(ends, both, strict=True)
            )
            gates = {name: torch.lerp(first[name], last[name], share) for name in first}
        images: Float[Tensor, "b c h w"] = self.model.draw(*inputs, truncation, gates)
        return finished(images, f"{stroll.moment:g} of a walk")[0]

    def needs_measuring(self, wanted: Recipe | Stroll) -> bool:
        """Return whether a picture must wait for ``measure``."""
        stops = wanted.stops if isinstance(wanted, Stroll) else (wanted,)
        recipes = [*stops, *(stop.style for stop in stops if stop.style is not None)]
        return not self.is_measured and any(recipe.moves or recipe.truncation != 1 for recipe in recipes)

    def measure_for(self, *wanted: Recipe | Stroll) -> None:
        """Measure what some pictures wait for, if they do."""
        if any(map(self.needs_measuring, wanted)):
            self.measure()

    def image(self, wanted: Recipe | Stroll) -> Image.Image:
        """Draw a picture as a Pillow image."""
        return to_image(self.draw(wanted))

    def stops(self, recipes: Sequence[Recipe], names: Sequence[str]) -> Latents:
        """Return the latents of some recipes under names, as a latent file has them."""
        return Latents.join([self.latents(recipe) for recipe in recipes]).renamed(names)


@final
class Engines:
    """The models that are open, the last few used. One that was trained further is loaded anew."""

    def __init__(self, device: str = "auto") -> None:
        self.device = device
        self.open: OrderedDict[tuple[Path, int], Engine] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, source: Path) -> Engine:
        """Open a model, or return it if it is open.

        Raises:
            UsageError: There is none, or it is not one of ours.
        """
        weights = find_weights(source)
        if weights is None:
            raise UsageError(f"{printable(source)}: has no model yet; a run writes its first one with a checkpoint")
        key = (source, weights.stat().st_mtime_ns)
        with self.lock:
            if key not in self.open:
                self.open[key] = Engine(source, load(source, self.device))
                while len(self.open) > MAX_OPEN:
                    self.open.popitem(last=False)
            self.open.move_to_end(key)
            return self.open[key]
