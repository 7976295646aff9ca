"""Draw the small image folder on which ``handful demo`` trains: one flower a picture.

Latents of a picture are complex numbers: the frame spans -1 to 1 on both axes, x is real, y is imaginary and grows
downward. So a turn is a product, and the part of a vector along a direction is a real part. Colours are RGB in [0, 1].
In the shapes, p counts points.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Complex64, Float32, Integer
from PIL import Image, ImageColor

SUPERSAMPLING = 3


GOLDEN_ANGLE = np.pi * (3 - 5**0.5)


BACKDROPS = {  # the far corner from the light, then the near one
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
    """Colours that go together: a petal from base to tip, hearts from shade to light, and backdrops by name."""

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


@dataclass(frozen=True)
class Shape:
    """An outline: half the width goes as ``t ** base * (1 - t) ** tip`` from the base (t = 0) to the tip (t = 1).

    ``overlap`` is the width over the distance between neighbours, ``notch`` how far the middle of the tip is drawn in.
    """

    base: float
    tip: float
    overlap: float
    notch: float
    counts: range


SHAPES = (
    Shape(base=0.75, tip=0.42, overlap=1.30, notch=0.00, counts=range(5, 9)),  # round
    Shape(base=0.85, tip=0.80, overlap=1.25, notch=0.00, counts=range(6, 13)),  # pointed
    Shape(base=0.85, tip=0.36, overlap=1.20, notch=0.16, counts=range(5, 8)),  # notched
    Shape(base=0.45, tip=0.30, overlap=0.95, notch=0.00, counts=range(11, 17)),  # a daisy's
    Shape(base=0.70, tip=0.95, overlap=1.00, notch=0.00, counts=range(5, 8)),  # a lily's
    Shape(base=0.80, tip=0.26, overlap=1.08, notch=0.07, counts=range(7, 11)),  # a cosmos's
)


LEAF = Shape(base=0.7, tip=0.9, overlap=1.0, notch=0.0, counts=range(1, 3))


@dataclass(frozen=True)
class Petal:
    """One petal or leaf; lengths in units of half the frame, ``direction`` and ``light`` of length 1."""

    shape: Shape
    direction: complex
    length: float
    half: float
    bend: float
    veins: float
    colours: Float32[np.ndarray, "3 3"]
    light: complex


@dataclass(frozen=True)
class Canvas:
    """The picture so far: where each of its points lies, its colour, and whether the bloom covers it."""

    points: Complex64[np.ndarray, " p"]
    colour: Float32[np.ndarray, "p 3"]
    covered: Float32[np.ndarray, " p"]


def draw(folder: Path, count: int = 100, size: int = 128, seed: int = 0) -> None:
    """Write ``count`` PNG pictures of flowers, ``flower-000.png`` and on, into ``folder``, created if need be.

    Picture i depends on ``(seed, i, size)`` alone, so a larger count only adds pictures.

    Raises:
        ValueError: ``count`` is below 1 or ``size`` below 16.
    """
    if count < 1:
        raise ValueError(f"count is {count}: ask for at least 1 picture")
    if size < 16:
        raise ValueError(f"size is {size}: a flower needs at least 16 pixels a side")
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        flower(np.random.default_rng([seed, index]), size).save(folder / f"flower-{index:03d}.png")


def flower(random: np.random.Generator, size: int) -> Image.Image:
    """Draw one flower, ``size`` pixels a side, RGB."""
    palette = PALETTES[random.integers(len(PALETTES))]
    light = turn(-np.pi / 2 + random.uniform(-0.9, 0.9))
    canvas = backdrop(random, rgb(BACKDROPS[palette.backdrops[random.integers(len(palette.backdrops))]]), light, size)
    radius = random.uniform(0.76, 0.92)
    centre = complex(random.uniform(-0.07, 0.07), random.uniform(-0.08, 0.02))
    foliage(random, canvas, centre, radius, light)
    facing = tilted(canvas, centre, turn(random.uniform(0, np.pi)), random.uniform(0.84, 1.0))
    bloom(random, facing, palette, radius, light)
    heart(random, facing, palette, radius, light)
    return developed(canvas.colour, size)


def rgb(names: tuple[str, ...]) -> Float32[np.ndarray, "n 3"]:
    """Read colours written ``#rrggbb``."""
    return np.array([ImageColor.getrgb(name)[:3] for name in names], np.float32) / 255


def turn(angle: float) -> complex:
    """Give the direction at ``angle`` radians: 0 is right, a quarter turn is down."""
    return complex(np.cos(angle), np.sin(angle))


def blend(colours: Float32[np.ndarray, "3 3"], place: Float32[np.ndarray, " p"]) -> Float32[np.ndarray, "p 3"]:
    """Read a ramp of three colours at ``place`` in [0, 1], by a quadratic so that no bend shows."""
    first, middle, last = colours
    turned = 2 * middle - (first + last) / 2  # the control point for which the curve passes through the middle
    rest = (1 - place)[:, None]
    along = place[:, None]
    ramp: Float32[np.ndarray, "p 3"] = rest * rest * first + 2 * rest * along * turned + along * along * last
    return ramp.clip(0, 1)


def backdrop(random: np.random.Generator, colours: Float32[np.ndarray, "2 3"], light: complex, size: int) -> Canvas:
    """Start a canvas: a gradient toward the light and a few large glows, as of a garden out of focus."""
    side = size * SUPERSAMPLING
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    points = (axis[None, :] + 1j * axis[:, None]).astype(np.complex64).ravel()
    place = 0.5 + 0.42 * (points * np.conj(np.complex64(light))).real
    for _ in range(4):
        away = np.abs(points - np.complex64(turn(random.uniform(0, 2 * np.pi)) * random.uniform(0.6, 1.2)))
        place += random.uniform(-0.22, 0.22) * np.exp(-((away / np.float32(random.uniform(0.35, 0.6))) ** 2))
    place = np.clip(place, 0, 1)[:, None]
    return Canvas(points, colours[0] + (colours[1] - colours[0]) * place, np.zeros(side * side, np.float32))


def tilted(canvas: Canvas, centre: complex, axis: complex, squeeze: float) -> Canvas:
    """See the canvas from the plane of a bloom at ``centre``, foreshortened by ``squeeze`` across ``axis``.

    The colours are shared: what is painted on either shows on both.
    """
    turned = (canvas.points - np.complex64(centre)) * np.complex64(axis.conjugate())
    plane = (turned.real + 1j * (turned.imag / np.float32(squeeze))) * np.complex64(axis)
    return Canvas(plane.astype(np.complex64), canvas.colour, canvas.covered)


def foliage(random: np.random.Generator, canvas: Canvas, centre: complex, radius: float, light: complex) -> None:
    """Paint a stem that leaves the frame below, and up to three leaves that look out from behind the bloom."""
    colours = rgb(LEAVES[random.integers(len(LEAVES))])
    behind = tilted(canvas, centre, turn(0.0), 1.0)
    drop = behind.points.imag
    across = behind.points.real - np.float32(random.uniform(-0.25, 0.25)) * drop * drop
    stem = (np.abs(across) < 0.055) & (drop > 0)
    canvas.colour[stem] = blend(colours, np.clip(0.45 + 8 * across[stem] * np.float32(light.real), 0, 1))
    canvas.covered[stem] = 1
    for side in random.permutation([-1, 0, 1])[: random.integers(0, 4)]:
        direction = turn(np.pi / 2 + side * random.uniform(0.7, 1.3) + random.uniform(-0.2, 0.2))
        length = radius * random.uniform(1.12, 1.3)
        paint(behind, Petal(LEAF, direction, length, 0.24 * length, random.uniform(-0.15, 0.15), 0.0, colours, light))


def bloom(random: np.random.Generator, canvas: Canvas, palette: Palette, radius: float, light: complex) -> None:
    """Paint one or two rings of petals, the outer first."""
    shape = SHAPES[random.integers(len(SHAPES))]
    count = int(random.choice(shape.counts))
    colours = rgb(palette.petal)
    start, veins, bend = random.uniform(0, 2 * np.pi), random.uniform(0, 0.07), random.normal(0, 0.06)
    width = random.uniform(0.92, 1.06) * shape.overlap * shape.base / (shape.base + shape.tip)
    half = min(0.5, width * np.tan(np.pi / count))
    for ring in range(random.integers(1, 3)):
        reach = radius * (1 - 0.34 * ring)
        # Every other petal first: most then lie over both neighbours or under both, as they do in a bud.
        for index in (*range(0, count, 2), *range(1, count, 2)):
            direction = turn(start + (index + ring / 2) * 2 * np.pi / count + random.normal(0, 0.12 / count))
            length = reach * random.uniform(0.94, 1.0)
            shade = np.float32(random.uniform(0.96, 1.03) + 0.03 * ring)
            paint(canvas, Petal(shape, direction, length, half * length, bend, veins, colours * shade, light))


def outline(
    petal: Petal, along: Float32[np.ndarray, " p"], across: Float32[np.ndarray, " p"]
) -> tuple[Float32[np.ndarray, " p"], Float32[np.ndarray, " p"]]:
    """Give each point's place, from 0 at the base to 1 at the tip and on, and half the petal's width there."""
    base, tip = petal.shape.base, petal.shape.tip
    drawn = 1 - np.float32(petal.shape.notch) * np.exp(-((across / np.float32(0.42 * petal.half)) ** 2))
    place = along / (np.float32(petal.length) * drawn)
    widest = base / (base + tip)
    scale = np.float32(petal.half / (widest**base * (1 - widest) ** tip))
    return place, scale * place ** np.float32(base) * np.maximum(1 - place, 0) ** np.float32(tip)


def paint(canvas: Canvas, petal: Petal) -> None:
    """Paint one petal and the soft shadow that it casts on the petals below."""
    local = canvas.points * np.complex64(petal.direction.conjugate())
    blur = np.float32(0.07)
    bend = np.float32(petal.bend / petal.length)
    reach = petal.half + abs(petal.bend) * petal.length + blur
    near = np.flatnonzero((local.real > 0) & (local.real < petal.length + blur) & (np.abs(local.imag) < reach))
    along, across = local[near].real, local[near].imag
    across = across - bend * along * along
    place, half = outline(petal, along, across)
    inside = (np.abs(across) < half) & (place < 1)
    shadow = near[~inside]
    beyond = np.hypot(np.maximum(np.abs(across) - half, 0), petal.length * np.maximum(place - 1, 0))[~inside]
    depth = 0.38 * np.clip(1 - beyond / blur, 0, 1) ** 2 * canvas.covered[shadow]
    canvas.colour[shadow] *= 1 - depth[:, None]
    canvas.colour[near[inside]] = shaded(petal, place[inside], across[inside] / half[inside])
    canvas.covered[near[inside]] = 1


def shaded(
    petal: Petal, place: Float32[np.ndarray, " p"], side: Float32[np.ndarray, " p"]
) -> Float32[np.ndarray, "p 3"]:
    """Colour points of a petal by their place from base to tip and from edge (``side`` -1) to edge (1).

    The petal is a shallow trough that rises from the heart and rolls back at the tip, and light falls on the flank
    that faces it.
    """
    toward = petal.light * petal.direction.conjugate()
    tint = np.clip(1.3 * (place - 0.22) + 0.10 * (side * side - 0.35), 0, 1)  # the heart hides the very base
    flank = np.float32(-0.13 * toward.imag) * side
    slope = np.float32(0.16 * toward.real) * (place - 0.45)
    crease = -0.09 * np.exp(-((side / 0.13) ** 2)) * (1 - place)
    veins = np.float32(petal.veins) * np.cos(side * np.float32(5 * np.pi)) * place * (1 - place) * 2
    glow = 1 + flank + slope + crease + veins
    lit: Float32[np.ndarray, "p 3"] = blend(petal.colours, tint) * glow[:, None]
    return lit.clip(0, 1)


def heart(random: np.random.Generator, canvas: Canvas, palette: Palette, radius: float, light: complex) -> None:
    """Paint the domed centre, stippled along a sunflower's spiral, or a small one ringed with stamens."""
    colours = rgb(palette.hearts[random.integers(len(palette.hearts))])
    ringed = random.random() < 0.35
    size = radius * (random.uniform(0.11, 0.15) if ringed else random.uniform(0.19, 0.32))
    away = np.abs(canvas.points)
    canvas.colour[:] *= 1 - 0.36 * np.clip(1 - (away - size) / (0.5 * size), 0, 1)[:, None] ** 2
    dome = away < size
    facing = (canvas.points[dome] * np.conj(np.complex64(light))).real / np.float32(size)
    canvas.colour[dome] = blend(colours, np.clip(0.42 + 0.33 * facing - 0.25 * (away[dome] / size) ** 4, 0, 1))
    if ringed:
        count = int(random.integers(8, 15))
        spots = [size * random.uniform(1.7, 2.1) * turn(2 * np.pi * i / count) for i in range(count)]
        dot = 0.2 * size
    else:
        count = int(random.integers(18, 40))
        spots = [size * 0.92 * ((i + 0.5) / count) ** 0.5 * turn(i * GOLDEN_ANGLE) for i in range(count)]
        dot = 0.62 * size / count**0.5
    grains = rgb(POLLEN[0]) if ringed else colours
    close = np.flatnonzero(away < 2.5 * size)
    for spot in spots:
        stipple(canvas, close, spot, dot, grains, light)


def stipple(
    canvas: Canvas,
    close: Integer[np.ndarray, " q"],
    spot: complex,
    dot: float,
    colours: Float32[np.ndarray, "3 3"],
    light: complex,
) -> None:
    """Paint one grain of pollen, lit like a small ball, on the points ``close`` to the heart."""
    away = canvas.points[close] - np.complex64(spot)
    inside = np.abs(away) < dot
    facing = (away[inside] * np.conj(np.complex64(light))).real / np.float32(dot)
    canvas.colour[close[inside]] = blend(colours, np.clip(0.68 + 0.3 * facing, 0, 1))


def developed(colour: Float32[np.ndarray, "p 3"], size: int) -> Image.Image:
    """Average the supersampled points and round to bytes."""
    grid = colour.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3)
    return Image.fromarray((grid.mean(axis=(1, 3)) * 255 + 0.5).clip(0, 255).astype(np.uint8))
