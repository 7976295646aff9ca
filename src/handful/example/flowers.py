"""Draw the image folder that ``handful demo`` trains on: one flower per picture.

Points are complex numbers. The frame spans -1 to 1 on both axes; x is real, y is imaginary and points down. A rotation
is thus a product, and the component of a vector along a direction is a real part. Colours are RGB in [0, 1]. In shapes
of arrays, p counts points.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Complex64, Float32, Integer
from PIL import Image

from handful.example.palettes import BACKDROPS, LEAVES, PALETTES, POLLEN, Palette, rgb

SUPERSAMPLING = 3
"""Points along a side of a pixel."""

GOLDEN_ANGLE = np.pi * (3 - 5**0.5)


@dataclass(frozen=True)
class Shape:
    """An outline, whose half width is proportional to ``t ** base * (1 - t) ** tip`` from base (t = 0) to tip (t = 1).

    ``overlap`` is the width divided by the distance of neighbours, ``notch`` the depth of the dent in the tip.
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
    Shape(base=0.45, tip=0.30, overlap=0.95, notch=0.00, counts=range(11, 17)),  # daisy
    Shape(base=0.70, tip=0.95, overlap=1.00, notch=0.00, counts=range(5, 8)),  # lily
    Shape(base=0.80, tip=0.26, overlap=1.08, notch=0.07, counts=range(7, 11)),  # cosmos
)

LEAF = Shape(base=0.7, tip=0.9, overlap=1.0, notch=0.0, counts=range(1, 3))


@dataclass(frozen=True)
class Petal:
    """One petal or leaf. Lengths are in units of half the frame; ``direction`` and ``light`` are unit vectors."""

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
    """The picture so far: for each point its position, its colour, and whether the bloom covers it."""

    points: Complex64[np.ndarray, " p"]
    colour: Float32[np.ndarray, "p 3"]
    covered: Float32[np.ndarray, " p"]


def draw(folder: Path, count: int = 100, size: int = 128, seed: int = 0) -> None:
    """Write ``count`` pictures of flowers, ``flower-000.png`` and so on, into ``folder``, which is created if missing.

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
    """Draw one RGB flower of ``size`` x ``size`` pixels."""
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


def turn(angle: float) -> complex:
    """Return the unit vector at an angle in radians: 0 points right, a quarter turn points down."""
    return complex(np.cos(angle), np.sin(angle))


def blend(colours: Float32[np.ndarray, "3 3"], position: Float32[np.ndarray, " p"]) -> Float32[np.ndarray, "p 3"]:
    """Interpolate three colours at ``position`` in [0, 1], quadratically so that no kink shows."""
    first, middle, last = colours
    turned = 2 * middle - (first + last) / 2  # the control point for which the curve passes through the middle
    rest = (1 - position)[:, None]
    along = position[:, None]
    ramp: Float32[np.ndarray, "p 3"] = rest * rest * first + 2 * rest * along * turned + along * along * last
    return ramp.clip(0, 1)


def backdrop(random: np.random.Generator, colours: Float32[np.ndarray, "2 3"], light: complex, size: int) -> Canvas:
    """Start a canvas with a gradient toward the light and a few large glows, like a garden out of focus."""
    side = size * SUPERSAMPLING
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    points = (axis[None, :] + 1j * axis[:, None]).astype(np.complex64).ravel()
    position = 0.5 + 0.42 * (points * np.conj(np.complex64(light))).real
    for _ in range(4):
        away = np.abs(points - np.complex64(turn(random.uniform(0, 2 * np.pi)) * random.uniform(0.6, 1.2)))
        position += random.uniform(-0.22, 0.22) * np.exp(-((away / np.float32(random.uniform(0.35, 0.6))) ** 2))
    position = np.clip(position, 0, 1)[:, None]
    return Canvas(points, colours[0] + (colours[1] - colours[0]) * position, np.zeros(side * side, np.float32))


def tilted(canvas: Canvas, centre: complex, axis: complex, squeeze: float) -> Canvas:
    """Return the canvas in the coordinates of a bloom at ``centre``, foreshortened by ``squeeze`` across ``axis``.

    Both canvases share their colours: what is painted on one shows on the other.
    """
    turned = (canvas.points - np.complex64(centre)) * np.complex64(axis.conjugate())
    plane = (turned.real + 1j * (turned.imag / np.float32(squeeze))) * np.complex64(axis)
    return Canvas(plane.astype(np.complex64), canvas.colour, canvas.covered)


def foliage(random: np.random.Generator, canvas: Canvas, centre: complex, radius: float, light: complex) -> None:
    """Paint a stem that runs out of the frame, and up to three leaves behind the bloom."""
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
        # Every other petal first, so that most lie over or under both of their neighbours, as in a bud.
        for index in (*range(0, count, 2), *range(1, count, 2)):
            direction = turn(start + (index + ring / 2) * 2 * np.pi / count + random.normal(0, 0.12 / count))
            length = reach * random.uniform(0.94, 1.0)
            shade = np.float32(random.uniform(0.96, 1.03) + 0.03 * ring)
            paint(canvas, Petal(shape, direction, length, half * length, bend, veins, colours * shade, light))


def outline(
    petal: Petal, along: Float32[np.ndarray, " p"], across: Float32[np.ndarray, " p"]
) -> tuple[Float32[np.ndarray, " p"], Float32[np.ndarray, " p"]]:
    """Return each point's position, 0 at the base and 1 at the tip, and half the petal's width there."""
    base, tip = petal.shape.base, petal.shape.tip
    drawn = 1 - np.float32(petal.shape.notch) * np.exp(-((across / np.float32(0.42 * petal.half)) ** 2))
    position = along / (np.float32(petal.length) * drawn)
    widest = base / (base + tip)
    scale = np.float32(petal.half / (widest**base * (1 - widest) ** tip))
    return position, scale * position ** np.float32(base) * np.maximum(1 - position, 0) ** np.float32(tip)


def paint(canvas: Canvas, petal: Petal) -> None:
    """Paint one petal and its soft shadow on the petals below."""
    local = canvas.points * np.complex64(petal.direction.conjugate())
    blur = np.float32(0.07)
    bend = np.float32(petal.bend / petal.length)
    reach = petal.half + abs(petal.bend) * petal.length + blur
    near = np.flatnonzero((local.real > 0) & (local.real < petal.length + blur) & (np.abs(local.imag) < reach))
    along, across = local[near].real, local[near].imag
    across = across - bend * along * along
    position, half = outline(petal, along, across)
    inside = (np.abs(across) < half) & (position < 1)
    shadow = near[~inside]
    beyond = np.hypot(np.maximum(np.abs(across) - half, 0), petal.length * np.maximum(position - 1, 0))[~inside]
    depth = 0.38 * np.clip(1 - beyond / blur, 0, 1) ** 2 * canvas.covered[shadow]
    canvas.colour[shadow] *= 1 - depth[:, None]
    canvas.colour[near[inside]] = shaded(petal, position[inside], across[inside] / half[inside])
    canvas.covered[near[inside]] = 1


def shaded(
    petal: Petal, position: Float32[np.ndarray, " p"], side: Float32[np.ndarray, " p"]
) -> Float32[np.ndarray, "p 3"]:
    """Return the colour of a petal's points by position from base to tip and by ``side``, -1 to 1 from edge to edge.

    The petal is a shallow trough that rises from the heart and rolls back at the tip. Light falls on the flank that
    faces it.
    """
    toward = petal.light * petal.direction.conjugate()
    tint = np.clip(1.3 * (position - 0.22) + 0.10 * (side * side - 0.35), 0, 1)  # the heart hides the very base
    flank = np.float32(-0.13 * toward.imag) * side
    slope = np.float32(0.16 * toward.real) * (position - 0.45)
    crease = -0.09 * np.exp(-((side / 0.13) ** 2)) * (1 - position)
    veins = np.float32(petal.veins) * np.cos(side * np.float32(5 * np.pi)) * position * (1 - position) * 2
    glow = 1 + flank + slope + crease + veins
    lit: Float32[np.ndarray, "p 3"] = blend(petal.colours, tint) * glow[:, None]
    return lit.clip(0, 1)


def heart(random: np.random.Generator, canvas: Canvas, palette: Palette, radius: float, light: complex) -> None:
    """Paint the domed centre: stippled along a sunflower's spiral, or small and ringed with stamens."""
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
    """Paint one grain of pollen, lit like a ball, on the points with the indices ``close``."""
    away = canvas.points[close] - np.complex64(spot)
    inside = np.abs(away) < dot
    facing = (away[inside] * np.conj(np.complex64(light))).real / np.float32(dot)
    canvas.colour[close[inside]] = blend(colours, np.clip(0.68 + 0.3 * facing, 0, 1))


def developed(colour: Float32[np.ndarray, "p 3"], size: int) -> Image.Image:
    """Average the supersampled points and round them to bytes."""
    grid = colour.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3)
    return Image.fromarray((grid.mean(axis=(1, 3)) * 255 + 0.5).clip(0, 255).astype(np.uint8))
