"""Colours of the drawn flowers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import ImageColor

BACKDROPS = {  # the corner far from the light, then the near one
    "forest": ("#17382d", "#4f7f5c"),
    "meadow": ("#4f8a43", "#bcd98a"),
    "sage": ("#7c9a76", "#d5dec0"),
    "teal": ("#113e4c", "#3d8f92"),
    "sky": ("#6fb0e0", "#d9edf6"),
    "mist": ("#a9bcc2", "#eceeed"),
    "wheat": ("#c6aa66", "#f6eac8"),
    "peach": ("#e29c88", "#fce0ca"),
    "dusk": ("#2c2c5e", "#a8688f"),
    "night": ("#151c3b", "#414a86"),
}

LEAVES = (("#234d2c", "#3f7a3d", "#7fae5a"), ("#1f4a40", "#39775f", "#79ab86"), ("#4a5a22", "#75883a", "#a9b766"))

POLLEN = (("#8a4b08", "#e09a10", "#ffd95a"), ("#8a7410", "#d6c02e", "#fbf09a"))

SEEDS = (("#1d0f0a", "#4a2a17", "#96602c"), ("#17131f", "#3a2b44", "#8a6f7d"))


@dataclass(frozen=True)
class Palette:
    """Colours that go together: a petal from base to tip, hearts from dark to light, and names of backdrops."""

    petal: tuple[str, str, str]
    hearts: tuple[tuple[str, str, str], ...]
    backdrops: tuple[str, ...]


PALETTES = (
    Palette(("#e9edc9", "#f8f6ee", "#ffffff"), POLLEN, ("forest", "teal", "sky", "dusk", "night")),
    Palette(("#f4a91f", "#fdebac", "#fffaf0"), POLLEN, ("teal", "forest", "sky", "dusk")),
    Palette(("#c9650b", "#f6a906", "#ffd64a"), (SEEDS[0], POLLEN[0]), ("sky", "forest", "night", "mist")),
    Palette(("#6e1a0e", "#f0691c", "#ffc445"), (SEEDS[0], POLLEN[0]), ("teal", "night", "sage", "sky")),
    Palette(("#c9501c", "#f39b50", "#fcd59b"), (POLLEN[0], SEEDS[0]), ("teal", "forest", "mist", "dusk")),
    Palette(("#fbd87f", "#f47a60", "#fbb09c"), POLLEN, ("teal", "sage", "mist", "forest")),
    Palette(("#4a0d18", "#d42f22", "#f56a45"), (SEEDS[1], POLLEN[0]), ("wheat", "sage", "mist", "forest")),
    Palette(("#2e0714", "#86142f", "#c43d58"), (POLLEN[0], SEEDS[0]), ("peach", "sage", "wheat", "mist")),
    Palette(("#c2426b", "#f5b3c6", "#fdeaee"), POLLEN, ("sage", "sky", "meadow", "teal")),
    Palette(("#7d1350", "#d23f8f", "#f38fc0"), POLLEN, ("forest", "meadow", "mist", "teal")),
    Palette(("#8f2a5c", "#e3a9c8", "#fbf1f3"), POLLEN, ("dusk", "forest", "meadow", "night")),
    Palette(("#3d1a66", "#7e4dbb", "#bd9fe6"), POLLEN, ("wheat", "sage", "peach", "meadow")),
    Palette(("#6557ad", "#b6b0e8", "#ebe9fc"), POLLEN, ("forest", "peach", "teal", "meadow")),
    Palette(("#26236d", "#4163cd", "#86a6f4"), POLLEN, ("wheat", "peach", "mist", "sage")),
    Palette(("#fdf3c4", "#69ade6", "#b2daf7"), POLLEN, ("peach", "wheat", "forest", "night")),
)


def rgb(names: tuple[str, ...]) -> Float32[np.ndarray, "n 3"]:
    """Convert colours written as ``#rrggbb``."""
    return np.array([ImageColor.getrgb(name)[:3] for name in names], np.float32) / 255
