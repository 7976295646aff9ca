"""Presets and recipes: the options that a run starts from.

A preset says how large: sizes, widths, steps. A recipe says what the networks are trained by, at any size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful.config.checks import checked
from handful.config.choices import Recipe
from handful.config.text import listed, nearest, option
from handful.config.train import TrainConfig
from handful.errors import UsageError

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"preset": "paper", "hold_back": 0.0},
    "tiny": {"preset": "tiny", "size": 64, "width": 8, "steps": 10_000},
}

PUBLISHED: dict[str, Any] = {
    "resize_filter": "bilinear",
    "perceptual": "auto",
    "augment_schedule": "constant",
    "augment_probability": 1.0,
    "smooth_discriminator": False,
    "projected_weight": 0.0,
    "spectrum_penalty": 0.0,
    "lattice_penalty": 0.0,
    "learning_rate": 2e-4,
}
"""What the published recipe has otherwise than the default one. docs/results.md compares the two.

Source: FastGAN (Liu et al. 2021), sections 3 and 4, and the released code for what the paper leaves open.
docs/paper.md lists departures.
"""

DEFAULT: dict[str, Any] = {name: getattr(TrainConfig, name) for name in PUBLISHED}

RECIPES = {"default": DEFAULT, "scratch": DEFAULT | {"projected_weight": 0.0}, "published": PUBLISHED}


def configure(images: Path | str, preset: str = "default", recipe: str | None = None, **options: Any) -> TrainConfig:
    """Build the options of a run from a preset, a recipe and what differs.

    Args:
        images: The training images, as ``TrainConfig`` takes them.
        preset: default, paper or tiny.
        recipe: default; scratch, which is default without a network trained on photos; or published. Default: published
            with the preset paper, otherwise default.
        **options: Other options of ``TrainConfig``.

    Raises:
        UsageError: if there is no such preset, recipe or option, or a value makes no sense.
    """
    recipe = recipe or ("published" if preset == "paper" else "default")
    for name, value, known in (("preset", preset, PRESETS), ("recipe", recipe, RECIPES)):
        if value not in known:
            raise UsageError(f"{option(name)} {value}: must be {listed(known)}{nearest(value, known)}")
    return TrainConfig.from_options(PRESETS[preset] | RECIPES[recipe] | {"images": Path(images)} | options)


@checked
def default(images: Path | str, *, recipe: Recipe = "default", **options: Any) -> TrainConfig:
    """Return options for any size: by default the paper's method with what we found to be better."""
    return configure(images, "default", recipe, **options)


@checked
def paper(images: Path | str, *, recipe: Recipe = "published", **options: Any) -> TrainConfig:
    """Return options for the published networks, at 256, 512 or 1024 px."""
    return configure(images, "paper", recipe, **options)


@checked
def tiny(images: Path | str, *, recipe: Recipe = "default", **options: Any) -> TrainConfig:
    """Return options for small networks at 64 px that learn a simple folder in minutes on a CPU."""
    return configure(images, "tiny", recipe, **options)
